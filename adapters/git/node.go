package git

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// node implements vfs.Node. Everybody may read everything: there is nothing in a
// repository that says otherwise, and modes are the same everywhere.
type node struct {
	fs *FS
	place
	vfs.ReadOnly
}

func (f *FS) node(p place) *node {
	n := &node{f, p, vfs.ReadOnly{Type: vfs.TypeRegular}} // or a link: no directory
	if p.isDir() {
		n.Type = vfs.TypeDirectory
	}
	return n
}

// Handle implements vfs.Node.
func (n *node) Handle() []byte { return n.handle() }

// GetAttr implements vfs.Node.
func (n *node) GetAttr(ctx context.Context, want vfs.AttrMask) (vfs.Attr, error) {
	return n.attr(ctx, n.fs, want)
}

// Access implements vfs.Node.
func (n *node) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	a := vfs.Attr{Type: vfs.TypeDirectory, Mode: dirMode}
	if e, ok := n.place.(*entry); ok {
		a.Type, a.Mode = e.fileType(), e.mode()
	}
	return vfs.PermitAccess(cred, &a, want&^vfs.AccessToChange), nil
}

// Lookup implements vfs.Node.
func (n *node) Lookup(ctx context.Context, _ *vfs.Cred, name string) (vfs.Node, error) {
	l, err := n.list(ctx, n.fs)
	if err != nil {
		return nil, err
	}
	p, err := l.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	return n.fs.node(p), nil
}

// Parent implements vfs.Node.
func (n *node) Parent(ctx context.Context, _ *vfs.Cred) (vfs.Node, error) {
	p, err := n.parent(ctx, n.fs)
	if err != nil {
		return nil, err
	}
	return n.fs.node(p), nil
}

// ReadDir implements vfs.Node.
func (n *node) ReadDir(ctx context.Context, _ *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	l, err := n.list(ctx, n.fs)
	if err != nil {
		return false, err
	}
	for i := l.from(cookie); i < l.len(); i++ {
		name, cookie, p, shown := l.entry(ctx, i)
		if !shown {
			continue
		}
		d := vfs.DirEntry{Name: name, Cookie: cookie}
		d.FileID, d.Type = identity(p)
		if want&vfs.AttrAll != 0 {
			d.Attr, d.Err = p.attr(ctx, n.fs, want)
		}
		if want&vfs.AttrNode != 0 {
			d.Node = n.fs.node(p)
		}
		if !emit(&d) {
			return false, nil
		}
	}
	return true, nil
}

// identity is what costs nothing to know.
func identity(p place) (fileID uint64, typ vfs.FileType) {
	switch p := p.(type) {
	case folder:
		return key(p).number(), vfs.TypeDirectory
	case ref:
		return key(p).number(), vfs.TypeDirectory
	}
	e := p.(*entry)
	return e.fileID(), e.fileType()
}

// ReadLink implements vfs.Node.
func (n *node) ReadLink(ctx context.Context, _ *vfs.Cred) (string, error) {
	e, ok := n.place.(*entry)
	if !ok || e.at().kind != symlink {
		return "", vfs.EINVAL
	}
	return n.fs.target(ctx, e.at().id)
}

var _ vfs.Node = (*node)(nil)
