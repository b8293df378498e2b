package mem

import (
	"math/bits"

	"github.com/fsva/fsva/vfs"
)

// content is the data of a file: chunks by number, of which those that hold
// nothing are missing. The inode's mu guards it.
type content struct {
	size   int64
	used   int64 // bytes of memory in chunks
	chunks map[int64]*chunk
}

const (
	chunkSize = 64 << 10
	pageSize  = 4 << 10
	maxPages  = chunkSize / pageSize
)

// chunk is up to 64 KiB of data. Small files have small ones: data grows by
// pages. have tells pages that hold data from holes, which are zero.
type chunk struct {
	data []byte
	have uint16
}

// pages returns the bits of the pages that from to end (not included) touch.
func pages(from, end int) uint16 {
	first, last := from/pageSize, (end-1)/pageSize
	return uint16((1<<(last+1) - 1) &^ (1<<first - 1))
}

// reach makes the chunk at least n bytes long.
func (c *content) reach(f *FS, i int64, n int) (*chunk, error) {
	ch := c.chunks[i]
	have := 0
	if ch != nil {
		have = len(ch.data)
	}
	if n <= have {
		return ch, nil
	}
	grown := min(max((n+pageSize-1)&^(pageSize-1), 2*have), chunkSize)
	if err := f.take(int64(grown - have)); err != nil {
		if grown = (n + pageSize - 1) &^ (pageSize - 1); f.take(int64(grown-have)) != nil {
			return nil, err
		}
	}
	data := make([]byte, grown)
	if ch == nil {
		ch = new(chunk)
		if c.chunks == nil {
			c.chunks = make(map[int64]*chunk, 1)
		}
		c.chunks[i] = ch
	}
	copy(data, ch.data)
	ch.data = data
	c.used += int64(grown - have)
	return ch, nil
}

// span calls f for every piece of [off, off+length) that lies in one chunk,
// until it returns false.
func span(off, length int64, f func(i int64, from, end int) bool) {
	for length > 0 {
		from := int(off % chunkSize)
		n := min(length, int64(chunkSize-from))
		if !f(off/chunkSize, from, from+int(n)) {
			return
		}
		off, length = off+n, length-n
	}
}

// read fills p from off; the range lies within the size.
func (c *content) read(p []byte, off int64) {
	span(off, int64(len(p)), func(i int64, from, end int) bool {
		n := 0
		if ch := c.chunks[i]; ch != nil && from < len(ch.data) {
			n = copy(p[:end-from], ch.data[from:])
		}
		clear(p[n : end-from])
		p = p[end-from:]
		return true
	})
}

// write puts p at off. n < len(p) with an error when there is no more room.
func (c *content) write(f *FS, p []byte, off int64) (n int, err error) {
	span(off, int64(len(p)), func(i int64, from, end int) bool {
		var ch *chunk
		if ch, err = c.reach(f, i, end); err != nil {
			return false
		}
		n += copy(ch.data[from:end], p[n:])
		ch.have |= pages(from, end)
		return true
	})
	c.size = max(c.size, off+int64(n))
	return n, err
}

// allocate makes memory for a range.
func (c *content) allocate(f *FS, off, length int64) (err error) {
	span(off, length, func(i int64, from, end int) bool {
		var ch *chunk
		if ch, err = c.reach(f, i, end); err == nil {
			ch.have |= pages(from, end)
		}
		return err == nil
	})
	return err
}

// punch makes a range read as zeroes and frees what it can. It visits only
// chunks that exist, since a range can be of any length.
func (c *content) punch(f *FS, off, length int64) {
	end := off + length
	for i, ch := range c.chunks {
		start := i * chunkSize
		from, to := max(off-start, 0), min(end-start, int64(len(ch.data)))
		if from >= to {
			continue
		}
		if from == 0 && to == int64(len(ch.data)) {
			c.free(f, i)
			continue
		}
		clear(ch.data[from:to])
		// Pages that are wholly in the range are holes now.
		first, last := (from+pageSize-1)/pageSize, to/pageSize
		if first < last {
			ch.have &^= pages(int(first*pageSize), int(last*pageSize))
		}
	}
}

func (c *content) free(f *FS, i int64) {
	n := int64(len(c.chunks[i].data))
	f.give(n)
	c.used -= n
	delete(c.chunks, i)
}

// truncate sets the size. What lies beyond is freed, and reads as zeroes if
// the file grows again.
func (c *content) truncate(f *FS, size int64) error {
	if size < c.size {
		last := (size + chunkSize - 1) / chunkSize
		for i := range c.chunks {
			if i >= last {
				c.free(f, i)
			}
		}
		if ch := c.chunks[size/chunkSize]; ch != nil {
			if from := int(size % chunkSize); from < len(ch.data) {
				clear(ch.data[from:])
				if first := (from + pageSize - 1) / pageSize; first < maxPages {
					ch.have &^= pages(first*pageSize, chunkSize)
				}
			}
		}
	}
	c.size = size
	return nil
}

// seekData returns the first byte at or after off that is data, seekHole the
// first that is not; off lies within the size.
func (c *content) seekData(off int64) (int64, error) {
	next := int64(-1)
	for i, ch := range c.chunks {
		if i < off/chunkSize || next >= 0 && i >= next {
			continue
		}
		if ch.from(off-i*chunkSize) >= 0 {
			next = i
		}
	}
	if next < 0 {
		return 0, vfs.ENXIO
	}
	at := max(off, next*chunkSize+c.chunks[next].from(off-next*chunkSize))
	if at >= c.size {
		return 0, vfs.ENXIO
	}
	return at, nil
}

// from returns the start of the first page with data that ends behind off in
// the chunk, -1 if there is none.
func (ch *chunk) from(off int64) int64 {
	have := ch.have
	if off > 0 {
		have &^= 1<<(off/pageSize) - 1
	}
	if have == 0 {
		return -1
	}
	return int64(bits.TrailingZeros16(have)) * pageSize
}

func (c *content) seekHole(off int64) int64 {
	for off < c.size {
		ch := c.chunks[off/chunkSize]
		if ch == nil {
			return off
		}
		first := int(off % chunkSize / pageSize)
		missing := ^ch.have &^ (1<<first - 1)
		if missing != 0 {
			page := int64(bits.TrailingZeros16(missing)) * pageSize
			return min(max(off, off/chunkSize*chunkSize+page), c.size)
		}
		off = (off/chunkSize + 1) * chunkSize
	}
	return c.size
}
