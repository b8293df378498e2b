package squashfs

import (
	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// inode is an inode, of any kind.
type inode struct {
	typ      vfs.FileType
	mode     uint32
	uid, gid uint32
	mtime    uint32
	number   uint32
	nlink    uint32
	size     uint64 // of a file; of a directory what its list takes
	holes    uint64 // bytes of a file that are in blocks of zeroes
	target   string
	rdev     vfs.Rdev
	xattr    uint32

	start    uint64 // of the data of a file; the reference of a directory's list
	fragment uint32
	offset   uint32 // of the end of a file in its fragment
	list     cursor // at the sizes of the blocks of a file
}

// kinds are the types of basic inodes; extended ones have seven more.
var kinds = [...]vfs.FileType{
	1: vfs.TypeDirectory, vfs.TypeRegular, vfs.TypeSymlink, vfs.TypeBlock, vfs.TypeChar, vfs.TypeFIFO, vfs.TypeSocket,
}

const extended = 7

func (m *image) inode(reference uint64) (*inode, error) {
	c := m.cursor(m.inodes, reference)
	p, err := c.read(16)
	if err != nil {
		return nil, err
	}
	kind := le.Uint16(p)
	i := &inode{mode: uint32(le.Uint16(p[2:])) & 0o7777, mtime: le.Uint32(p[8:]), number: le.Uint32(p[12:]), xattr: noXattrs, nlink: 1}
	if kind == 0 || kind > 2*extended {
		return nil, disk.Corrupt("inode %d is of kind %d", i.number, kind)
	}
	for n, id := range map[int]*uint32{4: &i.uid, 6: &i.gid} {
		e, err := m.entry(m.ids, uint32(le.Uint16(p[n:])))
		if err != nil {
			return nil, err
		}
		*id = le.Uint32(e)
	}
	more := kind > extended
	if more {
		kind -= extended
	}
	i.typ = kinds[kind]
	switch i.typ {
	case vfs.TypeDirectory:
		return i, i.directory(c, more)
	case vfs.TypeRegular:
		err := i.file(c, more)
		i.list = *c
		return i, err
	case vfs.TypeSymlink:
		return i, i.symlink(c, more)
	}
	return i, i.special(c, more)
}

func (i *inode) directory(c *cursor, more bool) error {
	if !more {
		p, err := c.read(16)
		if err != nil {
			return err
		}
		i.start, i.size = uint64(le.Uint32(p))<<16|uint64(le.Uint16(p[10:])), uint64(le.Uint16(p[8:]))
		return nil
	}
	p, err := c.read(24)
	if err != nil {
		return err
	}
	i.size, i.xattr = uint64(le.Uint32(p[4:])), le.Uint32(p[20:])
	i.start = uint64(le.Uint32(p[8:]))<<16 | uint64(le.Uint16(p[18:]))
	return nil
}

func (i *inode) file(c *cursor, more bool) error {
	if !more {
		p, err := c.read(16)
		if err != nil {
			return err
		}
		i.start, i.fragment, i.offset, i.size = uint64(le.Uint32(p)), le.Uint32(p[4:]), le.Uint32(p[8:]), uint64(le.Uint32(p[12:]))
		return nil
	}
	p, err := c.read(40)
	if err != nil {
		return err
	}
	i.start, i.size, i.holes, i.nlink = le.Uint64(p), le.Uint64(p[8:]), le.Uint64(p[16:]), le.Uint32(p[24:])
	i.fragment, i.offset, i.xattr = le.Uint32(p[28:]), le.Uint32(p[32:]), le.Uint32(p[36:])
	return nil
}

func (i *inode) symlink(c *cursor, more bool) error {
	p, err := c.read(8)
	if err != nil {
		return err
	}
	i.nlink = le.Uint32(p)
	size := le.Uint32(p[4:])
	if size > vfs.MaxSymlink {
		return disk.Corrupt("the target of symbolic link %d has %d bytes", i.number, size)
	}
	target, err := c.read(int(size))
	if err != nil || !more {
		i.target = string(target)
		return err
	}
	i.target = string(target)
	p, err = c.read(4)
	if err == nil {
		i.xattr = le.Uint32(p)
	}
	return err
}

func (i *inode) special(c *cursor, more bool) error {
	p, err := c.read(4)
	if err != nil {
		return err
	}
	i.nlink = le.Uint32(p)
	if i.typ == vfs.TypeBlock || i.typ == vfs.TypeChar {
		if p, err = c.read(4); err != nil {
			return err
		}
		v := le.Uint32(p)
		i.rdev = vfs.Rdev{Major: v >> 8 & 0xFFF, Minor: v&0xFF | v>>12&0xFFF00}
	}
	if more {
		if p, err = c.read(4); err != nil {
			return err
		}
		i.xattr = le.Uint32(p)
	}
	return nil
}
