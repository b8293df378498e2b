package squashfs

import (
	"context"
	"io"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/lru"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// source is the content of files, by the references of their inodes. It implements
// tree.Source.
type source struct {
	image  *image
	closer io.Closer
	files  *lru.Cache[uint64, *content]
}

// listRoom bounds the lists of blocks that are kept, in bytes.
const listRoom = 16 << 20

func newSource(m *image, closer io.Closer) *source {
	return &source{m, closer, lru.New[uint64](listRoom, func(c *content) int64 { return int64(len(c.places))*12 + 64 })}
}

// content is the blocks of a file. It implements tree.Content and vfs.HoleSeeker.
type content struct {
	image    *image
	size     uint64
	sizes    []uint32 // of blocks as they are packed; 0 is a hole
	places   []uint64 // of blocks
	fragment uint32
	offset   uint32
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	if c, ok := s.files.Get(item); ok {
		return c, nil
	}
	i, err := s.image.inode(item)
	if err != nil {
		return nil, err
	}
	c := &content{image: s.image, size: i.size, fragment: i.fragment, offset: i.offset}
	count := i.size / uint64(s.image.blockSize)
	if i.fragment == noFragment && i.size%uint64(s.image.blockSize) != 0 {
		count++
	}
	at := i.start
	for range count {
		p, err := i.list.read(4)
		if err != nil {
			return nil, err
		}
		size := le.Uint32(p)
		c.sizes, c.places = append(c.sizes, size), append(c.places, at)
		at += uint64(size &^ notPackedData)
	}
	s.files.Add(item, c)
	return c, nil
}

// Close implements tree.Source.
func (s *source) Close() error { return s.closer.Close() }

// ReadAt implements tree.Content.
func (c *content) ReadAt(ctx context.Context, p []byte, off int64) error {
	size := int64(c.image.blockSize)
	for len(p) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		b, err := c.block(uint64(off / size))
		if err != nil {
			return err
		}
		n := copy(p, b[off%size:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// SeekData implements vfs.HoleSeeker.
func (c *content) SeekData(_ context.Context, off int64) (int64, error) {
	at := c.seek(off, false)
	if at == int64(c.size) {
		return 0, vfs.ENXIO
	}
	return at, nil
}

// SeekHole implements vfs.HoleSeeker.
func (c *content) SeekHole(_ context.Context, off int64) (int64, error) {
	return c.seek(off, true), nil
}

// seek returns where blocks of data begin, or of holes, at off or behind it: the
// end of the file if there are none.
func (c *content) seek(off int64, hole bool) int64 {
	size := int64(c.image.blockSize)
	for i := off / size; i < int64(len(c.sizes)); i++ {
		if (c.sizes[i] == 0) == hole {
			return max(off, i*size)
		}
	}
	if last := int64(len(c.sizes)) * size; !hole && last < int64(c.size) { // in a fragment
		return max(off, last)
	}
	return int64(c.size)
}

// Close implements tree.Content.
func (c *content) Close() error { return nil }

// block returns a block of the file, all of it.
func (c *content) block(index uint64) ([]byte, error) {
	want := min(uint64(c.image.blockSize), c.size-index*uint64(c.image.blockSize))
	switch {
	case index >= uint64(len(c.sizes)):
		return c.end(want)
	case c.sizes[index] == 0:
		return make([]byte, want), nil
	}
	b, err := c.image.data(c.places[index], c.sizes[index])
	if err == nil && uint64(len(b)) != want {
		err = disk.Corrupt("a block at %d has %d bytes instead of %d", c.places[index], len(b), want)
	}
	return b, err
}

// end returns the last bytes of the file, which are in a block with those of others.
func (c *content) end(want uint64) ([]byte, error) {
	e, err := c.image.entry(c.image.fragments, c.fragment)
	if err != nil {
		return nil, err
	}
	b, err := c.image.data(le.Uint64(e), le.Uint32(e[8:]))
	if err != nil {
		return nil, err
	}
	if uint64(c.offset)+want > uint64(len(b)) {
		return nil, disk.Corrupt("the end of a file is not in its fragment")
	}
	return b[c.offset:][:want], nil
}

// data returns an unpacked block of data. Nobody may change it.
func (m *image) data(at uint64, size uint32) ([]byte, error) {
	if b, ok := m.blocks.Get(at); ok {
		return b, nil
	}
	packed := uint64(size &^ notPackedData)
	if packed == 0 || packed > uint64(m.blockSize) || at > m.size || packed > m.size-at {
		return nil, disk.Corrupt("a block of %d bytes at %d is not in the image", packed, at)
	}
	p := make([]byte, packed)
	if err := disk.ReadFull(m.dev, p, int64(at)); err != nil {
		return nil, err
	}
	if size&notPackedData == 0 {
		var err error
		if p, err = m.unpacked(p, m.blockSize); err != nil {
			return nil, err
		}
	}
	m.blocks.Add(at, p)
	return p, nil
}
