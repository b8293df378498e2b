package mem

import (
	"context"
	"sync"

	"github.com/fsva/fsva/vfs"
)

// sharing counts the owners of pages that have, or have had, more than one. A
// chunk knows which of its pages may be among them, so that others cost
// nothing. Owners come and go with their inode's lock held: who finds to be
// the only one stays that.
type sharing struct {
	mu     sync.Mutex
	owners map[*page]int
}

// join adds an owner to a page that has one at least.
func (s *sharing) join(pg *page) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners == nil {
		s.owners = make(map[*page]int)
	}
	s.owners[pg] = max(s.owners[pg], 1) + 1
}

// leave takes an owner away and reports whether it was the last one.
func (s *sharing) leave(pg *page) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners[pg] > 1 {
		s.owners[pg]--
		return false
	}
	delete(s.owners, pg)
	return true
}

// sole reports whether the page has but one owner, who then need not ask
// again.
func (s *sharing) sole(pg *page) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owners[pg] > 1 {
		return false
	}
	delete(s.owners, pg)
	return true
}

// clone makes count pages of c from page at on the same as those of src from
// page from on. It does all of it, or nothing with ENOSPC.
func (c *content) clone(f *FS, at int64, src *content, from, count int64) error {
	numbers := src.numbers(from/chunkPages, (from+count-1)/chunkPages)
	// Where the two are not aligned alike, a chunk becomes part of two.
	reserve := 2 * int64(len(numbers)) * chunkCost
	if err := f.space.take(reserve); err != nil {
		return err
	}
	c.freePages(f, at, at+count)
	for _, i := range numbers {
		ch := src.chunks[i]
		if ch == nil { // src is c, and what the chunk held has just been freed
			continue
		}
		for slot, pg := range ch.pages {
			p := i*chunkPages + int64(slot)
			if pg == nil || p < from || p >= from+count {
				continue
			}
			p += at - from
			to := c.chunks[p/chunkPages]
			if to == nil {
				to = c.addChunk(p / chunkPages)
				reserve -= chunkCost
			}
			f.shared.join(pg)
			ch.shared |= 1 << slot
			to.pages[p%chunkPages] = pg
			to.shared |= 1 << (p % chunkPages)
			c.used++
		}
	}
	f.space.give(reserve)
	return nil
}

// lockPair locks two inodes of files.
func lockPair(a, b *inode) (unlock func()) {
	if a == b {
		a.mu.Lock()
		return a.mu.Unlock
	}
	if a.ino > b.ino {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() {
		b.mu.Unlock()
		a.mu.Unlock()
	}
}

// CloneRange implements vfs.Cloner. A range is of whole pages, but may end
// where the source does if it does not end within the destination
// (FICLONERANGE(2)).
func (f *file) CloneRange(_ context.Context, srcOff int64, dst vfs.File, dstOff, length int64) error {
	to, ok := dst.(*file)
	if !ok || to.inode.fs != f.inode.fs {
		return vfs.EXDEV
	}
	defer lockPair(f.inode, to.inode)()
	src, data := &f.inode.data, &to.inode.data
	if length == 0 {
		length = src.size - srcOff
	}
	switch {
	case srcOff < 0 || dstOff < 0 || length < 0 || srcOff > src.size || length > src.size-srcOff,
		srcOff%pageSize != 0 || dstOff%pageSize != 0,
		f.inode == to.inode && srcOff-dstOff < length && dstOff-srcOff < length:
		return vfs.EINVAL
	case length > maxFileSize-dstOff:
		return vfs.EFBIG
	case length == 0:
		return nil
	case length%pageSize != 0 && (srcOff+length != src.size || dstOff+length < data.size):
		return vfs.EINVAL
	}
	if err := data.clone(f.inode.fs, dstOff/pageSize, src, srcOff/pageSize, pagesIn(length)); err != nil {
		return err
	}
	data.size = max(data.size, dstOff+length)
	to.inode.dropSetID(to.cred)
	to.inode.changed(true)
	return nil
}

// copyStep is how much CopyRange moves between two looks at its context.
const copyStep = 256 << 10

// CopyRange implements vfs.RangeCopier.
func (f *file) CopyRange(ctx context.Context, srcOff int64, dst vfs.File, dstOff, length int64) (n int64, err error) {
	to, ok := dst.(*file)
	if !ok || to.inode.fs != f.inode.fs {
		return 0, vfs.EXDEV
	}
	if srcOff < 0 || dstOff < 0 || length < 0 {
		return 0, vfs.EINVAL
	}
	f.inode.mu.RLock()
	length = min(length, max(f.inode.data.size-srcOff, 0))
	f.inode.mu.RUnlock()
	if f.inode == to.inode && srcOff-dstOff < length && dstOff-srcOff < length {
		return 0, vfs.EINVAL // copy_file_range(2)
	}
	buf := make([]byte, min(length, copyStep))
	for n < length && (n == 0 || ctx.Err() == nil) { // 0 would mean the end
		got, err := f.ReadAt(ctx, buf[:min(length-n, copyStep)], srcOff+n)
		if err != nil || got == 0 {
			return n, err
		}
		put, _, err := to.WriteAt(ctx, buf[:got], dstOff+n, vfs.Unstable)
		n += int64(put)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var (
	_ vfs.RangeCopier = (*file)(nil)
	_ vfs.Cloner      = (*file)(nil)
)
