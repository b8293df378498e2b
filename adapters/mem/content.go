package mem

import (
	"sync"

	"github.com/fsva/fsva/vfs"
)

const (
	pageSize   = 4 << 10
	chunkPages = 16
	chunkSize  = chunkPages * pageSize
)

// page is the unit of data that is there or not, and that clones share.
type page [pageSize]byte

// pagePool keeps pages that are not in use, with what was last in them.
var pagePool = sync.Pool{New: func() any { return new(page) }}

// chunk is 16 neighbouring pages: one entry of a file's map for 64 KiB.
type chunk struct {
	pages  [chunkPages]*page // nil is a hole
	shared uint16            // those that may belong to other chunks, too
}

// content is the data of a file: its chunks by number, without those that are
// holes altogether. The inode's lock guards it. There are no pages beyond the
// one that holds the last byte, and what is behind that byte in it is zero.
type content struct {
	size   int64
	used   int64 // pages
	chunks map[int64]*chunk
	peak   int // of len(chunks) since the map was made
}

// pagesIn returns how many pages hold n bytes.
func pagesIn(n int64) int64 { return (n + pageSize - 1) / pageSize }

// read fills p from off. The range lies within the size.
func (c *content) read(p []byte, off int64) {
	for len(p) > 0 {
		at := int(off % pageSize)
		n := min(len(p), pageSize-at)
		if pg := c.page(off / pageSize); pg != nil {
			copy(p[:n], pg[at:])
		} else {
			clear(p[:n])
		}
		p, off = p[n:], off+int64(n)
	}
}

// page returns page i to read, nil for a hole.
func (c *content) page(i int64) *page {
	if ch := c.chunks[i/chunkPages]; ch != nil {
		return ch.pages[i%chunkPages]
	}
	return nil
}

// write puts p at off. n < len(p) with an error when there is no more room.
func (c *content) write(f *FS, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at := int(off % pageSize)
		part := min(len(p)-n, pageSize-at)
		pg, err := c.own(f, off/pageSize, part == pageSize)
		if err != nil {
			return n, err
		}
		copy(pg[at:], p[n:n+part])
		n, off = n+part, off+int64(part)
		c.size = max(c.size, off)
	}
	return n, nil
}

// own returns page i to write: where there is a hole a new page, where it is
// shared a copy. With whole the caller overwrites all of it, so that it need
// not hold anything yet.
func (c *content) own(f *FS, i int64, whole bool) (*page, error) {
	slot := i % chunkPages
	ch := c.chunks[i/chunkPages]
	var old *page
	if ch != nil {
		old = ch.pages[slot]
	}
	if old != nil && (ch.shared>>slot&1 == 0 || f.shared.sole(old)) {
		ch.shared &^= 1 << slot
		return old, nil
	}
	if err := f.space.take(pageSize); err != nil {
		return nil, err
	}
	if ch == nil {
		if err := f.space.take(chunkCost); err != nil {
			f.space.give(pageSize)
			return nil, err
		}
		ch = c.addChunk(i / chunkPages)
	}
	pg := pagePool.Get().(*page)
	switch {
	case old != nil:
		*pg = *old
		c.drop(f, ch, slot)
	case !whole:
		clear(pg[:])
	}
	ch.pages[slot] = pg
	c.used++
	return pg, nil
}

func (c *content) addChunk(i int64) *chunk {
	ch := new(chunk)
	if c.chunks == nil {
		c.chunks = make(map[int64]*chunk)
	}
	c.chunks[i] = ch
	c.peak = max(c.peak, len(c.chunks))
	return ch
}

// drop makes a page a hole, and frees it unless others share it.
func (c *content) drop(f *FS, ch *chunk, slot int64) {
	pg := ch.pages[slot]
	shared := ch.shared>>slot&1 != 0
	ch.pages[slot] = nil
	ch.shared &^= 1 << slot
	c.used--
	if shared && !f.shared.leave(pg) {
		return
	}
	f.space.give(pageSize)
	pagePool.Put(pg)
}

// allocate makes pages for a range. What was taken before there was no more
// room stays, as fallocate(2) allows; the size does not grow then.
func (c *content) allocate(f *FS, off, length int64) error {
	if free, _, _ := f.space.left(); uint64(length) > free+uint64(c.used*pageSize) {
		return vfs.ENOSPC // without first taking all there is from others
	}
	for i := off / pageSize; i <= (off+length-1)/pageSize; i++ {
		if _, err := c.own(f, i, false); err != nil {
			// Pages beyond the size are none of this file's.
			c.freePages(f, pagesIn(c.size), pagesIn(maxFileSize))
			return err
		}
	}
	c.size = max(c.size, off+length)
	return nil
}

