package xen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"sync"

	"github.com/fsva/fsva/server/rpc"
)

// ringInfo is what a front end tells about a ring.
type ringInfo struct {
	ref  uint32 // grant of the interface page
	port uint32 // of the event channel
}

// session is the time that a front end is connected: its rings at work. They
// carry one 9P session, and a request may come on any.
type session struct {
	channel Channel
	infos   []ringInfo
	rings   []*ring         // one for each
	ctx     context.Context // of the requests
	cancel  context.CancelFunc
	workers sync.WaitGroup

	once   sync.Once
	failed chan struct{} // closed when the session cannot go on
	err    error         // why; read it after failed is closed
}

// requestsPerRing is how many of the longest requests a ring has room for. Linux
// wants it never to be full: a process that finds no room is never woken, since it
// waits as TASK_KILLABLE, and is called with wake_up_interruptible (p9_xen_request
// and xen_9pfs_front_event_handler in net/9p/trans_xen.c). The more fit, the more
// processes have to write at the same time for that.
const requestsPerRing = 16

// connect opens the rings of a front end and serves them with a channel that
// newChannel makes. It is up to the caller to end the session.
func connect(hv hypervisor, domain uint32, infos []ringInfo, newChannel func(maxMessage uint32) (Channel, error)) (*session, error) {
	s := &session{infos: infos, failed: make(chan struct{})}
	maxMessage := uint32(math.MaxUint32)
	for i, info := range infos {
		var r *ring
		err := protect(func() (err error) {
			r, err = openRing(hv, domain, info.ref, info.port)
			return err
		})
		if err != nil {
			s.closeRings()
			return nil, fmt.Errorf("ring %d: %w", i, err)
		}
		s.rings = append(s.rings, r)
		maxMessage = min(maxMessage, r.size()/requestsPerRing)
	}
	channel, err := newChannel(maxMessage)
	if err != nil {
		s.closeRings()
		return nil, err
	}
	s.channel = channel
	s.ctx, s.cancel = context.WithCancel(context.Background())
	for _, r := range s.rings {
		r.accept = channel.Accept
		s.workers.Go(func() {
			s.fail(r.listen())
		})
		r.taking.Lock()
		s.follow(r)
		r.taking.Unlock()
	}
	return s, nil
}

func (s *session) closeRings() {
	for _, r := range s.rings {
		r.close()
	}
}

// end stops the rings, waits for all requests and gives back the memory. It is
// called once.
func (s *session) end() {
	s.cancel()
	for _, r := range s.rings {
		_ = r.events.Close() // ends who listens
	}
	s.workers.Wait()
	s.channel.Close()
	s.closeRings()
}

// fail ends all requests. What comes first is the reason, and the rest follows
// from it, as it does from the end of the session.
func (s *session) fail(err error) {
	s.once.Do(func() {
		s.err = err
		s.cancel()
		close(s.failed)
	})
}

// takersPerRing is how many requests of a ring are answered at the same time.
// Those that wait for locks are fewer.
const takersPerRing = 32

// follow has one more goroutine take requests of r. r.taking is held.
func (s *session) follow(r *ring) {
	r.takers++
	r.idle.Add(1)
	s.workers.Go(func() {
		if err := protect(func() error { return s.take(r) }); err != nil {
			s.fail(err)
		}
	})
}

// take takes requests and answers them until the session ends, each time it is
// its turn. It is counted as idle.
func (s *session) take(r *ring) error {
	for {
		q, err := s.turn(r)
		if err != nil {
			return err
		}
		if err := s.answer(r, q); err != nil {
			return err
		}
		r.idle.Add(1)
	}
}

// turn waits for the turn to take a request, and for the request. Then it is
// the turn of the next, so that requests are taken while others are answered.
func (s *session) turn(r *ring) (request, error) {
	r.taking.Lock()
	defer r.taking.Unlock()
	q, err := r.next(s.ctx)
	if r.idle.Add(-1) == 0 && err == nil && r.takers < takersPerRing {
		s.follow(r)
	}
	return q, err
}

// answer has the channel answer a request.
func (s *session) answer(r *ring, q request) error {
	defer q.done()
	s.awaitFlushed(r, q.B)
	room := r.room(q.B)
	reply := rpc.GetBuffer(room)
	defer reply.Release()
	n, err := q.accepted.Answer(s.ctx, [][]byte{reply.B})
	switch {
	case err != nil:
		return err
	case n < messageHeader || n > room:
		return fmt.Errorf("answer of %d bytes in a room of %d", n, room)
	}
	return r.reply(s.ctx, reply.B[:n])
}

// awaitFlushed has what a Tflush flushes, oldtag[2], accepted before it is
// answered, so that the channel knows of it. Linux puts requests into rings by
// their tags (p9_xen_request in net/9p/trans_xen.c), and so a Tflush into another
// one. Who waits keeps another from taking, but only ever for a request that is
// older: the oldest of all is always taken.
func (s *session) awaitFlushed(r *ring, msg []byte) {
	if msg[typePlace] != tflush || len(msg) < messageHeader+2 {
		return
	}
	old := binary.LittleEndian.Uint16(msg[messageHeader:])
	for _, other := range s.rings {
		if other != r {
			other.awaitTag(s.ctx, old)
		}
	}
}

// protect calls f, and returns as an error what f panics with. In a goroutine
// that touches the front end's memory, this can be memory that is not there any
// more: SIGBUS, by which the whole process would end.
func protect(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	return f()
}

// errGone is memory that a front end has taken back.
var errGone = errors.New("memory that the front end granted is gone")

// panicError tells memory that has vanished from a mistake in the program, of
// which it says where.
func panicError(p any) error {
	if fault, ok := p.(interface{ Addr() uintptr }); ok {
		return fmt.Errorf("%w, at %#x", errGone, fault.Addr())
	}
	return fmt.Errorf("panic: %v\n%s", p, debug.Stack())
}
