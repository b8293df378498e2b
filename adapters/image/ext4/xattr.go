package ext4

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// attribute is an extended attribute as an inode or a block has it.
type attribute struct {
	space uint8 // e_name_index
	name  string
	value []byte
	// external is the inode that has the value instead, and size its length.
	external, size uint32
}

// Values of e_name_index.
const (
	spaceACL  = 2 // system.posix_acl_access
	spaceData = 7 // system.data
)

// spaces are those attributes that are served. Access lists are not: they are not
// enforced, but restrict the mode.
var spaces = map[uint8]string{1: "user.", 4: "trusted.", 6: "security."}

const (
	attributeMagic  = 0xEA020000
	attributeHeader = 32 // of a block
	attributeEntry  = 16 // before its name
)

// attributes are those in an inode, then those in its block.
func (f *FS) attributes(i *inode) ([]attribute, error) {
	list, err := i.ownAttributes()
	if err != nil {
		return nil, err
	}
	number := uint64(le.Uint32(i.raw[0x68:]))
	if f.super.incompat&incompat64bit != 0 {
		number |= uint64(le.Uint16(i.raw[0x76:])) << 32
	}
	if number == 0 {
		return list, nil
	}
	p, err := f.block(number)
	if err != nil {
		return nil, err
	}
	if le.Uint32(p) != attributeMagic || le.Uint32(p[8:]) != 1 {
		return nil, disk.Corrupt("inode %d: block %d has no extended attributes", i.number, number)
	}
	if f.super.checksums() {
		seed := sum(f.super.seed, le.AppendUint64(nil, number))
		seed = sum(sum(seed, p[:0x10]), make([]byte, 4))
		if sum(seed, p[0x14:]) != le.Uint32(p[0x10:]) {
			return nil, disk.Corrupt("inode %d: the checksum of its extended attributes is wrong", i.number)
		}
	}
	more, err := parseAttributes(i, p[attributeHeader:], p)
	return append(list, more...), err
}

// ownAttributes are those behind the fields of an inode.
func (i *inode) ownAttributes() ([]attribute, error) {
	if len(i.raw) <= minInodeSize {
		return nil, nil
	}
	start := minInodeSize + int(le.Uint16(i.raw[atExtra:]))
	if start+8 > len(i.raw) || le.Uint32(i.raw[start:]) != attributeMagic {
		return nil, nil
	}
	p := i.raw[start+4:]
	return parseAttributes(i, p, p)
}

// parseAttributes reads entries up to four bytes of zero. Their values are at
// offsets in values.
func parseAttributes(i *inode, p, values []byte) ([]attribute, error) {
	var list []attribute
	for len(p) >= 4 && le.Uint32(p) != 0 {
		nameLen := 0
		if len(p) >= attributeEntry {
			nameLen = int(p[0])
		}
		whole := (attributeEntry + nameLen + 3) &^ 3
		if whole > len(p) {
			return nil, disk.Corrupt("inode %d: the list of extended attributes has no end", i.number)
		}
		a := attribute{
			space: p[1], name: string(p[attributeEntry : attributeEntry+nameLen]),
			external: le.Uint32(p[4:]), size: le.Uint32(p[8:]),
		}
		off := uint64(le.Uint16(p[2:]))
		switch {
		case a.size > vfs.MaxXattr:
			return nil, disk.Corrupt("inode %d: an extended attribute of %d bytes", i.number, a.size)
		case a.external == 0 && off+uint64(a.size) > uint64(len(values)):
			return nil, disk.Corrupt("inode %d: an extended attribute is not where it should be", i.number)
		case a.external == 0:
			a.value = values[off : off+uint64(a.size)]
		}
		list = append(list, a)
		p = p[whole:]
	}
	return list, nil
}

// value is the value of an attribute, from its inode if it has one of its own.
func (f *FS) value(a attribute) ([]byte, error) {
	if a.external == 0 {
		return bytes.Clone(a.value), nil
	}
	i, err := f.anyInode(a.external)
	if err != nil {
		return nil, err
	}
	if i.flags()&flagEAInode == 0 || i.typ() != vfs.TypeRegular || i.size() != uint64(a.size) {
		return nil, disk.Corrupt("inode %d is not the value of an attribute of %d bytes", a.external, a.size)
	}
	c, err := f.content(i)
	if err != nil {
		return nil, err
	}
	p := make([]byte, a.size)
	return p, c.readAt(p, 0)
}

// acl is the access list of an inode, or nil.
func (f *FS) acl(i *inode) ([]byte, error) {
	list, err := f.attributes(i)
	for _, a := range list {
		if a.space == spaceACL && a.name == "" {
			return f.value(a)
		}
	}
	return nil, err
}

// inlineData is the content of an inode that is in the inode: the first bytes
// instead of a block map, more in an attribute.
func (f *FS) inlineData(i *inode) ([]byte, error) {
	list, err := i.ownAttributes()
	if err != nil {
		return nil, err
	}
	p := bytes.Clone(i.blockMap())
	for _, a := range list {
		if a.space == spaceData && a.name == "data" && a.external == 0 {
			p = append(p, a.value...)
		}
	}
	if i.size() > uint64(len(p)) {
		return nil, disk.Corrupt("inode %d: %d bytes cannot be in the inode", i.number, i.size())
	}
	return p[:i.size()], nil
}

// GetXattr implements vfs.Xattrer.
func (n *node) GetXattr(_ context.Context, cred *vfs.Cred, name string) ([]byte, error) {
	switch {
	case strings.HasPrefix(name, "user."):
		if !vfs.Permit(cred, &n.attr, mayRead) {
			return nil, vfs.EACCES
		}
	case strings.HasPrefix(name, "trusted.") && cred.UID != 0:
		return nil, vfs.ENODATA // xattr(7): others do not see them
	}
	list, err := n.fs.attributes(n.inode)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		if space := spaces[a.space]; space != "" && a.name != "" && space+a.name == name {
			return n.fs.value(a)
		}
	}
	return nil, vfs.ENODATA
}

// ListXattr implements vfs.Xattrer.
func (n *node) ListXattr(_ context.Context, cred *vfs.Cred) ([]string, error) {
	list, err := n.fs.attributes(n.inode)
	var names []string
	for _, a := range list {
		space := spaces[a.space]
		if space == "" || a.name == "" || strings.IndexByte(a.name, 0) >= 0 || space == "trusted." && cred.UID != 0 ||
			len(space+a.name) > vfs.MaxName {
			continue
		}
		names = append(names, space+a.name)
	}
	slices.Sort(names)
	return slices.Compact(names), err
}

// SetXattr implements vfs.Xattrer.
func (n *node) SetXattr(context.Context, *vfs.Cred, string, []byte, vfs.XattrFlags) error {
	return vfs.EROFS
}

// RemoveXattr implements vfs.Xattrer.
func (n *node) RemoveXattr(context.Context, *vfs.Cred, string) error { return vfs.EROFS }

var _ vfs.Xattrer = (*node)(nil)
