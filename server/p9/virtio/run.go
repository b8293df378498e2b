package virtio

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// run is the ring at work, from its start until it is stopped. One goroutine,
// the loop, takes chains from it and gives them to workers, which have them
// answered. While the run is paused there is no loop, but workers go on.
//
// The methods place, move, pause, resume and stop are for the session's
// goroutine.
type run struct {
	log          zerolog.Logger
	channel      Channel
	call, broken *event
	idle         *sync.Pool // of *chain

	ctx     context.Context // of the requests
	cancel  context.CancelFunc
	chains  chan *chain // from the loop to idle workers
	spare   int         // workers that may yet be started; the loop's
	workers sync.WaitGroup
	reaper  sync.WaitGroup // closes the channel after a failure

	kick    *os.File // that the loop waits for
	pausing chan struct{}
	loops   sync.WaitGroup // one at most

	mu     sync.Mutex // guards what follows, and the used ring; a leaf
	ring   *ring      // the loop reads the field without mu: it changes only while there is none
	failed bool
}

func newRun(q *queue) *run {
	r := &run{
		log: q.log, channel: q.channel, call: &q.call, broken: &q.broken,
		idle:   &sync.Pool{New: func() any { return new(chain) }},
		chains: make(chan *chain),
		spare:  q.maxInFlight,
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// place finds the ring in the guest's memory.
func (r *run) place(mem *memory, info ringInfo, base uint16) {
	r.protect(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		ring, err := newRing(mem, info, base)
		if err == nil {
			r.ring = ring
		}
		return err
	})
}

// move finds the ring again in another memory table. The run is paused.
func (r *run) move(mem *memory, info ringInfo) {
	r.protect(func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.failed {
			return nil
		}
		return r.ring.place(mem, info)
	})
}

// resume has a loop take chains, unless there is one or the run has failed.
func (r *run) resume(kick *os.File) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed || r.pausing != nil {
		return
	}
	// Setting it has succeeded before, in newKick.
	_ = kick.SetReadDeadline(time.Time{})
	pausing := make(chan struct{})
	r.kick, r.pausing = kick, pausing
	r.loops.Go(func() { r.protect(func() error { return r.loop(kick, pausing) }) })
}

// pause ends the loop. Requests in flight are not waited for.
func (r *run) pause() {
	if r.pausing == nil {
		return
	}
	close(r.pausing)
	r.pausing = nil
	interrupt(r.kick)
	r.loops.Wait()
}

// stop ends the run and waits for all requests. It returns the index of the
// next chain, or base if the run did not get that far.
func (r *run) stop(base uint16) uint16 {
	r.pause()
	r.cancel()
	r.workers.Wait()
	r.reaper.Wait()
	if r.ring != nil {
		base = r.ring.next
	}
	return base
}

// interrupt ends a Read of kick.
func interrupt(kick *os.File) { _ = kick.SetReadDeadline(time.Unix(1, 0)) }

// loop takes chains as long as there are any, and then waits for the guest's
// kick, until it is to pause or the run has failed.
func (r *run) loop(kick *os.File, pausing <-chan struct{}) error {
	var counter [8]byte
	for {
		if more, err := r.drain(pausing); !more {
			return err
		}
		if r.listen() {
			continue
		}
		if _, err := kick.Read(counter[:]); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return nil
			}
			return fmt.Errorf("wait for the guest: %w", err)
		}
		r.ignore()
	}
}

// drain dispatches all available chains. It returns false if the loop shall end.
func (r *run) drain(pausing <-chan struct{}) (bool, error) {
	for {
		select {
		case <-pausing:
			return false, nil
		case <-r.ctx.Done():
			return false, nil
		default:
		}
		c := r.idle.Get().(*chain)
		ok, err := r.ring.pop(c)
		if !ok {
			r.idle.Put(c)
			return err == nil, err
		}
		c.mem = r.ring.mem
		c.mem.acquire()
		if !r.dispatch(c, pausing) {
			r.ring.unpop()
			r.free(c)
			return false, nil
		}
	}
}

func (r *run) listen() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ring.listen()
}

func (r *run) ignore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring.ignore()
}

// dispatch gives c to an idle worker, to a new one, or to the first that gets
// idle. It returns false if the loop shall end.
func (r *run) dispatch(c *chain, pausing <-chan struct{}) bool {
	select {
	case r.chains <- c:
		return true
	default:
	}
	if r.spare > 0 {
		r.spare--
		r.workers.Go(func() { r.protect(func() error { return r.work(c) }) })
		return true
	}
	select {
	case r.chains <- c:
		return true
	case <-pausing:
	case <-r.ctx.Done():
	}
	return false
}

// work answers c and then others, until the run ends.
func (r *run) work(c *chain) error {
	for {
		if err := r.answer(c); err != nil {
			return err
		}
		select {
		case c = <-r.chains:
		case <-r.ctx.Done():
			return nil
		}
	}
}

// answer has the channel answer c and gives the chain back to the guest.
func (r *run) answer(c *chain) error {
	defer r.free(c)
	n, err := r.channel.Do(r.ctx, c.in, c.out)
	switch {
	case err != nil && r.ctx.Err() != nil:
		return nil // the request goes unanswered, with the whole run
	case err != nil:
		return err
	}
	if n < 0 || uint64(n) > min(c.room, math.MaxUint32) {
		return fmt.Errorf("answer of %d bytes in a room of %d", n, c.room)
	}
	if r.push(c.head, uint32(n)) {
		r.call.signal()
	}
	return nil
}

// push gives a chain back, unless the run has failed: then the ring is no
// longer touched.
func (r *run) push(head uint16, n uint32) (interrupt bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.failed && r.ring.push(head, n)
}

func (r *run) free(c *chain) {
	c.mem.release()
	c.mem = nil
	r.idle.Put(c)
}

// fail ends the run for good. What comes first is logged; the rest follows from
// it. The front end is told, and the channel is closed when the last request
// has ended. The guest can reset the device.
func (r *run) fail(err error) {
	if !r.setFailed() {
		return
	}
	r.log.Error().Err(err).Msg("virtio 9P device is stopped until the guest resets it")
	r.broken.signal()
	r.reaper.Go(func() {
		// No loop starts any more, and without one no worker does.
		r.loops.Wait()
		r.workers.Wait()
		r.channel.Close()
	})
}

// setFailed stops the loop and the workers, and returns false if it is not the
// first to do so.
func (r *run) setFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return false
	}
	r.failed = true
	r.cancel()
	if r.kick != nil {
		interrupt(r.kick)
	}
	return true
}

// protect calls f and fails the run if f returns an error or panics.
//
// The front end can cut off the file that the guest's memory is in. To touch
// what is missing then raises SIGBUS, by which the whole process would end. In
// goroutines that touch guest memory it becomes a panic instead.
func (r *run) protect(f func() error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			r.fail(panicError(p))
		}
	}()
	if err := f(); err != nil {
		r.fail(err)
	}
}

// panicError tells memory that has vanished from a mistake in the program, of
// which it says where.
func panicError(p any) error {
	if fault, ok := p.(interface{ Addr() uintptr }); ok {
		return fmt.Errorf("memory that the front end shared is gone, at %#x", fault.Addr())
	}
	return fmt.Errorf("panic: %v\n%s", p, debug.Stack())
}
