// Package unreadable remembers which files have bytes that cannot be read. A
// server that has the kernel send a file's data promises its length before, and
// has to end the connection if a block turns out to be bad. The client comes
// again for the same block: from then on the server reads before it replies.
package unreadable

import (
	"hash/maphash"
	"sync/atomic"

	"github.com/fsva/fsva/vfs/lock"
)

// Files remembers files for as long as it lives, in little memory: those whose
// keys have the same hash share a mark, which costs the others a copy of what
// is read.
type Files struct {
	seed  maphash.Seed
	marks [1024]atomic.Bool
}

// NewFiles returns a Files in which nothing is marked.
func NewFiles() *Files { return &Files{seed: maphash.MakeSeed()} }

// Mark returns the mark of a file, which is set once a read of it has failed.
func (f *Files) Mark(k lock.Key) *atomic.Bool {
	return &f.marks[maphash.Comparable(f.seed, k)%uint64(len(f.marks))]
}
