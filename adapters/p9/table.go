package p9fs

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/fsva/fsva/vfs"
)

// entry is what is known of one node. It stays in the table while it is in
// use, and after that until others need the room.
type entry struct {
	id   uint64 // QID.Path
	born uint32 // how many nodes had that QID.Path before

	// op gives the guarantees of p9.File: see the package comment.
	op sync.RWMutex

	// stamp numbers the last change made through this FS.
	stamp atomic.Uint64
	// setID is whether the file had set-id bits when last seen.
	setID atomic.Bool

	// table.mu guards what follows.
	places []place // a file has as many as names were met; at most maxPlaces
	kids   int     // places in this directory
	users  int     // operations under way
	opens  []*file
	fid    *fid  // not opened; nil if none is kept
	via    place // where fid was walked to
	dead   bool  // removed
	idle   *list.Element
	cached *list.Element
}

// place is a name in a directory.
type place struct {
	dir  *entry
	name string
}

// maxPlaces bounds how many names of one file are remembered.
const maxPlaces = 16

// table holds the entries by QID.Path.
type table struct {
	maxEntries, maxFIDs int
	root                *entry

	mu     sync.Mutex
	byID   map[uint64]*entry
	idle   list.List // of *entry that nothing needs, the last used first
	cached list.List // of *entry with a fid that no open needs, the last used first
	opened map[*entry]struct{}
	// floor is the highest stamp of an entry that had to go: what comes
	// back must not seem older than that.
	floor uint64
	// removed counts the nodes that had a QID.Path and were removed, for
	// file systems that give theirs again, as inode numbers are. At most
	// maxEntries are remembered.
	removed map[uint64]uint32
	dropped []*fid // to be given back without mu
}

func newTable(maxEntries, maxFIDs int, root uint64, f *fid) *table {
	t := &table{
		maxEntries: maxEntries, maxFIDs: maxFIDs,
		byID: make(map[uint64]*entry), opened: make(map[*entry]struct{}), removed: make(map[uint64]uint32),
	}
	t.root = &entry{id: root, fid: f, users: 1} // for ever in use
	t.byID[root] = t.root
	return t
}

// unlock releases mu and closes what is no longer needed.
func (t *table) unlock() {
	dropped := t.dropped
	t.dropped = nil
	t.mu.Unlock()
	for _, f := range dropped {
		f.unref()
	}
}

// use returns the entry of a node, in use, or nil if there is none. ESTALE if
// another node has its number now.
func (t *table) use(id uint64, born uint32) (*entry, error) {
	t.mu.Lock()
	defer t.unlock()
	e := t.byID[id]
	switch {
	case e == nil && t.removed[id] == born:
		return nil, nil
	case e == nil || e.born != born:
		return nil, vfs.ESTALE
	}
	t.pin(e)
	return e, nil
}

// pin puts an entry in use. mu is held.
func (t *table) pin(e *entry) {
	e.users++
	if e.idle != nil {
		t.idle.Remove(e.idle)
		e.idle = nil
	}
}

// release ends one use of an entry.
func (t *table) release(e *entry) {
	t.mu.Lock()
	defer t.unlock()
	e.users--
	t.settle(e)
}

// settle decides what becomes of an entry that may have become idle. mu is
// held.
func (t *table) settle(e *entry) {
	if e.users > 0 || e.kids > 0 || len(e.opens) > 0 || t.byID[e.id] != e {
		return
	}
	if e.dead {
		t.bury(e)
		t.remove(e)
		return
	}
	if e.idle == nil {
		e.idle = t.idle.PushFront(e)
	}
	for len(t.byID) > t.maxEntries && t.idle.Len() > 0 {
		t.remove(t.idle.Back().Value.(*entry))
	}
}

// bury makes sure that what gets the number of a removed node next is not
// taken for it. mu is held.
func (t *table) bury(e *entry) {
	if len(t.removed) >= t.maxEntries {
		for id := range t.removed {
			delete(t.removed, id)
			break
		}
	}
	t.removed[e.id] = e.born + 1
}

// remove forgets an entry that nothing needs. mu is held.
func (t *table) remove(e *entry) {
	delete(t.byID, e.id)
	t.floor = max(t.floor, e.stamp.Load())
	if e.idle != nil {
		t.idle.Remove(e.idle)
		e.idle = nil
	}
	t.dropFID(e)
	t.leaveAll(e, 0)
}

// leave takes a place away. mu is held.
func (t *table) leave(e *entry, i int) {
	dir := e.places[i].dir
	e.places = slices.Delete(e.places, i, i+1)
	dir.kids--
	t.settle(dir)
}

// enter notes a place. mu is held.
//
// What has kids is a directory and is in one place only, so that there is one
// way up from anywhere. Others may have moved directories so that what was
// learned before and after makes a circle; what was learned last counts.
func (t *table) enter(e *entry, p place) {
	if slices.Contains(e.places, p) {
		return
	}
	if e.kids > 0 {
		t.leaveAll(e, 0)
		for x := p.dir; len(x.places) > 0; x = x.places[0].dir {
			if x.places[0].dir == e {
				t.leaveAll(x, 0)
				break
			}
		}
	}
	if len(e.places) == maxPlaces {
		t.leave(e, 0)
	}
	e.places = append(e.places, p)
	if p.dir.kids++; len(p.dir.places) > 1 {
		t.leaveAll(p.dir, 1)
	}
	if p.dir.idle != nil {
		t.idle.Remove(p.dir.idle)
		p.dir.idle = nil
	}
}

