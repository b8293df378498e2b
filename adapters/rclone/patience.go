package rclone

import (
	"sync/atomic"
	"time"

	"github.com/fsva/fsva/vfs"
)

// patience bounds how long a guest waits for a remote. rclone's own timeouts
// are for each attempt of each request, of which a call can need many.
type patience struct {
	limit  time.Duration // of a call
	health *health
	late   atomic.Int32 // calls that nobody waits for any more
}

const (
	// renames is how many times as long a rename may take, which on an object
	// store copies the object, or every object of a directory.
	renames = 20
	// downLimit is the limit while the remote is known not to answer. What the
	// cache has takes less; what needs the remote fails now rather than then.
	downLimit = 2 * time.Second
	// maxLate is how many calls may go on without anybody waiting. With more,
	// the remote is taken for dead until one of them ends: more would not help,
	// and each holds memory.
	maxLate = 64
)

// await calls op and returns what it returns, or EIO when its time has passed;
// op then goes on alone, so that it must use nothing of the caller's, and drop
// gets what it returns in the end unless that is an error.
func await[T any](p *patience, times int, op func() (T, error), drop func(T)) (T, error) {
	if p.late.Load() >= maxLate {
		var none T
		return none, vfs.Errorf(vfs.EIO, "%d calls to the remote have not ended", maxLate)
	}
	return wait(p, times, op, drop)
}

// wait is await for what is to be done however many calls have not ended.
func wait[T any](p *patience, times int, op func() (T, error), drop func(T)) (T, error) {
	var none T
	limit := p.limit * time.Duration(times)
	if p.health.down() {
		limit = min(limit, downLimit)
	}
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := op()
		done <- result{value, err}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case r := <-done:
		return r.value, errnoOf(r.err)
	case <-timer.C:
	}
	err := vfs.Errorf(vfs.EIO, "the remote has not answered within %v", limit)
	p.health.failed(err)
	p.late.Add(1)
	go func() {
		r := <-done
		p.late.Add(-1)
		if drop != nil && r.err == nil {
			drop(r.value)
		}
	}()
	return none, err
}

// do is await for what returns only an error.
func (p *patience) do(times int, op func() error) error {
	_, err := await(p, times, func() (struct{}, error) { return struct{}{}, op() }, nil)
	return err
}

// finish is wait for what returns only an error.
func (p *patience) finish(op func() error) error {
	_, err := wait(p, 1, func() (struct{}, error) { return struct{}{}, op() }, nil)
	return err
}
