package ext4

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// SetAttr implements vfs.Node.
func (n *node) SetAttr(context.Context, *vfs.Cred, *vfs.SetAttr) error { return vfs.EROFS }

// refuse is what becomes of every change to entries: as on a read-only mount,
// what is no directory is found first.
func (n *node) refuse() error {
	if n.attr.Type != vfs.TypeDirectory {
		return vfs.ENOTDIR
	}
	return vfs.EROFS
}

// Create implements vfs.Node.
func (n *node) Create(context.Context, *vfs.Cred, string, *vfs.SetAttr, vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	return nil, nil, vfs.DirChange{}, n.refuse()
}

// Mkdir implements vfs.Node.
func (n *node) Mkdir(context.Context, *vfs.Cred, string, *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, n.refuse()
}

// Symlink implements vfs.Node.
func (n *node) Symlink(context.Context, *vfs.Cred, string, string, *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, n.refuse()
}

// Remove implements vfs.Node.
func (n *node) Remove(context.Context, *vfs.Cred, string, bool) (vfs.DirChange, error) {
	return vfs.DirChange{}, n.refuse()
}

// Rename implements vfs.Node.
func (n *node) Rename(context.Context, *vfs.Cred, string, vfs.Node, string, vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	return vfs.DirChange{}, vfs.DirChange{}, n.refuse()
}

var _ vfs.Node = (*node)(nil)
