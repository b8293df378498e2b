package vfstest

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// WithFiles returns a file system like fs, but that every File in it is what
// wrap makes of it: a server's tests have files fail with it. Its nodes have
// none of the optional abilities and cannot be moved to another directory.
func WithFiles(fs vfs.FS, wrap func(vfs.File) vfs.File) vfs.FS { return &withFiles{fs, wrap} }

type withFiles struct {
	vfs.FS
	wrap func(vfs.File) vfs.File
}

func (w *withFiles) Root() vfs.Node { return &withFilesNode{w.FS.Root(), w} }

func (w *withFiles) Resolve(ctx context.Context, handle []byte) (vfs.Node, error) {
	n, err := w.FS.Resolve(ctx, handle)
	return w.node(n, err)
}

func (w *withFiles) node(n vfs.Node, err error) (vfs.Node, error) {
	if err != nil {
		return nil, err
	}
	return &withFilesNode{n, w}, nil
}

type withFilesNode struct {
	vfs.Node
	fs *withFiles
}

func (n *withFilesNode) Lookup(ctx context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	child, err := n.Node.Lookup(ctx, cred, name)
	return n.fs.node(child, err)
}

func (n *withFilesNode) Open(ctx context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	f, err := n.Node.Open(ctx, cred, how)
	if err != nil {
		return nil, err
	}
	return n.fs.wrap(f), nil
}

func (n *withFilesNode) Create(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	child, f, change, err := n.Node.Create(ctx, cred, name, set, how)
	if err != nil {
		return nil, nil, change, err
	}
	return &withFilesNode{child, n.fs}, n.fs.wrap(f), change, nil
}
