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
	lists  *lru.Cache[uint64, *list]
}

// listRoom bounds the lists of blocks that are kept, in bytes.
const listRoom = 16 << 20

func newSource(m *image, closer io.Closer) *source {
	return &source{m, closer, lru.New[uint64](listRoom, (*list).weight)}
}

// content is the blocks of a file. It implements tree.Content and vfs.HoleSeeker.
type content struct {
	source   *source
	image    *image
	item     uint64
	size     uint64
	count    uint64 // of blocks that are in the list
	first    mark
	fragment uint32
	offset   uint32
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	i, err := s.image.inode(item)
	if err != nil {
		return nil, err
	}
	c := &content{
		source: s, image: s.image, item: item, size: i.size, count: i.size / uint64(s.image.blockSize),
		first: mark{i.list, i.start}, fragment: i.fragment, offset: i.offset,
	}
	if i.fragment == noFragment && i.size%uint64(s.image.blockSize) != 0 {
		c.count++
	}
	if c.count > maxBlocks {
		return nil, vfs.Errorf(vfs.EFBIG, "a file of %d blocks, which is more than %d", c.count, maxBlocks)
	}
	return c, nil
}

// list is that of the blocks, which may have been forgotten and is made anew then.
func (c *content) list() *list {
	l, ok := c.source.lists.Get(c.item)
	if !ok {
		l = newList(c.count, c.first)
		c.source.lists.Add(c.item, l)
	}
	return l
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
		b, err := c.block(ctx, uint64(off/size))
		if err != nil {
			return err
		}
		n := copy(p, b[off%size:])
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// SeekData implements vfs.HoleSeeker.
func (c *content) SeekData(ctx context.Context, off int64) (int64, error) {
	at, err := c.seek(ctx, off, false)
	if err == nil && at == int64(c.size) {
		return 0, vfs.ENXIO
	}
	return at, err
}

// SeekHole implements vfs.HoleSeeker.
func (c *content) SeekHole(ctx context.Context, off int64) (int64, error) {
	return c.seek(ctx, off, true)
}

// seek returns where blocks of data begin, or of holes, at off or behind it: the
// end of the file if there are none.
func (c *content) seek(ctx context.Context, off int64, hole bool) (int64, error) {
	size := int64(c.image.blockSize)
	for i := off / size; i < int64(c.count); {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		sizes, _, err := c.list().from(ctx, uint64(i))
		if err != nil {
			return 0, err
		}
		for _, each := range sizes {
			if (each == 0) == hole {
				return max(off, i*size), nil
			}
			i++
		}
	}
	if last := int64(c.count) * size; !hole && last < int64(c.size) { // in a fragment
		return max(off, last), nil
	}
	return int64(c.size), nil
}

// Close implements tree.Content.
func (c *content) Close() error { return nil }

// block returns a block of the file, all of it.
func (c *content) block(ctx context.Context, index uint64) ([]byte, error) {
	want := min(uint64(c.image.blockSize), c.size-index*uint64(c.image.blockSize))
	if index >= c.count {
		return c.end(want)
	}
	sizes, at, err := c.list().from(ctx, index)
	if err != nil {
		return nil, err
	}
	if sizes[0] == 0 {
		return make([]byte, want), nil
	}
	b, err := c.image.data(at, sizes[0])
	if err == nil && uint64(len(b)) != want {
		err = disk.Corrupt("a block at %d has %d bytes instead of %d", at, len(b), want)
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
	n := packed(size)
	if n == 0 || n > uint64(m.blockSize) || at > m.size || n > m.size-at {
		return nil, disk.Corrupt("a block of %d bytes at %d is not in the image", n, at)
	}
	p := make([]byte, n)
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
