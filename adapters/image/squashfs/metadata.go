package squashfs

import "github.com/fsva/fsva/adapters/image/disk"

// metadataBlock is an unpacked block of metadata, and where the next one is.
type metadataBlock struct {
	data []byte
	next uint64
}

// packed is the bit of a header that says that a block is not packed.
const (
	notPackedMetadata = 1 << 15
	notPackedData     = 1 << 24
)

func (m *image) metadataAt(at uint64) (metadataBlock, error) {
	if b, ok := m.metadata.Get(at); ok {
		return b, nil
	}
	head := make([]byte, 2)
	if at >= m.size {
		return metadataBlock{}, disk.Corrupt("metadata at %d is not in the image", at)
	}
	if err := disk.ReadFull(m.dev, head, int64(at)); err != nil {
		return metadataBlock{}, err
	}
	size := le.Uint16(head)
	p := make([]byte, size&^notPackedMetadata)
	if len(p) == 0 || len(p) > metadataSize {
		return metadataBlock{}, disk.Corrupt("metadata at %d has %d bytes", at, len(p))
	}
	if err := disk.ReadFull(m.dev, p, int64(at)+2); err != nil {
		return metadataBlock{}, err
	}
	b := metadataBlock{p, at + 2 + uint64(len(p))}
	if size&notPackedMetadata == 0 {
		var err error
		if b.data, err = m.unpacked(p, metadataSize); err != nil {
			return metadataBlock{}, err
		}
	}
	if len(b.data) == 0 {
		return metadataBlock{}, disk.Corrupt("metadata at %d is empty", at)
	}
	m.metadata.Add(at, b)
	return b, nil
}

// cursor reads metadata from a place on, over the ends of blocks.
type cursor struct {
	image *image
	at    uint64
	off   int
}

// cursor goes to a reference: the place of a block in a table, and of a byte in
// what it unpacks to.
func (m *image) cursor(table, reference uint64) *cursor {
	return &cursor{m, table + reference>>16, int(reference & 0xFFFF)}
}

// read returns the next n bytes.
func (c *cursor) read(n int) ([]byte, error) {
	var out []byte
	for len(out) < n {
		b, err := c.image.metadataAt(c.at)
		if err != nil {
			return nil, err
		}
		if c.off > len(b.data) {
			return nil, disk.Corrupt("a reference behind the end of metadata at %d", c.at)
		}
		part := b.data[c.off:]
		part = part[:min(len(part), n-len(out))]
		out = append(out, part...)
		if c.off += len(part); c.off == len(b.data) {
			c.at, c.off = b.next, 0
		}
	}
	return out, nil
}

// table is entries of a size in blocks of metadata, of which a list tells the
// places.
type table struct {
	start       uint64
	count, each uint32
}

func (m *image) entry(t table, index uint32) ([]byte, error) {
	if index >= t.count {
		return nil, disk.Corrupt("a table of %d entries has no entry %d", t.count, index)
	}
	off := uint64(index) * uint64(t.each)
	place := make([]byte, 8)
	at := t.start + off/metadataSize*8
	if at < t.start || at >= m.size {
		return nil, disk.Corrupt("a table is not in the image")
	}
	if err := disk.ReadFull(m.dev, place, int64(at)); err != nil {
		return nil, err
	}
	c := &cursor{m, le.Uint64(place), int(off % metadataSize)}
	return c.read(int(t.each))
}
