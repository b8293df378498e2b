package ext4

import (
	"context"
	"encoding/binary"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// node is an inode that was read. It implements vfs.Node.
type node struct {
	fs    *FS
	inode *inode
	attr  vfs.Attr
	vfs.ReadOnly
}

// node reads an inode that may be a file that users see.
func (f *FS) node(number uint32) (*node, error) {
	i, err := f.inode(number)
	if err != nil {
		return nil, err
	}
	a := f.attr(i)
	n := &node{f, i, a, vfs.ReadOnly{Type: a.Type}}
	// A list that cannot be read may keep anybody out.
	if acl, err := f.acl(i); acl != nil || err != nil {
		n.attr.Mode = tree.RestrictMode(n.attr.Mode, acl, true)
	}
	return n, nil
}

// child reads what an entry of a directory leads to. A directory must have that
// directory for its parent, so that there is one way to it.
func (n *node) child(number uint32) (*node, error) {
	c, err := n.fs.node(number)
	if err != nil {
		if vfs.ErrnoOf(err) == vfs.ESTALE {
			err = disk.Corrupt("an entry of directory %d leads to inode %d, which is not in use", n.inode.number, number)
		}
		return nil, err
	}
	if c.attr.Type != vfs.TypeDirectory || c.inode.flags()&flagEncrypted != 0 {
		return c, nil
	}
	up, err := n.fs.parent(c.inode)
	if err != nil {
		return nil, err
	}
	if up != n.inode.number || number == rootInode {
		return nil, disk.Corrupt("directory %d is in directory %d, but says it is in %d", number, n.inode.number, up)
	}
	return c, nil
}

// Handle implements vfs.Node.
func (n *node) Handle() []byte {
	h := append(make([]byte, 0, handleSize), n.fs.fingerprint[:]...)
	h = binary.BigEndian.AppendUint32(h, n.inode.number)
	return binary.BigEndian.AppendUint32(h, n.inode.generation())
}

// GetAttr implements vfs.Node.
func (n *node) GetAttr(context.Context, vfs.AttrMask) (vfs.Attr, error) {
	return n.attr, n.inode.broken
}

// Access implements vfs.Node.
func (n *node) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	return vfs.PermitAccess(cred, &n.attr, want&^vfs.AccessToChange), nil
}

const (
	mayExec = 1
	mayRead = 4
)

// search checks that n is a directory in which cred may rwx.
func (n *node) search(cred *vfs.Cred, rwx uint32) error {
	switch {
	case n.inode.broken != nil:
		return n.inode.broken
	case n.attr.Type != vfs.TypeDirectory:
		return vfs.ENOTDIR
	case !vfs.Permit(cred, &n.attr, rwx):
		return vfs.EACCES
	}
	return nil
}

// Lookup implements vfs.Node.
func (n *node) Lookup(ctx context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	if err := n.search(cred, mayExec); err != nil {
		return nil, err
	}
	d, err := n.fs.directory(ctx, n.inode)
	if err != nil {
		return nil, err
	}
	number := d.find(name)
	if number == 0 {
		return nil, vfs.ENOENT
	}
	c, err := n.child(number)
	if err != nil {
		return nil, err // not c: a nil *node is no nil vfs.Node
	}
	return c, nil
}

// Parent implements vfs.Node.
func (n *node) Parent(_ context.Context, cred *vfs.Cred) (vfs.Node, error) {
	if err := n.search(cred, mayExec); err != nil {
		return nil, err
	}
	if n.inode.number == rootInode {
		return nil, vfs.ENOENT
	}
	number, err := n.fs.parent(n.inode)
	if err != nil {
		return nil, err
	}
	up, err := n.fs.node(number)
	if err != nil {
		return nil, err
	}
	return up, nil
}

// firstCookie is above those that NFS reserves (RFC 8881 §18.23.3).
const firstCookie = 3

// ReadDir implements vfs.Node. A cookie is the place in the directory, which
// never changes.
func (n *node) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	if err := n.search(cred, mayRead); err != nil {
		return false, err
	}
	d, err := n.fs.directory(ctx, n.inode)
	if err != nil {
		return false, err
	}
	start := uint64(0)
	if cookie >= firstCookie {
		start = min(cookie-firstCookie+1, uint64(len(d.entries)))
	}
	for i := start; i < uint64(len(d.entries)); i++ {
		e := d.entries[i]
		out := vfs.DirEntry{Name: string(d.name(e)), Cookie: i + firstCookie, FileID: uint64(e.inode), Type: e.typ}
		if want&(vfs.AttrAll|vfs.AttrNode) != 0 {
			n.describe(&out, e.inode)
		}
		if !emit(&out) {
			return false, nil
		}
	}
	return true, nil
}

func (n *node) describe(d *vfs.DirEntry, number uint32) {
	c, err := n.child(number)
	if err != nil {
		d.Err = err
		return
	}
	d.Type, d.Attr, d.Node = c.attr.Type, c.attr, c
}

// ReadLink implements vfs.Node.
func (n *node) ReadLink(context.Context, *vfs.Cred) (string, error) {
	if n.attr.Type != vfs.TypeSymlink {
		return "", vfs.EINVAL
	}
	return n.fs.target(n.inode)
}