// punch makes a range read as zeroes and frees the pages that are wholly in
// it. It fails with ENOSPC, and changes no size, where a page at an edge is
// shared and cannot be copied.
func (c *content) punch(f *FS, off, length int64) error {
	end := off + length
	if end >= c.size { // all of the last page
		end = pagesIn(c.size) * pageSize
	}
	if off >= end {
		return nil
	}
	first, last := pagesIn(off), end/pageSize
	if first > last { // both edges in one page
		return c.zero(f, off/pageSize, off%pageSize, end%pageSize)
	}
	if off%pageSize != 0 {
		if err := c.zero(f, off/pageSize, off%pageSize, pageSize); err != nil {
			return err
		}
	}
	if end%pageSize != 0 {
		if err := c.zero(f, last, 0, end%pageSize); err != nil {
			return err
		}
	}
	c.freePages(f, first, last)
	return nil
}

// zero clears a part of page i, unless it is a hole.
func (c *content) zero(f *FS, i, from, end int64) error {
	if c.page(i) == nil {
		return nil
	}
	pg, err := c.own(f, i, false)
	if err == nil {
		clear(pg[from:end])
	}
	return err
}

// freePages makes the pages from first to end (not included) holes.
func (c *content) freePages(f *FS, first, end int64) {
	if first >= end {
		return
	}
	for _, i := range c.numbers(first/chunkPages, (end-1)/chunkPages) {
		ch := c.chunks[i]
		empty := true
		for slot, pg := range ch.pages {
			p := i*chunkPages + int64(slot)
			switch {
			case pg == nil:
			case p >= first && p < end:
				c.drop(f, ch, int64(slot))
			default:
				empty = false
			}
		}
		if empty {
			delete(c.chunks, i)
			f.space.give(chunkCost)
		}
	}
	// A map keeps its memory when it gets smaller.
	if len(c.chunks) < c.peak/4 {
		c.chunks, c.peak = remade(c.chunks), len(c.chunks)
	}
}

// remade returns a map with the same entries in as little memory as they need.
func remade[K comparable, V any](m map[K]V) map[K]V {
	small := make(map[K]V, len(m))
	for k, v := range m {
		small[k] = v
	}
	return small
}

// numbers returns the numbers of the chunks there are from first to last. A
// range can be far longer than there are chunks, and the other way round.
func (c *content) numbers(first, last int64) []int64 {
	var found []int64
	if last-first < int64(len(c.chunks)) {
		for i := first; i <= last; i++ {
			if c.chunks[i] != nil {
				found = append(found, i)
			}
		}
		return found
	}
	for i := range c.chunks {
		if first <= i && i <= last {
			found = append(found, i)
		}
	}
	return found
}

// truncate sets the size. What lies beyond is freed, and reads as zeroes if
// the file grows again.
func (c *content) truncate(f *FS, size int64) error {
	if size < c.size {
		if err := c.punch(f, size, c.size-size); err != nil {
			return err
		}
	}
	c.size = size
	return nil
}

// seekData returns the first byte at or behind off that is data. off lies
// within the size.
func (c *content) seekData(off int64) (int64, error) {
	slot := off / pageSize % chunkPages
	for i := off / chunkSize; ; i, slot = i+1, 0 {
		if i = c.next(i); i < 0 {
			return 0, vfs.ENXIO
		}
		if i > off/chunkSize {
			slot = 0
		}
		for ; slot < chunkPages; slot++ {
			if c.chunks[i].pages[slot] != nil {
				return max(off, (i*chunkPages+slot)*pageSize), nil
			}
		}
	}
}

// next returns the number of the first chunk there is from i on, -1 if there
// is none.
func (c *content) next(i int64) int64 {
	if last := (c.size - 1) / chunkSize; last-i < int64(len(c.chunks)) {
		for ; i <= last; i++ {
			if c.chunks[i] != nil {
				return i
			}
		}
		return -1
	}
	next := int64(-1)
	for k := range c.chunks {
		if k >= i && (next < 0 || k < next) {
			next = k
		}
	}
	return next
}

// seekHole returns the first byte at or behind off that is none; the end of
// the file is a hole. off lies within the size.
func (c *content) seekHole(off int64) int64 {
	i := off / pageSize
	for i*pageSize < c.size && c.page(i) != nil {
		i++
	}
	return min(max(off, i*pageSize), c.size)
}
