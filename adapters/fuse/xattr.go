package fusefs

import (
	"context"
	"slices"
	"strings"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// mayXattr checks that cred may rwx the attribute of that name (xattr(7)).
func (h *held) mayXattr(cred *vfs.Cred, name string, rwx uint32) error {
	cred = h.fs.judge(cred)
	a, err := h.attr()
	if err != nil {
		return err
	}
	if len(name) > vfs.MaxName {
		return vfs.ERANGE
	}
	if space, _, _ := strings.Cut(name, "."); space != "user" {
		switch {
		case cred.UID == 0 || rwx == mayRead && space != "trusted":
			return nil
		case rwx == mayRead:
			return vfs.ENODATA
		}
		return vfs.EPERM
	}
	isDir := a.Type == vfs.TypeDirectory
	switch {
	case a.Type != vfs.TypeRegular && !isDir && rwx == mayRead:
		return vfs.ENODATA
	case a.Type != vfs.TypeRegular && !isDir,
		isDir && rwx == mayWrite && a.Mode&vfs.ModeSticky != 0 && cred.UID != 0 && cred.UID != a.UID:
		return vfs.EPERM
	}
	return permit(cred, &a, rwx)
}

// GetXattr implements vfs.Xattrer.
func (n *node) GetXattr(ctx context.Context, cred *vfs.Cred, name string) (value []byte, err error) {
	err = n.shared(ctx, func(h *held) error {
		if err := h.mayXattr(cred, name, mayRead); err != nil {
			return err
		}
		in := n.fs.header(cred, h.entry)
		value, err = h.fill(func(buf []byte) (uint32, fuse.Status) { return n.fs.raw.GetXAttr(cancel(ctx), &in, name, buf) })
		return err
	})
	return value, err
}

// fill calls get with a buffer for the longest answer there is.
func (h *held) fill(get func(buf []byte) (uint32, fuse.Status)) ([]byte, error) {
	buf := make([]byte, vfs.MaxXattr)
	var size uint32
	err := h.fs.call(func() (code fuse.Status) {
		size, code = get(buf)
		return code
	})
	switch {
	case err == vfs.ERANGE || err == nil && size > vfs.MaxXattr:
		return nil, vfs.E2BIG
	case err != nil:
		return nil, gone(err)
	}
	return slices.Clone(buf[:size]), nil
}

// SetXattr implements vfs.Xattrer.
func (n *node) SetXattr(ctx context.Context, cred *vfs.Cred, name string, value []byte, flags vfs.XattrFlags) error {
	if len(value) > vfs.MaxXattr {
		return vfs.E2BIG
	}
	return n.changeXattr(ctx, cred, name, func(h *held) fuse.Status {
		in := fuse.SetXAttrIn{InHeader: n.fs.header(cred, h.entry), Size: uint32(len(value)), Flags: uint32(flags)}
		return n.fs.raw.SetXAttr(cancel(ctx), &in, name, value)
	})
}

// RemoveXattr implements vfs.Xattrer.
func (n *node) RemoveXattr(ctx context.Context, cred *vfs.Cred, name string) error {
	return n.changeXattr(ctx, cred, name, func(h *held) fuse.Status {
		in := n.fs.header(cred, h.entry)
		return n.fs.raw.RemoveXAttr(cancel(ctx), &in, name)
	})
}

func (n *node) changeXattr(ctx context.Context, cred *vfs.Cred, name string, change func(*held) fuse.Status) error {
	return n.alone(ctx, func(h *held) error {
		if err := h.mayXattr(cred, name, mayWrite); err != nil {
			return err
		}
		if err := n.fs.call(func() fuse.Status { return change(h) }); err != nil {
			return gone(err)
		}
		h.changed()
		return nil
	})
}

// ListXattr implements vfs.Xattrer. What is trusted is for root to see.
func (n *node) ListXattr(ctx context.Context, cred *vfs.Cred) (names []string, err error) {
	err = n.shared(ctx, func(h *held) error {
		in := n.fs.header(cred, h.entry)
		list, err := h.fill(func(buf []byte) (uint32, fuse.Status) { return n.fs.raw.ListXAttr(cancel(ctx), &in, buf) })
		names = strings.Split(string(list), "\x00")
		return err
	})
	root := n.fs.as(cred).UID == 0
	return slices.DeleteFunc(names, func(name string) bool {
		return name == "" || !root && strings.HasPrefix(name, "trusted.")
	}), err
}
