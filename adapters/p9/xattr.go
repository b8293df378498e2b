package p9fs

import (
	"context"
	"slices"
	"strings"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// mayXattr checks that cred may rwx the attribute of that name (xattr(7)).
func (h *held) mayXattr(cred *vfs.Cred, name string, rwx uint32) error {
	cred = h.fs.as(cred)
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
func (n *node) GetXattr(_ context.Context, cred *vfs.Cred, name string) (value []byte, err error) {
	err = n.shared(func(h *held) error {
		if err := h.mayXattr(cred, name, mayRead); err != nil {
			return err
		}
		value, err = h.fid.file.GetXattr(name)
		if len(value) > vfs.MaxXattr {
			return vfs.E2BIG
		}
		return gone(err)
	})
	return value, err
}

// SetXattr implements vfs.Xattrer.
func (n *node) SetXattr(_ context.Context, cred *vfs.Cred, name string, value []byte, flags vfs.XattrFlags) error {
	if len(value) > vfs.MaxXattr {
		return vfs.E2BIG
	}
	return n.changeXattr(cred, name, func(f p9.File) error {
		return f.SetXattr(name, value, p9.XattrFlags(flags))
	})
}

// RemoveXattr implements vfs.Xattrer.
func (n *node) RemoveXattr(_ context.Context, cred *vfs.Cred, name string) error {
	return n.changeXattr(cred, name, func(f p9.File) error { return f.RemoveXattr(name) })
}

func (n *node) changeXattr(cred *vfs.Cred, name string, change func(p9.File) error) error {
	return n.alone(func(h *held) error {
		if err := h.mayXattr(cred, name, mayWrite); err != nil {
			return err
		}
		if err := change(h.fid.file); err != nil {
			return gone(err)
		}
		h.changed()
		return nil
	})
}

// ListXattr implements vfs.Xattrer. What is trusted is for root to see.
func (n *node) ListXattr(_ context.Context, cred *vfs.Cred) (names []string, err error) {
	err = n.shared(func(h *held) error {
		names, err = h.fid.file.ListXattrs()
		return gone(err)
	})
	root := n.fs.as(cred).UID == 0
	return slices.DeleteFunc(names, func(name string) bool {
		return name == "" || !root && strings.HasPrefix(name, "trusted.")
	}), err
}
