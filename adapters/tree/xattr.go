package tree

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// maxXattrs bounds the extended attributes of a file, and is what listxattr(2)
// can tell (XATTR_LIST_MAX).
const maxXattrs = 64 << 10

// keepXattrs remembers the extended attributes of an entry that can be served.
func (b *Builder) keepXattrs(node uint32, e *Entry) error {
	total := 0
	kept := make(map[string][]byte, len(e.Xattrs))
	for name, value := range e.Xattrs {
		space, rest, _ := strings.Cut(name, ".")
		total += len(name) + 1
		if len(name) > vfs.MaxName || len(value) > vfs.MaxXattr || total > maxXattrs || strings.IndexByte(name, 0) >= 0 ||
			rest == "" || !slices.Contains([]string{"user", "trusted", "security"}, space) {
			continue
		}
		kept[name] = value
		b.kept += len(name) + len(value)
	}
	if b.kept > maxText {
		return vfs.Errorf(vfs.EFBIG, "extended attributes with more than %d bytes", maxText)
	}
	if len(kept) > 0 {
		b.xattrs[node] = kept
	}
	return nil
}

// GetXattr implements vfs.Xattrer.
func (n node) GetXattr(_ context.Context, cred *vfs.Cred, name string) ([]byte, error) {
	value, ok := n.fs.xattrs[n.number][name]
	switch {
	case strings.HasPrefix(name, "user."):
		if err := n.permit(cred, mayRead); err != nil {
			return nil, err
		}
	case strings.HasPrefix(name, "trusted.") && cred.UID != 0:
		return nil, vfs.ENODATA // xattr(7): others do not see them
	}
	if !ok {
		return nil, vfs.ENODATA
	}
	return slices.Clone(value), nil
}

// ListXattr implements vfs.Xattrer.
func (n node) ListXattr(_ context.Context, cred *vfs.Cred) ([]string, error) {
	names := slices.Sorted(maps.Keys(n.fs.xattrs[n.number]))
	if cred.UID != 0 {
		names = slices.DeleteFunc(names, func(s string) bool { return strings.HasPrefix(s, "trusted.") })
	}
	return names, nil
}

// SetXattr implements vfs.Xattrer.
func (n node) SetXattr(context.Context, *vfs.Cred, string, []byte, vfs.XattrFlags) error {
	return vfs.EROFS
}

// RemoveXattr implements vfs.Xattrer.
func (n node) RemoveXattr(context.Context, *vfs.Cred, string) error { return vfs.EROFS }

var _ vfs.Xattrer = node{}

// AccessACL is the name of the extended attribute that has a POSIX access
// control list (acl(5)).
const AccessACL = "system.posix_acl_access"

// Tags of its entries (linux/posix_acl.h).
const (
	aclUser     = 0x02
	aclGroupObj = 0x04
	aclGroup    = 0x08
	aclMask     = 0x10
	aclOther    = 0x20
)

// RestrictMode takes from a mode what an access control list may keep from
// somebody. Lists are not enforced, and the mode alone would let in whom an
// entry keeps out; so group and others have only what the entries of the list
// give to everybody but the owner. Nothing is left to them by a list that is
// malformed. shortened says that entries for the classes have no id, as on the
// disk of ext4.
func RestrictMode(mode uint32, acl []byte, shortened bool) uint32 {
	group, others, mask := uint32(7), uint32(7), uint32(7)
	if len(acl) < 4 {
		return mode &^ 0o77
	}
	acl = acl[4:] // the version
	for len(acl) > 0 {
		size, tag := 8, uint16(0)
		if len(acl) >= 4 {
			tag = binary.LittleEndian.Uint16(acl)
		}
		if shortened && tag != aclUser && tag != aclGroup {
			size = 4
		}
		if len(acl) < size {
			return mode &^ 0o77
		}
		perm := uint32(binary.LittleEndian.Uint16(acl[2:])) & 7
		switch tag {
		case aclUser, aclGroup:
			group, others = group&perm, others&perm
		case aclGroupObj:
			group &= perm
		case aclOther:
			others &= perm
		case aclMask:
			mask = perm
		}
		acl = acl[size:]
	}
	return mode&^0o77 | mode&0o70&((group&mask)<<3) | mode&0o07&others
}
