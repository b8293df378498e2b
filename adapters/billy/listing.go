package billy

import (
	"context"
	"os"
	"slices"
	"sort"
	"sync"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// listing is a directory's entries as a walk of it found them, in the order of
// their cookies. billy can only list a directory whole, so the listing is kept
// while the walk goes on, and changes made here are made to it too. It can be
// dropped at any time: cookies are the index's, so that one made anew goes on
// in the same place.
//
// Adding and removing is done with the tree locked for writing, reading with
// it locked for reading.
type listing struct {
	dir   uint64
	items []item
	dead  int    // items that were removed, whose ino is 0
	used  uint64 // when, by listings.clock
}

// item is one entry.
type item struct {
	index.Entry
	name string
	typ  vfs.FileType
	// info is what the directory told of the node, good as long as its
	// record's change attribute is change; nil if it told nothing.
	info   os.FileInfo
	change uint64
}

// listings are those of the directories that were walked last.
type listings struct {
	mu    sync.Mutex
	byDir map[uint64]*listing
	clock uint64
	items int
}

// Bounds of what is kept beside the listing that was made last.
const (
	maxListings = 64
	maxItems    = 1 << 20
)

// get returns a listing, nil if there is none.
func (ls *listings) get(dir uint64) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byDir[dir]
	if l != nil {
		ls.clock++
		l.used = ls.clock
	}
	return l
}

// put keeps a listing, and drops those that were not used for longest when
// there are too many.
func (ls *listings) put(l *listing) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.drop(l.dir)
	ls.clock++
	l.used = ls.clock
	ls.byDir[l.dir] = l
	ls.items += len(l.items)
	for len(ls.byDir) > 1 && (len(ls.byDir) > maxListings || ls.items > maxItems) {
		oldest := l
		for _, o := range ls.byDir {
			if o.used < oldest.used {
				oldest = o
			}
		}
		ls.drop(oldest.dir)
	}
}

// drop takes a listing away. mu is held.
func (ls *listings) drop(dir uint64) {
	if l := ls.byDir[dir]; l != nil {
		ls.items -= len(l.items)
		delete(ls.byDir, dir)
	}
}

// add puts a new entry at the end of a directory's listing if there is one.
// The tree is locked for writing, as for remove.
func (ls *listings) add(dir uint64, it item) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.byDir[dir]; l != nil {
		l.items = append(l.items, it)
		ls.items++
	}
}

// remove takes an entry out of a directory's listing. When half of it is dead
// it is made anew.
func (ls *listings) remove(dir, cookie uint64) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.byDir[dir]
	if l == nil {
		return
	}
	i := l.after(cookie - 1)
	if i == len(l.items) || l.items[i].Cookie != cookie || l.items[i].Ino == 0 {
		return
	}
	l.items[i] = item{Entry: index.Entry{Cookie: cookie}}
	if l.dead++; l.dead > 32 && l.dead > len(l.items)/2 {
		before := len(l.items)
		l.items = slices.DeleteFunc(slices.Clone(l.items), func(it item) bool { return it.Ino == 0 })
		l.dead = 0
		ls.items += len(l.items) - before
	}
}

// after returns where the items behind a cookie begin.
func (l *listing) after(cookie uint64) int {
	return sort.Search(len(l.items), func(i int) bool { return l.items[i].Cookie > cookie })
}

