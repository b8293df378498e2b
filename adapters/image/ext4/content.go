package ext4

import (
	"io"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/vfs"
)

// content is the bytes of an inode: of a file, a directory, or what is too long
// for an inode otherwise.
type content struct {
	fs     *FS
	size   int64
	inline []byte // of all bytes, if they are in the inode
	runs   mapper // else
}

// run is how consecutive blocks of a file lie on the device.
type run struct {
	at    uint64 // first block on the device; 0 is a hole
	count uint64 // of blocks, at least 1
}

// mapper finds the run that starts with a block of a file. A run need not be as
// long as it could be.
type mapper func(block uint32) (run, error)

// content finds the bytes of an inode. EOPNOTSUPP if they are encrypted.
func (f *FS) content(i *inode) (*content, error) {
	c := &content{fs: f, size: int64(i.size())}
	switch flags := i.flags(); {
	case flags&flagEncrypted != 0:
		return nil, vfs.Errorf(vfs.EOPNOTSUPP, "inode %d is encrypted", i.number)
	case flags&flagInline != 0:
		p, err := f.inlineData(i)
		c.inline = p
		return c, err
	case flags&flagExtents != 0:
		c.runs = func(block uint32) (run, error) { return f.extent(i, block) }
	default:
		c.runs = func(block uint32) (run, error) { return f.mapped(i, block) }
	}
	return c, nil
}

// readAt fills p from off, which are within the content.
func (c *content) readAt(p []byte, off int64) error {
	if c.runs == nil {
		copy(p, c.inline[off:])
		return nil
	}
	size := int64(c.fs.super.blockSize)
	for len(p) > 0 {
		r, err := c.runs(uint32(off / size))
		if err != nil {
			return err
		}
		within := off % size
		part := p[:min(uint64(len(p)), r.count*uint64(size)-uint64(within))]
		if err := c.readRun(part, r, within); err != nil {
			return err
		}
		p, off = p[len(part):], off+int64(len(part))
	}
	return nil
}

func (c *content) readRun(p []byte, r run, within int64) error {
	if r.at == 0 {
		clear(p)
		return nil
	}
	if r.at >= c.fs.super.blocks || r.count > c.fs.super.blocks-r.at {
		return disk.Corrupt("blocks %d to %d are not all on the device", r.at, r.at+r.count-1)
	}
	return disk.ReadFull(c.fs.dev, p, int64(r.at)*int64(c.fs.super.blockSize)+within)
}

// maxRuns bounds how far one seek goes. What is behind counts as data, which is
// never wrong: a hole reads as zeroes (lseek(2)).
const maxRuns = 1 << 16

// seek returns where at or behind off there is data, or a hole: the end counts
// as one. io.EOF if there is none.
func (c *content) seek(off int64, hole bool) (int64, error) {
	if c.runs == nil {
		if hole {
			return c.size, nil
		}
		return off, nil
	}
	size := int64(c.fs.super.blockSize)
	at := off
	for n := 0; at < c.size && n < maxRuns; n++ {
		r, err := c.runs(uint32(at / size))
		if err != nil {
			return 0, err
		}
		if (r.at == 0) == hole {
			return at, nil
		}
		at = (at/size + int64(r.count)) * size
	}
	if hole {
		return c.size, nil
	}
	if at < c.size {
		return at, nil
	}
	return 0, io.EOF
}
