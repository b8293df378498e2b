package fusefs

import (
	"container/list"
	"sync"
	"sync/atomic"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// entry is what is known of one node. It stays in the table while it is in use,
// and after that until others need the room.
type entry struct {
	id  uint64 // the file system's node id
	gen uint64 // its generation
	// serial tells the entry from others that have had the id: the generation
	// where ids are lasting, a count otherwise.
	serial uint64

	op sync.RWMutex // see the package comment

	stamp atomic.Uint64 // numbers the last change that is known of
	setID atomic.Bool   // whether the file had set-id bits when last seen

	// table.mu guards what follows.
	lookups uint64 // to give back
	parent  *entry // of a directory; nil if it is not known
	kids    int    // entries that have this one as parent
	users   int    // operations under way
	opens   []*file
	dead    bool // removed
	idle    *list.Element
}

// table holds the entries by node id.
type table struct {
	limit   int
	lasting bool
	forget  func(id, lookups uint64)
	root    *entry

	mu      sync.Mutex
	byID    map[uint64]*entry
	idle    list.List // of *entry that nothing needs, the last used first
	serials uint64
	floor   uint64   // highest stamp of an entry that had to go
	dropped []*entry // to be forgotten without mu
}

func newTable(limit int, lasting bool, forget func(id, lookups uint64)) *table {
	t := &table{limit: limit, lasting: lasting, forget: forget, byID: make(map[uint64]*entry)}
	t.root = &entry{id: fuse.FUSE_ROOT_ID, users: 1} // for ever in use, never forgotten
	t.byID[t.root.id] = t.root
	return t
}

// unlock releases mu and forgets what is no longer needed.
func (t *table) unlock() {
	dropped := t.dropped
	t.dropped = nil
	t.mu.Unlock()
	for _, e := range dropped {
		if e.lookups > 0 && e != t.root {
			t.forget(e.id, e.lookups)
		}
	}
}

// use returns an entry, in use; nil if there is none, or only one that was
// removed and is not open.
func (t *table) use(id, serial uint64) (e *entry, dead bool) {
	t.mu.Lock()
	defer t.unlock()
	if e = t.byID[id]; e == nil || e.serial != serial {
		return nil, false
	}
	if e.dead && len(e.opens) == 0 {
		return nil, true
	}
	t.pin(e)
	return e, false
}

// pin puts an entry in use. mu is held.
func (t *table) pin(e *entry) {
	e.users++
	t.busy(e)
}

func (t *table) busy(e *entry) {
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
	if e.users > 0 || e.kids > 0 || len(e.opens) > 0 {
		return
	}
	if e.dead || t.byID[e.id] != e {
		t.remove(e)
		return
	}
	if e.idle == nil {
		e.idle = t.idle.PushFront(e)
	}
	for len(t.byID) > t.limit && t.idle.Len() > 0 {
		t.remove(t.idle.Back().Value.(*entry))
	}
}

// remove forgets an entry that nothing needs. mu is held.
func (t *table) remove(e *entry) {
	if t.byID[e.id] == e {
		delete(t.byID, e.id)
	}
	t.floor = max(t.floor, e.stamp.Load())
	t.busy(e)
	t.dropped = append(t.dropped, e)
	t.place(e, nil)
}

// place notes the directory that a directory is in. mu is held.
func (t *table) place(e, parent *entry) {
	old := e.parent
	if old == parent {
		return
	}
	if e.parent = parent; parent != nil {
		parent.kids++
		t.busy(parent)
	}
	if old != nil {
		old.kids--
		t.settle(old)
	}
}

// adopt returns the entry of a node that was looked up, in use. dir is where it
// was found, nil where that is not known or it is no directory.
func (t *table) adopt(out *fuse.EntryOut, dir *entry) *entry {
	t.mu.Lock()
	defer t.unlock()
	e := t.byID[out.NodeId]
	if e != nil && e != t.root && e.gen != out.Generation {
		delete(t.byID, e.id) // whoever uses it goes on
		t.busy(e)
		e.dead = true
		if e.users == 0 && e.kids == 0 && len(e.opens) == 0 {
			t.remove(e)
		}
		e = nil
	}
	if e == nil {
		t.serials++
		e = &entry{id: out.NodeId, gen: out.Generation, serial: t.serials}
		if t.lasting {
			e.serial = out.Generation
		}
		e.stamp.Store(t.floor)
		t.byID[e.id] = e
	}
	t.pin(e)
	e.lookups++
	e.dead = false
	if dir != nil && e != t.root && !t.above(e, dir) {
		t.place(e, dir)
	}
	return e
}

// above reports whether e is dir or above it. mu is held.
func (t *table) above(e, dir *entry) bool {
	for ; dir != nil; dir = dir.parent {
		if dir == e {
			return true
		}
	}
	return false
}

// within reports whether dir is e or somewhere below it.
func (t *table) within(dir, e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.above(e, dir)
}

// top returns the highest directory that is known above one, or that, in use.
func (t *table) top(e *entry) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	for e.parent != nil {
		e = e.parent
	}
	t.pin(e)
	return e
}

// moved notes where a directory is now.
func (t *table) moved(e, dir *entry) {
	t.mu.Lock()
	defer t.unlock()
	if !t.above(e, dir) {
		t.place(e, dir)
	}
}

// parentOf returns the directory above one, in use; nil if it is not known.
func (t *table) parentOf(e *entry) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e.parent != nil {
		t.pin(e.parent)
	}
	return e.parent
}

// removed notes that the last name of a node is gone.
func (t *table) removed(e *entry) {
	t.mu.Lock()
	defer t.unlock()
	e.dead = true
	t.place(e, nil)
	t.settle(e)
}

// open notes that a file is open.
func (t *table) open(e *entry, f *file) {
	t.mu.Lock()
	defer t.unlock()
	e.opens = append(e.opens, f)
	t.busy(e)
}

// close ends an open.
func (t *table) close(e *entry, f *file) {
	t.mu.Lock()
	defer t.unlock()
	for i := range e.opens {
		if e.opens[i] == f {
			e.opens = append(e.opens[:i:i], e.opens[i+1:]...)
			break
		}
	}
	t.settle(e)
}

// opened returns a file handle of a node that is open, for writing if that is
// asked. It lasts as long as entry.op is held, for files are closed under it.
func (t *table) opened(e *entry, writing bool) (fh uint64, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range e.opens {
		if !f.noOpen && (!writing || f.writable) {
			return f.fh, true
		}
	}
	return 0, false
}

// writers returns the files of a node that are open for writing and have a
// handle, which lasts as long as with opened.
func (t *table) writers(e *entry) (files []*file) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range e.opens {
		if f.writable && !f.noOpen {
			files = append(files, f)
		}
	}
	return files
}

// changed stamps a node that was changed, if it is known.
func (t *table) changed(id, stamp uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.byID[id]
	if e != nil {
		e.stamp.Store(stamp)
	}
	return e != nil
}

// clear forgets everything.
func (t *table) clear() {
	t.mu.Lock()
	defer t.unlock()
	for _, e := range t.byID {
		t.dropped = append(t.dropped, e)
	}
	clear(t.byID)
	t.idle.Init()
}

// isDead reports whether the last name of a node is gone.
func (t *table) isDead(e *entry) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return e.dead
}
