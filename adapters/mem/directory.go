package mem

import (
	"context"
	"sort"

	"github.com/fsva/fsva/vfs"
)

// directory is the entries of a directory, by name and in the order they came.
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

func (d *directory) remove(e *entry) {
	delete(d.byName, e.name)
	e.node = nil
	if d.dead++; d.dead > 32 && d.dead > len(d.order)/2 {
		live := d.order[:0]
		for _, e := range d.order {
			if e.node != nil {
				live = append(live, e)
			}
		}
		clear(d.order[len(live):])
		d.order, d.dead = live, 0
	}
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

// live fails unless n is a directory that has not been removed. FS.tree is
// held.
func (n *inode) live() error {
	if n.typ != vfs.TypeDirectory {
		return vfs.ENOTDIR
	}
	return nil
}

// Lookup implements vfs.Node.
func (n *inode) Lookup(_ context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	if err := n.search(cred, mayExec); err != nil {
		return nil, err
	}
	e := n.dir.byName[name]
	if e == nil {
		return nil, vfs.ENOENT
	}
	return e.node, nil
}

// search checks that n is a directory in which cred may rwx. FS.tree is held.
func (n *inode) search(cred *vfs.Cred, rwx uint32) error {
	if err := n.live(); err != nil {
		return err
	}
	return n.check(cred, rwx)
}

// Parent implements vfs.Node.
func (n *inode) Parent(_ context.Context, cred *vfs.Cred) (vfs.Node, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
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
		n.fs.tree.RLock()
		err := n.search(cred, mayRead)
		if err == nil {
			batch = n.dir.after(cookie, batch[:0])
		}
		n.fs.tree.RUnlock()
		if err != nil {
			return false, err
		}
		for i := range batch {
			e := &batch[i]
			cookie = e.cookie
			de := vfs.DirEntry{Name: e.name, Cookie: e.cookie, FileID: e.node.ino, Type: e.node.typ}
			if want&^vfs.AttrNode != 0 {
				de.Attr, de.Err = e.node.GetAttr(ctx, want)
				if de.Err != nil {
					de.Err = vfs.ENOENT // removed meanwhile
				}
			}
			if want&vfs.AttrNode != 0 {
				de.Node = e.node
			}
			if !emit(&de) {
				return false, nil
			}
		}
		if len(batch) < cap(batch) {
			return true, nil
		}
		n.touch()
	}
}
