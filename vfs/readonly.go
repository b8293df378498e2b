package vfs

import "context"

// AccessToChange are the kinds of access that nobody has to a file system that
// cannot be changed.
const AccessToChange = AccessModify | AccessExtend | AccessDelete | AccessXattrWrite

// ReadOnly refuses every change. It is embedded in the nodes of file systems that
// cannot be changed, each of the node's type: as on a read-only mount, what is no
// directory is found first.
type ReadOnly struct{ Type FileType }

func (r ReadOnly) refuse() error {
	if r.Type != TypeDirectory {
		return ENOTDIR
	}
	return EROFS
}

// SetAttr implements Node.
func (r ReadOnly) SetAttr(context.Context, *Cred, *SetAttr) error { return EROFS }

// Create implements Node.
func (r ReadOnly) Create(context.Context, *Cred, string, *SetAttr, OpenFlags) (Node, File, DirChange, error) {
	return nil, nil, DirChange{}, r.refuse()
}

// Mkdir implements Node.
func (r ReadOnly) Mkdir(context.Context, *Cred, string, *SetAttr) (Node, DirChange, error) {
	return nil, DirChange{}, r.refuse()
}

// Symlink implements Node.
func (r ReadOnly) Symlink(context.Context, *Cred, string, string, *SetAttr) (Node, DirChange, error) {
	return nil, DirChange{}, r.refuse()
}

// Remove implements Node.
func (r ReadOnly) Remove(context.Context, *Cred, string, bool) (DirChange, error) {
	return DirChange{}, r.refuse()
}

// Rename implements Node.
func (r ReadOnly) Rename(context.Context, *Cred, string, Node, string, RenameFlags) (from, to DirChange, err error) {
	return DirChange{}, DirChange{}, r.refuse()
}
