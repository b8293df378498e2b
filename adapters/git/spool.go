package git

import (
	"container/list"
	"context"
	"sync"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/adapters/git/objects"
)

// spool keeps large blobs on disk, inflated as far as they were read, within a
// bound. What is not being read just now makes room for others, also if it is
// open: then it is inflated again.
type spool struct {
	room int64

	mu    sync.Mutex
	used  int64
	blobs map[plumbing.Hash]*spooled
	idle  list.List     // of *spooled that nobody reads, the one read last in front
	freed chan struct{} // closed, and made anew, when a blob becomes idle
}

// spooled is a blob in the spool.
type spooled struct {
	id   plumbing.Hash
	size int64

	readers int           // guarded by spool.mu
	entry   *list.Element // in idle, if nobody reads it; guarded by spool.mu

	mu      sync.Mutex // held while it is opened; after spool.mu
	content *objects.Content
	broken  bool // it gave an error and is not to be used again; guarded by spool.mu
}

func newSpool(room int64) *spool {
	return &spool{room: room, blobs: map[plumbing.Hash]*spooled{}, freed: make(chan struct{})}
}

// read reads from a blob of a size. open opens it if it is not there.
func (s *spool) read(ctx context.Context, id plumbing.Hash, size int64, p []byte, off int64, open func() (*objects.Content, error)) (int, error) {
	if size > s.room {
		return 0, objects.ErrTooLarge
	}
	b, err := s.acquire(ctx, id, size)
	if err != nil {
		return 0, err
	}
	c, err := b.open(open)
	n := 0
	if err == nil {
		n, err = c.ReadAt(ctx, p, off)
	}
	s.release(b, err != nil && ctx.Err() == nil)
	return n, err
}

// open opens the blob unless that was done.
func (b *spooled) open(open func() (*objects.Content, error)) (*objects.Content, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.content != nil {
		return b.content, nil
	}
	c, err := open()
	if err == nil {
		b.content = c
	}
	return c, err
}

// acquire finds the blob or makes room for it, for which it may have to wait
// until somebody else has read.
func (s *spool) acquire(ctx context.Context, id plumbing.Hash, size int64) (*spooled, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if b := s.blobs[id]; b != nil {
			if b.entry != nil {
				s.idle.Remove(b.entry)
				b.entry = nil
			}
			b.readers++
			return b, nil
		}
		for s.used+size > s.room && s.idle.Len() > 0 {
			s.remove(s.idle.Back().Value.(*spooled))
		}
		if s.used+size <= s.room {
			b := &spooled{id: id, size: size, readers: 1}
			s.blobs[id] = b
			s.used += size
			return b, nil
		}
		freed := s.freed
		s.mu.Unlock()
		select {
		case <-freed:
			s.mu.Lock()
		case <-ctx.Done():
			s.mu.Lock()
			return nil, ctx.Err()
		}
	}
}

// release ends a read. One that failed has the blob opened anew by the next.
func (s *spool) release(b *spooled, failed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if failed && !b.broken {
		b.broken = true
		delete(s.blobs, b.id)
	}
	if b.readers--; b.readers > 0 {
		return
	}
	if b.broken {
		s.discard(b)
	} else {
		b.entry = s.idle.PushFront(b)
	}
	close(s.freed)
	s.freed = make(chan struct{})
}

// remove takes away a blob that nobody reads. mu is held.
func (s *spool) remove(b *spooled) {
	s.idle.Remove(b.entry)
	delete(s.blobs, b.id)
	s.discard(b)
}

func (s *spool) discard(b *spooled) {
	s.used -= b.size
	if b.content != nil {
		b.content.Close() // of a file without a name
	}
}

// close takes away all blobs. Nobody reads them.
func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.idle.Len() > 0 {
		s.remove(s.idle.Front().Value.(*spooled))
	}
}