// leaveAll takes all places away but for the last few. mu is held.
func (t *table) leaveAll(e *entry, but int) {
	for len(e.places) > but {
		t.leave(e, 0)
	}
}

// adopt returns the entry of the node that was found at p, in use, and takes
// over f. The caller holds p.dir.op, so that nothing has happened to the name
// since. The zero place is none.
func (t *table) adopt(id uint64, p place, f *fid) *entry {
	t.mu.Lock()
	defer t.unlock()
	e := t.byID[id]
	if e != nil && e.dead && len(e.opens) == 0 { // others still work with what had the number
		t.bury(e)
		t.remove(e)
		e = nil
	}
	if e == nil {
		e = &entry{id: id, born: t.removed[id]}
		e.stamp.Store(t.floor)
		t.byID[id] = e
	}
	t.pin(e)
	e.dead = false
	if p.dir != nil {
		t.enter(e, p)
	}
	t.keep(e, f, p)
	return e
}

// keep makes f the File of an entry, in place of one that others may have
// renamed. mu is held.
func (t *table) keep(e *entry, f *fid, via place) {
	if e == t.root {
		t.dropped = append(t.dropped, f)
		return
	}
	if e.fid != nil {
		t.dropped = append(t.dropped, e.fid)
	}
	e.fid, e.via = f, via
	t.cache(e)
}

// cache makes an entry's File the last used of those that may be given up,
// unless an open needs it. mu is held.
func (t *table) cache(e *entry) {
	switch {
	case e.fid == nil || e == t.root || len(e.opens) > 0:
		return
	case e.cached != nil:
		t.cached.MoveToFront(e.cached)
	default:
		e.cached = t.cached.PushFront(e)
	}
	for t.cached.Len() > t.maxFIDs {
		t.dropFID(t.cached.Back().Value.(*entry))
	}
}

// dropFID gives up an entry's File. mu is held.
func (t *table) dropFID(e *entry) {
	if e.cached != nil {
		t.cached.Remove(e.cached)
		e.cached = nil
	}
	if e.fid != nil {
		t.dropped = append(t.dropped, e.fid)
		e.fid, e.via = nil, place{}
	}
}

// mislead notes that an entry is not, or no longer, what its File leads to.
func (t *table) mislead(e *entry) {
	t.mu.Lock()
	defer t.unlock()
	if e != t.root && !e.dead {
		t.dropFID(e)
	}
}

// found returns the File of an entry: the opened one of a file that was
// removed, whatever there is otherwise, and nil if there is none. The places
// to look at then have their directories in use.
func (t *table) found(e *entry) (*fid, []place, error) {
	t.mu.Lock()
	defer t.unlock()
	switch {
	case e.dead && len(e.opens) == 0:
		return nil, nil, vfs.ESTALE
	case e.dead:
		return e.opens[0].fid.ref(), nil, nil
	case e.fid != nil:
		t.cache(e)
		return e.fid.ref(), nil, nil
	}
	for _, p := range e.places {
		t.pin(p.dir)
	}
	return nil, slices.Clone(e.places), nil
}

// store keeps a File that was walked to, and returns it with a reference.
func (t *table) store(e *entry, f *fid, via place) *fid {
	t.mu.Lock()
	defer t.unlock()
	f.ref()
	t.keep(e, f, via)
	return f
}

// unnamed notes that an entry is no longer at p, and whether that was its
// last name.
func (t *table) unnamed(e *entry, p place, last bool) {
	t.mu.Lock()
	defer t.unlock()
	if i := slices.Index(e.places, p); i >= 0 {
		t.leave(e, i)
	}
	switch {
	case last && len(e.places) == 0:
		e.dead = true
	case e.via == p:
		t.dropFID(e)
	}
	for _, f := range e.opens {
		if f.via == p {
			f.via = place{}
		}
	}
	t.settle(e)
}

// open notes that a file is open. base, which was found for it, is kept until
// it is closed, so that it can be opened again when it has no name.
func (t *table) open(e *entry, f *file, base *fid) {
	t.mu.Lock()
	defer t.unlock()
	if e.fid == nil && !e.dead {
		e.fid = base.ref()
		if n := len(e.places); n > 0 {
			e.via = e.places[n-1]
		}
	}
	f.via = e.via
	e.opens = append(e.opens, f)
	t.opened[e] = struct{}{}
	if e.cached != nil {
		t.cached.Remove(e.cached)
		e.cached = nil
	}
}

// close ends an open and gives back its File.
func (t *table) close(e *entry, f *file) {
	t.mu.Lock()
	defer t.unlock()
	e.opens = slices.DeleteFunc(e.opens, func(o *file) bool { return o == f })
	t.dropped = append(t.dropped, f.fid, f.anchor)
	if len(e.opens) == 0 {
		delete(t.opened, e)
		t.cache(e)
	}
	t.settle(e)
}

// clear gives up all Files.
func (t *table) clear() {
	t.mu.Lock()
	defer t.unlock()
	for _, e := range t.byID {
		t.dropFID(e)
	}
}

// parent returns the directory that an entry was met in, or nil.
func (t *table) parent(e *entry) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(e.places) == 0 {
		return nil
	}
	return e.places[len(e.places)-1].dir
}

// named notes a further place of an entry that is in use.
func (t *table) named(e *entry, p place) {
	t.mu.Lock()
	defer t.unlock()
	e.dead = false
	t.enter(e, p)
}
