package away

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// node is the root, of which nothing is known.
type node struct{ fs *FS }

func (n node) Handle() []byte { return []byte{0} }

func (n node) GetAttr(context.Context, vfs.AttrMask) (vfs.Attr, error) {
	return vfs.Attr{}, n.fs.fail()
}

func (n node) SetAttr(context.Context, *vfs.Cred, *vfs.SetAttr) error { return n.fs.fail() }

func (n node) Access(context.Context, *vfs.Cred, vfs.Access) (vfs.Access, error) {
	return 0, n.fs.fail()
}

func (n node) Lookup(context.Context, *vfs.Cred, string) (vfs.Node, error) { return nil, n.fs.fail() }

func (n node) Parent(context.Context, *vfs.Cred) (vfs.Node, error) { return nil, n.fs.fail() }

func (n node) ReadDir(context.Context, *vfs.Cred, uint64, vfs.AttrMask, func(*vfs.DirEntry) bool) (bool, error) {
	return false, n.fs.fail()
}

func (n node) ReadLink(context.Context, *vfs.Cred) (string, error) { return "", n.fs.fail() }

func (n node) Open(context.Context, *vfs.Cred, vfs.OpenFlags) (vfs.File, error) {
	return nil, n.fs.fail()
}

func (n node) Create(context.Context, *vfs.Cred, string, *vfs.SetAttr, vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	return nil, nil, vfs.DirChange{}, n.fs.fail()
}

func (n node) Mkdir(context.Context, *vfs.Cred, string, *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, n.fs.fail()
}

func (n node) Symlink(context.Context, *vfs.Cred, string, string, *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, n.fs.fail()
}

func (n node) Remove(context.Context, *vfs.Cred, string, bool) (vfs.DirChange, error) {
	return vfs.DirChange{}, n.fs.fail()
}

func (n node) Rename(context.Context, *vfs.Cred, string, vfs.Node, string, vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	return vfs.DirChange{}, vfs.DirChange{}, n.fs.fail()
}
