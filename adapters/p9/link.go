package p9fs

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// Link implements vfs.Linker. The node's File is had before the directory is
// locked, since the way to it may lead through there.
func (n *node) Link(_ context.Context, cred *vfs.Cred, newDir vfs.Node, newName string) (change vfs.DirChange, err error) {
	dst, ok := newDir.(*node)
	switch {
	case !ok || dst.fs != n.fs:
		return change, vfs.EXDEV
	case n.fs.opt.ReadOnly:
		return change, vfs.EROFS
	}
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	target, err := n.linkable()
	if err != nil {
		return change, err
	}
	defer target.release()
	err = dst.change(func(h *held) error {
		b, err := h.expect(cred, newName, vfs.TypeRegular, nil)
		if err != nil {
			return err
		}
		if err := h.fid.file.Link(target.fid.file, newName); err != nil {
			return errno(err)
		}
		target.changed()
		h.fs.nodes.named(target.entry, place{h.entry, newName})
		change, err = h.told(&b.dir)
		return err
	})
	return change, err
}

// linkable holds a node that may have more than one name.
func (n *node) linkable() (*held, error) {
	h, err := n.hold()
	if err != nil {
		return nil, err
	}
	h.op.RLock()
	a, err := h.attr()
	h.op.RUnlock()
	if err == nil && a.Type == vfs.TypeDirectory {
		err = vfs.EPERM
	}
	if err != nil {
		h.release()
		return nil, err
	}
	return h, nil
}
