package mem

import (
	"context"
	"slices"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// Extended attributes of users and, for root, of the system (xattr(7)).

func xattrCost(name string, value []byte) int64 { return int64(nameCost + len(name) + len(value)) }

// maxXattrNames bounds what ListXattr returns, in bytes with a NUL for each
// name (XATTR_LIST_MAX).
const maxXattrNames = 64 << 10

// mayXattr checks that cred may rwx the attribute of that name. n.mu is held.
func (n *inode) mayXattr(cred *vfs.Cred, name string, rwx uint32) error {
	if n.gone {
		return vfs.ESTALE
	}
	if len(name) > vfs.MaxName {
		return vfs.ERANGE
	}
	space, rest, _ := strings.Cut(name, ".")
	switch space {
	case "user":
		if rest == "" {
			return vfs.EINVAL
		}
		return n.mayUserXattr(cred, rwx)
	case "trusted", "security":
		switch {
		case rest == "":
			return vfs.EINVAL
		case cred.UID == 0 || space == "security" && rwx == mayRead:
			return nil
		case rwx == mayRead:
			return vfs.ENODATA
		}
		return vfs.EPERM
	}
	return vfs.EOPNOTSUPP
}

func (n *inode) mayUserXattr(cred *vfs.Cred, rwx uint32) error {
	isDir := n.typ == vfs.TypeDirectory
	switch {
	case n.typ != vfs.TypeRegular && !isDir && rwx == mayRead:
		return vfs.ENODATA
	case n.typ != vfs.TypeRegular && !isDir,
		isDir && rwx == mayWrite && n.mode&vfs.ModeSticky != 0 && cred.UID != 0 && cred.UID != n.uid:
		return vfs.EPERM
	}
	return n.permit(cred, rwx)
}

// GetXattr implements vfs.Xattrer.
func (n *inode) GetXattr(_ context.Context, cred *vfs.Cred, name string) ([]byte, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if err := n.mayXattr(cred, name, mayRead); err != nil {
		return nil, err
	}
	value, ok := n.xattrs[name]
	if !ok {
		return nil, vfs.ENODATA
	}
	return slices.Clone(value), nil
}

// SetXattr implements vfs.Xattrer.
func (n *inode) SetXattr(_ context.Context, cred *vfs.Cred, name string, value []byte, flags vfs.XattrFlags) error {
	if len(value) > vfs.MaxXattr {
		return vfs.E2BIG
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.mayXattr(cred, name, mayWrite); err != nil {
		return err
	}
	old, exists := n.xattrs[name]
	switch {
	case exists && flags&vfs.XattrCreate != 0:
		return vfs.EEXIST
	case !exists && flags&vfs.XattrReplace != 0:
		return vfs.ENODATA
	case !exists && n.xattrNames()+len(name)+1 > maxXattrNames:
		return vfs.ENOSPC
	}
	cost := xattrCost(name, value)
	if exists {
		cost -= xattrCost(name, old)
	}
	if err := n.fs.space.take(cost); err != nil {
		return err
	}
	if n.xattrs == nil {
		n.xattrs = make(map[string][]byte)
	}
	n.xattrs[strings.Clone(name)] = append([]byte{}, value...)
	n.changed(false)
	return nil
}

// xattrNames is the length of all names, each with a NUL. n.mu is held.
func (n *inode) xattrNames() int {
	length := 0
	for name := range n.xattrs {
		length += len(name) + 1
	}
	return length
}

// ListXattr implements vfs.Xattrer. The names that are root's are left
// out for others.
func (n *inode) ListXattr(_ context.Context, cred *vfs.Cred) ([]string, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.gone {
		return nil, vfs.ESTALE
	}
	names := make([]string, 0, len(n.xattrs))
	for name := range n.xattrs {
		if cred.UID == 0 || !strings.HasPrefix(name, "trusted.") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// RemoveXattr implements vfs.Xattrer.
func (n *inode) RemoveXattr(_ context.Context, cred *vfs.Cred, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.mayXattr(cred, name, mayWrite); err != nil {
		return err
	}
	value, ok := n.xattrs[name]
	if !ok {
		return vfs.ENODATA
	}
	delete(n.xattrs, name)
	n.fs.space.give(xattrCost(name, value))
	n.changed(false)
	return nil
}
