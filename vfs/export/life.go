package export

import (
	"context"
	"sync"
	"sync/atomic"
)

// life is the time that a file system is exported. Exports that were made of
// the same file system, one after the other, share it.
type life struct {
	// users are those between Acquire and Release, less retired once that is
	// over.
	users atomic.Int64
	ctx   context.Context
	end   context.CancelFunc
	idle  chan struct{} // closed when it is over and nobody uses it
	once  sync.Once     // closes idle
}

const retired = 1 << 62

func newLife() *life {
	l := &life{idle: make(chan struct{})}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// Acquire notes a request or an open file that uses the file system, which is
// not closed until Release. It reports false if the file system is no longer
// exported: then nothing may be done with it.
func (e *Export) Acquire() bool {
	if e.life.users.Add(1) > 0 {
		return true
	}
	e.Release()
	return false
}

// Release ends what Acquire began.
func (e *Export) Release() {
	if e.life.users.Add(-1) == -retired {
		e.life.once.Do(func() { close(e.life.idle) })
	}
}

// Retire has every later Acquire fail, and returns a channel that is closed
// when all that was acquired is released. It is called once for a file system.
func (e *Export) Retire() (idle <-chan struct{}) {
	e.life.end()
	if e.life.users.Add(-retired) == -retired {
		e.life.once.Do(func() { close(e.life.idle) })
	}
	return e.life.idle
}

// Context ends when the file system is retired. Requests that may wait for
// long are to end with it.
func (e *Export) Context() context.Context { return e.life.ctx }
