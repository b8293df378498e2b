package ext4

import (
	"strings"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// inode is an inode as it is on the disk.
type inode struct {
	number uint32
	raw    []byte
	seed   uint32 // of the checksums of what belongs to it
	broken error  // it could not be read
}

// Flags of an inode.
const (
	flagEncrypted = 0x800
	flagHuge      = 0x40000
	flagExtents   = 0x80000
	flagEAInode   = 0x200000
	flagInline    = 0x10000000
)

// Where fields of an inode are.
const (
	atMap      = 0x28 // i_block: extents, block map, inline data, target or device
	mapSize    = 60
	atSumLow   = 0x7C
	atExtra    = 0x80
	atSumHigh  = 0x82
	atVersion2 = 0x98
)

// inode reads an inode that a user may see. ESTALE if it is not in use.
func (f *FS) inode(number uint32) (*inode, error) {
	if !f.super.served(number) {
		return nil, disk.Corrupt("inode %d is no file's", number)
	}
	i, err := f.anyInode(number)
	if err != nil {
		return nil, err
	}
	switch {
	case i.flags()&flagEAInode != 0:
		return nil, disk.Corrupt("inode %d is the value of an attribute", number)
	case i.typ() == vfs.TypeUnknown:
		return nil, disk.Corrupt("inode %d is of no known kind", number)
	}
	return i, nil
}

// anyInode reads an inode, also one that is the value of an attribute.
func (f *FS) anyInode(number uint32) (*inode, error) {
	s := f.super
	if number == 0 || number > s.inodes {
		return nil, disk.Corrupt("there is no inode %d", number)
	}
	group, index := (number-1)/s.inodesPerGroup, (number-1)%s.inodesPerGroup
	table := f.tables[group]
	inTable := uint64(index) * uint64(s.inodeSize)
	last := table + inTable/uint64(s.blockSize)
	if table == 0 || table >= s.blocks || last >= s.blocks {
		return nil, disk.Corrupt("inode %d is not on the device", number)
	}
	i := &inode{number: number, raw: make([]byte, s.inodeSize)}
	if err := disk.ReadFull(f.dev, i.raw, int64(table)*int64(s.blockSize)+int64(inTable)); err != nil {
		return nil, err
	}
	if i.links() == 0 || i.mode() == 0 { // perhaps never written, with no checksum either
		return nil, vfs.Errorf(vfs.ESTALE, "inode %d is not in use", number)
	}
	i.seed = sum32(sum32(s.seed, number), i.generation())
	if s.checksums() && !i.sound() {
		return nil, disk.Corrupt("the checksum of inode %d is wrong", number)
	}
	if i.size() > s.maxFileSize() {
		return nil, disk.Corrupt("inode %d is larger than a file can be", number)
	}
	return i, nil
}

// sound compares the checksum.
func (i *inode) sound() bool {
	p := append([]byte(nil), i.raw...)
	clear(p[atSumLow : atSumLow+2])
	want, mask := uint32(le.Uint16(i.raw[atSumLow:])), uint32(0xFFFF)
	if i.has(atSumHigh, 2) {
		clear(p[atSumHigh : atSumHigh+2])
		want, mask = want|uint32(le.Uint16(i.raw[atSumHigh:]))<<16, 1<<32-1
	}
	return sum(i.seed, p)&mask == want
}

// has reports whether a field beyond the first 128 bytes is there.
func (i *inode) has(at, size int) bool {
	return len(i.raw) > minInodeSize && at+size <= minInodeSize+int(le.Uint16(i.raw[atExtra:])) && at+size <= len(i.raw)
}

func (i *inode) mode() uint32       { return uint32(le.Uint16(i.raw)) }
func (i *inode) links() uint32      { return uint32(le.Uint16(i.raw[0x1A:])) }
func (i *inode) flags() uint32      { return le.Uint32(i.raw[0x20:]) }
func (i *inode) generation() uint32 { return le.Uint32(i.raw[0x64:]) }
func (i *inode) blockMap() []byte   { return i.raw[atMap : atMap+mapSize] }

// size is in bytes. The upper half is another field in old directories.
func (i *inode) size() uint64 {
	size := uint64(le.Uint32(i.raw[4:]))
	if typ := i.typ(); typ == vfs.TypeRegular || typ == vfs.TypeDirectory && i.flags()&flagExtents != 0 {
		size |= uint64(le.Uint32(i.raw[0x6C:])) << 32
	}
	return size
}

// typ is the kind, by S_IFMT (inode(7)).
func (i *inode) typ() vfs.FileType {
	switch i.mode() >> 12 {
	case 0o01:
		return vfs.TypeFIFO
	case 0o02:
		return vfs.TypeChar
	case 0o04:
		return vfs.TypeDirectory
	case 0o06:
		return vfs.TypeBlock
	case 0o10:
		return vfs.TypeRegular
	case 0o12:
		return vfs.TypeSymlink
	case 0o14:
		return vfs.TypeSocket
	}
	return vfs.TypeUnknown
}

// attr is all of the attributes. The mode is restricted by the access list.
func (f *FS) attr(i *inode) vfs.Attr {
	a := vfs.Attr{
		Valid: vfs.AttrStat | vfs.AttrChange,
		Type:  i.typ(), Mode: i.mode() & 0o7777, Nlink: i.links(), Size: i.size(), FileID: uint64(i.number),
		UID:   uint32(le.Uint16(i.raw[2:])) | uint32(le.Uint16(i.raw[0x78:]))<<16,
		GID:   uint32(le.Uint16(i.raw[0x18:])) | uint32(le.Uint16(i.raw[0x7A:]))<<16,
		Used:  f.used(i),
		Atime: i.time(8, 0x8C), Ctime: i.time(0xC, 0x84), Mtime: i.time(0x10, 0x88),
	}
	if i.has(0x90, 4) {
		a.Btime = i.time(0x90, 0x94)
		a.Valid |= vfs.AttrBirth
	}
	if a.Type == vfs.TypeBlock || a.Type == vfs.TypeChar {
		a.Rdev = i.rdev()
	}
	a.Change = f.WriteVerifier() ^ i.version()
	return a
}

// time is a time of 32 bits, and what an inode with more room has of it: two more
// bits of seconds, then nanoseconds.
func (i *inode) time(at, extra int) vfs.Timespec {
	t := vfs.Timespec{Sec: int64(int32(le.Uint32(i.raw[at:])))}
	if i.has(extra, 4) {
		more := le.Uint32(i.raw[extra:])
		t.Sec += int64(more&3) << 32
		t.Nsec = min(more>>2, 1e9-1)
	}
	return t
}

// version is i_version mixed with the time of the last change: either differs
// after most changes.
func (i *inode) version() uint64 {
	v := uint64(le.Uint32(i.raw[0x24:]))
	if i.has(atVersion2, 4) {
		v |= uint64(le.Uint32(i.raw[atVersion2:])) << 32
	}
	c := i.time(0xC, 0x84)
	return v ^ uint64(c.Sec)<<30 ^ uint64(c.Nsec)
}

// used is in bytes; the inode counts in 512 bytes, or blocks for huge files.
func (f *FS) used(i *inode) uint64 {
	n := uint64(le.Uint32(i.raw[0x1C:]))
	if i.flags()&flagInline != 0 && i.typ() == vfs.TypeRegular {
		n += (i.size() + 511) >> 9 // or tar would take it for all hole
	}
	if f.super.ro&roCompatHugeFile == 0 {
		return n << 9
	}
	n |= uint64(le.Uint16(i.raw[0x74:])) << 32
	if i.flags()&flagHuge != 0 {
		return n * uint64(f.super.blockSize)
	}
	return n << 9
}

// rdev is the number of a device in its old or its new encoding.
func (i *inode) rdev() vfs.Rdev {
	if v := le.Uint32(i.blockMap()); v != 0 {
		return vfs.Rdev{Major: v >> 8 & 0xFF, Minor: v & 0xFF}
	}
	v := le.Uint32(i.blockMap()[4:])
	return vfs.Rdev{Major: v >> 8 & 0xFFF, Minor: v&0xFF | v>>12&0xFFF00}
}

// target is where a symbolic link leads.
func (f *FS) target(i *inode) (string, error) {
	size := i.size()
	if size == 0 || size > vfs.MaxSymlink {
		return "", disk.Corrupt("the target of symbolic link %d has %d bytes", i.number, size)
	}
	p := make([]byte, size)
	if size < mapSize && i.flags()&(flagExtents|flagInline) == 0 {
		copy(p, i.blockMap())
	} else {
		c, err := f.content(i)
		if err != nil {
			return "", err
		}
		if err := c.readAt(p, 0); err != nil {
			return "", err
		}
	}
	if strings.IndexByte(string(p), 0) >= 0 {
		return "", disk.Corrupt("the target of symbolic link %d has a NUL in it", i.number)
	}
	return string(p), nil
}
