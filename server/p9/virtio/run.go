package virtio

import (
	"context"
	"fmt"
	"math"
	"runtime/debug"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// takesLong is how long a request keeps others in the ring waiting: most are
// done by then, and to wake another thread costs more than most requests.
const takesLong = time.Millisecond

// run is the ring at work, from its start until it is stopped. One goroutine,
// the taker, takes chains from it and has them answered. Where the next chain is
// there already, or a request takes long, another goroutine becomes the taker,
// and this one ends with its request. While the run is paused there is no taker,
// but requests go on.
//
// The methods place, move, pause, resume and stop are for the session's
// goroutine.
type run struct {
	log          zerolog.Logger
	channel      Channel
	call, broken *event
	idle         *sync.Pool // of *chain
	maxInFlight  int

	ctx    context.Context // of the requests
	cancel context.CancelFunc
	takers sync.WaitGroup // takers, and those that have been
	reaper sync.WaitGroup // closes the channel after a failure

	mu       sync.Mutex // guards what follows, and the used ring; before what Channel.Accept locks
	ring     *ring      // the taker reads the field without mu: it changes only while there is none
	failed   bool
	taker    *taker      // nil while paused
	inFlight int         // chains that are taken and not answered
	overdue  *time.Timer // looks after the taker
	armed    bool        // overdue runs, if need be for a later request
}

// taker is one goroutine's time as the taker.
type taker struct {
	kick  *kick
	ended chan struct{} // closed when the goroutine ends

	// Guarded by run.mu.
	busy  bool // a chain is being answered
	since time.Time
}

func newRun(q *queue) *run {
	r := &run{
		log: q.log, channel: q.channel, call: &q.call, broken: &q.broken,
		idle:        &sync.Pool{New: func() any { return new(chain) }},
		maxInFlight: q.maxInFlight,
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

// resume has a taker take chains, unless there is one or the run has failed.
func (r *run) resume(k *kick) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.failed && r.taker == nil {
		r.begin(k)
	}
}

// begin makes another goroutine the taker. r.mu is held.
func (r *run) begin(k *kick) {
	t := &taker{kick: k, ended: make(chan struct{})}
	r.taker = t
	r.takers.Go(func() {
		defer close(t.ended)
		r.protect(func() error { return r.take(t) })
	})
}

// pause ends the taking of chains. Requests in flight are not waited for.
func (r *run) pause() {
	r.mu.Lock()
	t := r.taker
	r.taker = nil
	looking := t != nil && !t.busy
	r.mu.Unlock()
	if looking {
		t.kick.interrupt.signal()
		<-t.ended
	}
}

// stop ends the run and waits for all requests. It returns the index of the
// next chain, or base if the run did not get that far.
func (r *run) stop(base uint16) uint16 {
	r.pause()
	r.cancel()
	r.takers.Wait()
	r.reaper.Wait()
	if r.ring != nil {
		base = r.ring.next
	}
	return base
}

// take takes chains and answers them for as long as t is the taker.
func (r *run) take(t *taker) error {
	for {
		c, err := r.next(t)
		if c == nil {
			return err
		}
		if taking, err := r.serve(t, c); !taking || err != nil {
			return err
		}
	}
}

// serve answers a chain, and says if t is still the taker. If it is not to begin
// with, the chain is left for the next one.
func (r *run) serve(t *taker, c *chain) (taking bool, err error) {
	defer r.free(c)
	if taking, err := r.started(t, c); err != nil {
		return false, err
	} else if !taking {
		r.ring.unpop()
		return false, nil
	}
	err = r.answer(c)
	return r.finished(t), err
}

// next waits for a chain. It returns nil if t is no longer the taker.
func (r *run) next(t *taker) (*chain, error) {
	c := r.idle.Get().(*chain)
	for {
		if ok, err := r.ring.pop(c); err != nil {
			return nil, err
		} else if ok {
			c.mem = r.ring.mem
			c.mem.acquire()
			return c, nil
		}
		ready, taking := r.listen(t)
		if !taking {
			r.idle.Put(c)
			return nil, nil
		}
		if ready {
			continue
		}
		if err := t.kick.wait(); err != nil {
			return nil, fmt.Errorf("wait for the guest: %w", err)
		}
		r.ignore()
	}
}

// listen asks for a kick when the next chain comes, and says if it has come and
// if t is to take it.
func (r *run) listen(t *taker) (ready, taking bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taker != t || r.failed {
		return false, false
	}
	return r.ring.listen(), true
}

func (r *run) ignore() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ring.ignore()
}

// started has the channel accept the chain that t is about to answer. Only then
// it has the next one, if it is there, taken by another goroutine. It returns
// false if t is no longer the taker.
func (r *run) started(t *taker, c *chain) (taking bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taker != t || r.failed {
		return false, nil
	}
	if c.accepted, err = r.channel.Accept(c.in); err != nil {
		return false, err
	}
	r.inFlight++
	t.busy, t.since = true, time.Now()
	if r.inFlight < r.maxInFlight && r.ring.ready() {
		r.begin(t.kick)
	} else if !r.armed {
		r.arm(takesLong)
	}
	return true, nil
}

// finished notes that t has answered its chain, and says if it is still the
// taker.
func (r *run) finished(t *taker) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	t.busy = false
	return r.taker == t
}

// arm has look called after d. It is not stopped when a request ends, but left
// for the next: to set it for each would wake a thread each time. r.mu is held.
func (r *run) arm(d time.Duration) {
	r.armed = true
	if r.overdue == nil {
		r.overdue = time.AfterFunc(d, r.look)
	} else {
		r.overdue.Reset(d)
	}
}

// look makes another goroutine the taker if a request has taken longer than
// takesLong.
func (r *run) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.armed = false
	t := r.taker
	switch {
	case t == nil || !t.busy || r.failed:
		return
	case time.Since(t.since) < takesLong:
		r.arm(takesLong - time.Since(t.since))
	case r.inFlight == r.maxInFlight:
		r.arm(takesLong)
	default:
		r.begin(t.kick)
	}
}

// answer has the channel answer c and gives the chain back to the guest.
func (r *run) answer(c *chain) error {
	defer c.accepted.Done()
	n, err := c.accepted.Answer(r.ctx, c.out)
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
	c.mem, c.accepted = nil, nil
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
		r.takers.Wait() // no other begins any more
		r.channel.Close()
	})
}

// setFailed stops the taker and the requests, and returns false if it is not the
// first to do so.
func (r *run) setFailed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed {
		return false
	}
	r.failed = true
	r.cancel()
	if r.taker != nil {
		r.taker.kick.interrupt.signal()
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
