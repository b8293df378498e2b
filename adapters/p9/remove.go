package p9fs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

func unlinkFlags(dir bool) uint32 {
	if dir {
		return unix.AT_REMOVEDIR
	}
	return 0
}

// lastName reports whether a node with these attributes is gone when a name of
// it is. File systems without hard links may say 0 links.
func lastName(a *vfs.Attr) bool { return a.Type == vfs.TypeDirectory || a.Nlink <= 1 }

// Remove implements vfs.Node.
func (n *node) Remove(_ context.Context, cred *vfs.Cred, name string, dir bool) (change vfs.DirChange, err error) {
	err = n.alone(func(h *held) error {
		before, err := h.search(cred, mayExec)
		if err != nil {
			return err
		}
		child, err := h.walk(name)
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
		if err := mayRemove(n.fs.as(cred), &before, &a); err != nil {
			return err
		}
		switch isDir := a.Type == vfs.TypeDirectory; {
		case isDir && !dir:
			return vfs.EISDIR
		case !isDir && dir:
			return vfs.ENOTDIR
		}
		if err := h.fid.file.UnlinkAt(name, unlinkFlags(dir)); err != nil {
			return errno(err)
		}
		child.changed()
		n.fs.nodes.unnamed(child.entry, place{h.entry, name}, lastName(&a))
		change, err = h.told(&before)
		return err
	})
	return change, err
}