// list has the file system list a directory, and numbers what is new in it.
// The tree is locked.
func (f *FS) list(dir place) (l *listing, err error) {
	var known map[string]index.Entry
	err = f.names.View(func(tx *index.Tx) (err error) {
		known, err = tx.Entries(dir.Ino)
		return err
	})
	if err != nil {
		return nil, err
	}
	changes, err := f.changesOf(known)
	if err != nil {
		return nil, err
	}
	infos, err := f.under.ReadDir(dir.path)
	if err != nil {
		return nil, errnoOf(err)
	}
	l = &listing{dir: dir.Ino, items: make([]item, 0, len(infos))}
	for _, fi := range infos {
		name := fi.Name()
		if vfs.CheckName(name) != nil || hidden(dir.Ino, name) {
			continue // no guest could ask for it
		}
		r, e, err := f.identify(index.Name{Dir: dir.Ino, Name: name}, fi)
		if err != nil {
			return nil, err
		}
		it := item{Entry: e, name: name, typ: r.Type, change: r.Change, info: fi}
		if old, ok := known[name]; ok && old.Ino == e.Ino {
			it.change = changes[e.Ino] // as it was before the file system was asked
		}
		delete(known, name)
		l.items = append(l.items, it)
	}
	for name := range known { // what is left is gone
		if err := f.missing(index.Name{Dir: dir.Ino, Name: name}); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(l.items, func(a, b item) int {
		if a.Cookie < b.Cookie {
			return -1
		}
		return 1
	})
	l.items = slices.CompactFunc(l.items, func(a, b item) bool { return a.Cookie == b.Cookie })
	f.lists.put(l)
	return l, nil
}

// changesOf returns the change attributes of nodes.
func (f *FS) changesOf(entries map[string]index.Entry) (map[uint64]uint64, error) {
	changes := make(map[uint64]uint64, len(entries))
	err := f.names.View(func(tx *index.Tx) error {
		for _, e := range entries {
			r, err := tx.Node(e.Ino)
			if err != nil {
				continue // it will be found out when the name is
			}
			changes[e.Ino] = r.Change
		}
		return nil
	})
	return changes, err
}

// listBatch is how many entries are looked at while the tree is locked: emit
// is called with no lock held.
const listBatch = 128

// ReadDir implements vfs.Node. A walk from the start asks the file system; what
// others than this adapter do during it is seen by the next one.
func (n *node) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	fresh := cookie == 0
	for {
		batch, eof, err := n.batch(cred, cookie, want, fresh)
		if err != nil {
			return false, err
		}
		fresh = false
		for i := range batch {
			cookie = batch[i].Cookie
			if !emit(&batch[i]) {
				return false, nil
			}
		}
		if eof {
			return true, nil
		}
	}
}

// batch returns the entries behind cookie.
func (n *node) batch(cred *vfs.Cred, cookie uint64, want vfs.AttrMask, fresh bool) ([]vfs.DirEntry, bool, error) {
	batch, eof, since, err := n.batchLocked(cred, cookie, want, fresh)
	if err == nil {
		err = n.fs.names.CommitTo(since)
	}
	return batch, eof, err
}

func (n *node) batchLocked(cred *vfs.Cred, cookie uint64, want vfs.AttrMask, fresh bool) (batch []vfs.DirEntry, eof bool, since uint64, err error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	dir, err := n.directory()
	if err != nil {
		return nil, false, 0, err
	}
	l, err := n.listing(cred, dir, fresh)
	if err != nil {
		return nil, false, 0, err
	}
	i := l.after(cookie)
	for ; i < len(l.items) && len(batch) < listBatch; i++ {
		if it := &l.items[i]; it.Ino != 0 {
			batch = append(batch, n.fs.emitted(dir, it, want))
			since = max(since, it.Since)
		}
	}
	return batch, i == len(l.items), since, nil
}

// listing returns the listing of the directory that cred may read: one that is
// kept, unless it has to be fresh.
func (n *node) listing(cred *vfs.Cred, dir place, fresh bool) (*listing, error) {
	if err := n.permit(cred, dir, mayRead); err != nil {
		return nil, err
	}
	if !fresh {
		if l := n.fs.lists.get(n.ino); l != nil {
			return l, nil
		}
	}
	if _, err := n.lstat(dir); err != nil {
		return nil, err
	}
	return n.fs.list(dir)
}

// emitted is an entry as ReadDir emits it. The tree is locked.
func (f *FS) emitted(dir place, it *item, want vfs.AttrMask) vfs.DirEntry {
	de := vfs.DirEntry{Name: it.name, Cookie: it.Cookie, FileID: it.Ino, Type: it.typ}
	if want&(vfs.AttrAll|vfs.AttrNode)&^(vfs.AttrType|vfs.AttrFileID) == 0 {
		de.Attr = vfs.Attr{Valid: vfs.AttrType | vfs.AttrFileID, Type: it.typ, FileID: it.Ino}
		return de
	}
	var r *index.Record
	err := f.names.View(func(tx *index.Tx) (err error) {
		r, err = tx.Node(it.Ino)
		return err
	})
	if err != nil {
		de.Err = vfs.ENOENT
		return de
	}
	if want&vfs.AttrNode != 0 {
		de.Node = f.node(r)
	}
	if want&vfs.AttrAll == 0 {
		return de
	}
	info := it.info
	if info == nil || r.Change != it.change {
		if info, err = f.lstat(f.join(dir.path, it.name)); err != nil {
			de.Err = vfs.ENOENT
			return de
		}
	}
	if de.Attr, err = f.attr(r, info); err != nil {
		de.Err = err
	}
	return de
}
