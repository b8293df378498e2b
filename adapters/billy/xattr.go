package billy

import (
	"context"
	"slices"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// mayXattr checks that cred may rwx the attribute of that name (xattr(7)), and
// returns where the node is. The tree is locked.
func (n *node) mayXattr(cred *vfs.Cred, name string, rwx uint32) (place, error) {
	if n.fs.can.xattr == nil {
		return place{}, vfs.EOPNOTSUPP
	}
	p, err := n.place()
	if err != nil {
		return p, err
	}
	if _, err := n.lstat(p); err != nil {
		return p, err
	}
	if len(name) > vfs.MaxName {
		return p, vfs.ERANGE
	}
	space, rest, _ := strings.Cut(name, ".")
	switch {
	case space != "user" && space != "trusted" && space != "security":
		return p, vfs.EOPNOTSUPP
	case rest == "":
		return p, vfs.EINVAL
	case space == "user":
		return p, n.mayUserXattr(cred, p, rwx)
	case cred.UID == 0 || space == "security" && rwx == mayRead:
		return p, nil
	case rwx == mayRead:
		return p, vfs.ENODATA
	}
	return p, vfs.EPERM
}

func (n *node) mayUserXattr(cred *vfs.Cred, p place, rwx uint32) error {
	isDir := n.typ == vfs.TypeDirectory
	if n.typ != vfs.TypeRegular && !isDir {
		if rwx == mayRead {
			return vfs.ENODATA
		}
		return vfs.EPERM
	}
	if isDir && rwx == mayWrite && cred.UID != 0 {
		a, err := n.modes(p)
		if err != nil {
			return err
		}
		if a.Mode&vfs.ModeSticky != 0 && cred.UID != a.UID {
			return vfs.EPERM
		}
	}
	return n.permit(cred, p, rwx)
}

// GetXattr implements vfs.Xattrer.
func (n *node) GetXattr(_ context.Context, cred *vfs.Cred, name string) ([]byte, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.mayXattr(cred, name, mayRead)
	if err != nil {
		return nil, err
	}
	value, err := n.fs.can.xattr.GetXattr(p.path, name)
	return value, errnoOf(err)
}

// SetXattr implements vfs.Xattrer.
func (n *node) SetXattr(_ context.Context, cred *vfs.Cred, name string, value []byte, flags vfs.XattrFlags) error {
	if len(value) > vfs.MaxXattr {
		return vfs.E2BIG
	}
	return n.changeXattr(cred, name, func(p place) error {
		return n.fs.can.xattr.SetXattr(p.path, name, value, flags)
	})
}

// RemoveXattr implements vfs.Xattrer.
func (n *node) RemoveXattr(_ context.Context, cred *vfs.Cred, name string) error {
	return n.changeXattr(cred, name, func(p place) error {
		return n.fs.can.xattr.RemoveXattr(p.path, name)
	})
}

func (n *node) changeXattr(cred *vfs.Cred, name string, change func(place) error) error {
	if err := n.fs.writable(); err != nil {
		return err
	}
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.mayXattr(cred, name, mayWrite)
	if err != nil {
		return err
	}
	if err := change(p); err != nil {
		return errnoOf(err)
	}
	return n.fs.touch(n.ino, false)
}

// ListXattr implements vfs.Xattrer. The names that are root's are left out for
// others.
func (n *node) ListXattr(_ context.Context, cred *vfs.Cred) ([]string, error) {
	if n.fs.can.xattr == nil {
		return nil, vfs.EOPNOTSUPP
	}
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return nil, err
	}
	names, err := n.fs.can.xattr.ListXattr(p.path)
	if err != nil {
		return nil, errnoOf(err)
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return cred.UID != 0 && strings.HasPrefix(name, "trusted.")
	}), nil
}

var (
	_ vfs.Xattrer = (*node)(nil)
)
