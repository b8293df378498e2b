package clients

import (
	"sync"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// File is a vfs.File that is shared by the open it belongs to and the reads
// and writes under way; the last to release it closes it.
type File struct {
	vfs.File
	exp  *export.Export
	how  vfs.OpenFlags
	slot *fileSlot
	refs int // guarded by slot.mu
}

// Release gives back what Use returned.
func (f *File) Release() {
	f.slot.mu.Lock()
	f.refs--
	last := f.refs == 0
	f.slot.mu.Unlock()
	if last {
		defer f.exp.Release() // also where the file system panics
		f.File.Close()
	}
}

// fileSlot holds the File of an open.
type fileSlot struct {
	mu  sync.Mutex // a leaf: nothing is called while it is held
	cur *File
}

// use takes a reference, nil if there is no file.
func (s *fileSlot) use() *File {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur != nil {
		s.cur.refs++
	}
	return s.cur
}

func (s *fileSlot) flags() vfs.OpenFlags {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cur == nil {
		return 0
	}
	return s.cur.how
}

// replace puts f, by which exp is in use, in the place of what is there.
func (s *fileSlot) replace(f vfs.File, exp *export.Export, how vfs.OpenFlags) {
	s.mu.Lock()
	old := s.cur
	s.cur = &File{File: f, exp: exp, how: how, slot: s, refs: 1}
	s.mu.Unlock()
	if old != nil {
		old.Release()
	}
}

func (s *fileSlot) close() {
	s.mu.Lock()
	old := s.cur
	s.cur = nil
	s.mu.Unlock()
	if old != nil {
		old.Release()
	}
}
