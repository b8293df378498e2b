package mem

import (
	"context"
	"sort"
	"time"

	"github.com/fsva/fsva/vfs"
)

// directory is the entries of a directory, by name and in the order they came.
// The inode's lock guards it.
type directory struct {
	byName map[string]*entry
	order  []*entry // by cookie; entries that were removed stay for a while
	dead   int      // of them in order
	cookie uint64   // the last one given
}

// entry is a name in a directory. node is nil once it was removed.
type entry struct {
	name   string
	cookie uint64
	node   *inode
}

// firstCookie is above those that NFS reserves (RFC 8881 §18.23.3).
const firstCookie = 3

func newDirectory() *directory {
	return &directory{byName: make(map[string]*entry), cookie: firstCookie - 1}
}

// add gives a name to a node. Cookies only grow and are never used again.
func (d *directory) add(name string, n *inode) {
	d.cookie++
	e := &entry{name, d.cookie, n}
	d.byName[name] = e
	d.order = append(d.order, e)
}

// remove takes an entry away. When half of the order is dead it is made anew,
// and so is the map, since a map keeps its memory when it gets smaller.
func (d *directory) remove(e *entry) {
	delete(d.byName, e.name)
	e.node = nil
	if d.dead++; d.dead <= 32 || d.dead <= len(d.order)/2 {
		return
	}
	live := make([]*entry, 0, len(d.byName))
	for _, e := range d.order {
		if e.node != nil {
			live = append(live, e)
		}
	}
	d.order, d.dead, d.byName = live, 0, remade(d.byName)
}

// after appends up to cap(batch) entries behind cookie to batch.
func (d *directory) after(cookie uint64, batch []entry) []entry {
	i := sort.Search(len(d.order), func(i int) bool { return d.order[i].cookie > cookie })
	for ; i < len(d.order) && len(batch) < cap(batch); i++ {
		if e := d.order[i]; e.node != nil {
			batch = append(batch, *e)
		}
	}
	return batch
}

// search checks that n is a directory that is still there and in which cred
// may rwx. n.mu is held.
func (n *inode) search(cred *vfs.Cred, rwx uint32) error {
	switch {
	case n.gone:
		return vfs.ESTALE
	case n.typ != vfs.TypeDirectory:
		return vfs.ENOTDIR
	}
	return n.permit(cred, rwx)
}

// Lookup implements vfs.Node.
func (n *inode) Lookup(_ context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if err := n.search(cred, mayExec); err != nil {
		return nil, err
	}
	e := n.dir.byName[name]
	if e == nil {
		return nil, vfs.ENOENT
	}
	return e.node, nil
}

// Parent implements vfs.Node.
func (n *inode) Parent(_ context.Context, cred *vfs.Cred) (vfs.Node, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if err := n.search(cred, mayExec); err != nil {
		return nil, err
	}
	if n.parent == nil {
		return nil, vfs.ENOENT
	}
	return n.parent, nil
}

// listBatch is how many entries ReadDir copies out at a time: emit is called
// with no lock held.
const listBatch = 128

// ReadDir implements vfs.Node.
func (n *inode) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	batch := make([]entry, 0, listBatch)
	for {
		var err error
		if batch, err = n.list(cred, cookie, batch[:0]); err != nil {
			return false, err
		}
		for i := range batch {
			cookie = batch[i].cookie
			de := batch[i].emitted(ctx, want)
			if !emit(&de) {
				return false, nil
			}
		}
		if len(batch) < cap(batch) {
			return true, nil
		}
	}
}

// list fills batch with the entries behind cookie.
func (n *inode) list(cred *vfs.Cred, cookie uint64, batch []entry) ([]entry, error) {
	now := vfs.TimespecOf(time.Now())
	n.mu.RLock()
	if err := n.search(cred, mayRead); err != nil {
		n.mu.RUnlock()
		return nil, err
	}
	batch = n.dir.after(cookie, batch)
	overdue := n.overdue(now)
	n.mu.RUnlock()
	if overdue {
		n.noteRead(now)
	}
	return batch, nil
}

// emitted is the entry as ReadDir emits it. No lock is held.
func (e *entry) emitted(ctx context.Context, want vfs.AttrMask) vfs.DirEntry {
	de := vfs.DirEntry{Name: e.name, Cookie: e.cookie, FileID: e.node.ino, Type: e.node.typ}
	if want&vfs.AttrAll != 0 {
		if de.Attr, de.Err = e.node.GetAttr(ctx, want); de.Err != nil {
			de.Err = vfs.ENOENT // removed meanwhile
		}
	}
	if want&vfs.AttrNode != 0 {
		de.Node = e.node
	}
	return de
}

// entriesChanged notes a change of the directory's entries. n.mu is held.
func (n *inode) entriesChanged() vfs.DirChange {
	before := n.change
	n.changed(true)
	return vfs.DirChange{Before: before, After: n.change, Atomic: true}
}
