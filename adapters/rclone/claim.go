package rclone

import (
	"sync"

	"github.com/fsva/fsva/vfs"
)

// claims are the names that calls are about to take away or to give. A call that
// has not ended in its time goes on alone: a removal would then take what guests
// have written since, and a rename would put something in its place. So a call
// that nobody waits for any more comes to nothing; or, if it has begun what
// cannot be undone, nobody gets at its names until it has ended.
type claims struct {
	mu   sync.Mutex
	held map[*claim]struct{}
}

// claim is that of one call. The mutex of the claims is for it too.
type claim struct {
	of        *claims
	names     []string
	committed bool // the call has begun what cannot be undone
	left      bool // nobody waits for the call
}

func newClaims() *claims { return &claims{held: make(map[*claim]struct{})} }

// change has a call take away or give names, as far as somebody waits for it.
func (t *tree) change(times int, op func(*claim) error, names ...string) error {
	c, err := t.claims.take(names...)
	if err != nil {
		return errnoOf(err)
	}
	defer c.leave()
	return t.patience.do(times, func() error {
		defer c.end()
		return op(c)
	})
}

// take claims names, and what is below them, for a call.
func (s *claims) take(names ...string) (*claim, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if err := s.taken(name); err != nil {
			return nil, err
		}
	}
	c := &claim{of: s, names: names}
	s.held[c] = struct{}{}
	return c, nil
}

// free refuses a name that is claimed.
func (s *claims) free(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.taken(name)
}

// taken is free with the mutex held.
func (s *claims) taken(name string) error {
	for c := range s.held {
		for _, n := range c.names {
			if within(name, n) || within(n, name) {
				return refuse(vfs.EIO, "a call that removes or renames %s has not ended", n)
			}
		}
	}
	return nil
}

var errLeft = refuse(vfs.EIO, "nobody waits for it any more")

// wanted fails if nobody waits for the call any more.
func (c *claim) wanted() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.left {
		return errLeft
	}
	return nil
}

// commit comes before what cannot be undone. It fails if nobody waits for the call
// any more; else the call goes on to its end, and may commit again.
func (c *claim) commit() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.left {
		return errLeft
	}
	c.committed = true
	return nil
}

// leave is for who waits for the call no more.
func (c *claim) leave() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if !c.committed {
		c.left = true
		delete(c.of.held, c)
	}
}

// end is for the call when it has ended.
func (c *claim) end() {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	delete(c.of.held, c)
}
