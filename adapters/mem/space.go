package mem

import (
	"sync/atomic"

	"github.com/fsva/fsva/vfs"
)

// space is the budget of a file system. What a guest makes is counted with
// about what it costs in memory, or else many empty files would be free.
type space struct {
	size   int64 // bytes; never changes
	inodes int64 // the most there may be, 0 for no limit but size; never changes
	used   atomic.Int64
	files  atomic.Int64
}

// What things count for, in bytes. Every name counts alike, whatever its
// length, so that a rename needs no space.
const (
	inodeCost = 640
	dirCost   = 384 // of a directory's map and list, besides inodeCost
	nameCost  = 384
	chunkCost = 256
)

// take reserves n bytes. ENOSPC if there are not that many left.
func (s *space) take(n int64) error {
	for {
		used := s.used.Load()
		if n > s.size-used {
			return vfs.ENOSPC
		}
		if s.used.CompareAndSwap(used, used+n) {
			return nil
		}
	}
}

func (s *space) give(n int64) { s.used.Add(-n) }

// takeInode reserves an inode and n bytes.
func (s *space) takeInode(n int64) error {
	if files := s.files.Add(1); s.inodes != 0 && files > s.inodes {
		s.files.Add(-1)
		return vfs.ENOSPC
	}
	if err := s.take(n); err != nil {
		s.files.Add(-1)
		return err
	}
	return nil
}

func (s *space) giveInode(n int64) {
	s.files.Add(-1)
	s.give(n)
}

// left returns the bytes that are free, how many files there are and how many
// more there can be.
func (s *space) left() (free, files, freeFiles uint64) {
	free = uint64(max(s.size-s.used.Load(), 0))
	files = uint64(s.files.Load())
	freeFiles = free / (inodeCost + nameCost)
	if s.inodes != 0 {
		freeFiles = min(freeFiles, uint64(max(s.inodes-int64(files), 0)))
	}
	return free, files, freeFiles
}

// cost is what the inode counts for, without data and extended attributes.
func (n *inode) cost() int64 {
	cost := int64(inodeCost + len(n.target))
	if n.typ == vfs.TypeDirectory {
		cost += dirCost
	}
	return cost
}
