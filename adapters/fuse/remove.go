package fusefs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// lastName reports whether a node with these attributes is gone when a name of
// it is.
func lastName(a *vfs.Attr) bool { return a.Type == vfs.TypeDirectory || a.Nlink <= 1 }

// unlink takes a name away.
func (h *held) unlink(cred *vfs.Cred, name string, dir bool) error {
	in := h.fs.header(cred, h.entry)
	return supported(h.fs.call(func() fuse.Status {
		if dir {
			return h.fs.raw.Rmdir(cancel(h.ctx), &in, name)
		}
		return h.fs.raw.Unlink(cancel(h.ctx), &in, name)
	}))
}

// Remove implements vfs.Node.
func (n *node) Remove(ctx context.Context, cred *vfs.Cred, name string, dir bool) (change vfs.DirChange, err error) {
	err = n.changeDir(ctx, func(h *held) error {
		before, err := h.search(cred, mayExec)
		if err != nil {
			return err
		}
		child, err := h.walk(cred, name)
		if err != nil {
			return err
		}
		defer child.release()
		child.op.Lock() // whoever opens it does so before or after
		defer child.op.Unlock()
		a, err := child.attr()
		if err != nil {
			return err
		}
		if err := mayRemove(n.fs.judge(cred), &before, &a); err != nil {
			return err
		}
		switch isDir := a.Type == vfs.TypeDirectory; {
		case isDir && !dir:
			return vfs.EISDIR
		case !isDir && dir:
			return vfs.ENOTDIR
		}
		if err := h.unlink(cred, name, dir); err != nil {
			return err
		}
		child.changed()
		if lastName(&a) {
			n.fs.nodes.removed(child.entry)
		}
		change, err = h.told(&before)
		return err
	})
	return change, err
}
