package virtio9p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsva/fsva/server/rpc"
)

// upstream is a connection to the 9P server. Requests of many calls are under
// way on it; a goroutine of its own takes the answers and finds whom they are
// for by their tags, which are the guest's.
type upstream struct {
	nc      net.Conn
	raw     syscall.RawConn
	address string // for errors
	limits  limits
	msize   atomic.Uint32 // how long messages may be

	sending sync.Mutex     // held while a message goes out; before mu
	resume  chan struct{}  // the call that an answer was left to has read it
	failed  chan struct{}  // closed when the connection is broken
	reader  sync.WaitGroup // the goroutine

	mu    sync.Mutex
	calls map[uint16]*call
	err   error // why the connection is broken; nil while it is not
}

// call is a request that waits for its answer.
type call struct {
	channel *Channel
	in      [][]byte
	prefix  prefix // of what is in in, which may have changed
	typ     uint8
	tag     uint16
	flushes *call // of a Tflush: what it flushes, if that was not done

	sent sync.WaitGroup // it has gone out, or does not any more
	left bool           // sent is told
	done sync.WaitGroup // the guest has the answer, or gets none

	room   int         // for the answer
	msize  uint32      // of a Tversion
	answer chan answer // has room for the one that comes
}

// leave tells that the call has gone out, or does not any more.
func (q *call) leave() {
	if !q.left {
		q.left = true
		q.sent.Done()
	}
}

// answer is what a call gets.
type answer struct {
	buf   *rpc.Buffer   // the message, or its front
	rest  int           // bytes of it that are still in the connection
	errno syscall.Errno // instead: what to tell the guest
	err   error         // instead: the connection is broken
}

func newUpstream(nc net.Conn, address string, l limits) (*upstream, error) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		nc.Close()
		return nil, errors.New("the connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		nc.Close()
		return nil, err
	}
	u := &upstream{
		nc: nc, raw: raw, address: address, limits: l,
		resume: make(chan struct{}, 1), failed: make(chan struct{}), calls: map[uint16]*call{},
	}
	u.msize.Store(firstMsize)
	u.reader.Go(func() { u.fail(u.read()) })
	return u, nil
}

// close ends the connection and waits for its goroutine.
func (u *upstream) close() {
	u.fail(net.ErrClosed)
	u.reader.Wait()
}

func (u *upstream) broken() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

// fail breaks the connection and tells all calls. The first reason stays.
func (u *upstream) fail(err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return
	}
	u.err = fmt.Errorf("9P server %s: %w", u.address, err)
	u.nc.Close()
	close(u.failed)
	for tag, c := range u.calls {
		delete(u.calls, tag)
		c.answer <- answer{err: u.err}
	}
}

// do sends a request and writes its answer to out. A Tflush goes out after what
// it flushes, and is answered after that. Neither takes longer than the other
// call would by itself.
func (u *upstream) do(ctx context.Context, c *call, m *message, out [][]byte) (int, error) {
	if m.typ == tversion {
		c.msize = m.uint32At(headerSize)
	}
	if c.flushes != nil {
		c.flushes.sent.Wait()
	}
	if err := u.begin(c); err != nil {
		return 0, err
	}
	if err := u.send(ctx, m.buf.B, m.data); err != nil {
		return 0, err
	}
	c.leave()
	a := u.wait(ctx, c)
	switch {
	case a.err != nil:
		return 0, a.err
	case a.errno != 0:
		return rlerror(out, m.tag, a.errno), nil
	}
	if c.flushes != nil && a.buf.B[4] == tflush+1 {
		c.flushes.done.Wait()
	}
	return u.receive(ctx, a, out)
}

// begin registers a call.
func (u *upstream) begin(c *call) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.err != nil {
		return u.err
	}
	if u.calls[c.tag] != nil {
		return fmt.Errorf("the guest uses tag %d twice at the same time", c.tag)
	}
	u.calls[c.tag] = c
	return nil
}

// send sends a message: front and data follow each other. One that goes out
// only in part breaks the connection, as what follows would be taken for the
// rest of it.
func (u *upstream) send(ctx context.Context, front []byte, data [][]byte) error {
	u.sending.Lock()
	defer u.sending.Unlock()
	p := &patience{ctx: ctx, setDeadline: u.nc.SetWriteDeadline, time: u.limits.flush}
	defer p.end()
	if err := writePieces(u.raw, append([][]byte{front}, data...), p); err != nil {
		u.fail(fmt.Errorf("send: %w", err))
		return u.broken()
	}
	return nil
}

// wait waits for a call's answer. When ctx ends, the call gets a moment, is
// then flushed, and if that does not end it either, the connection is broken.
func (u *upstream) wait(ctx context.Context, c *call) answer {
	select {
	case a := <-c.answer:
		return a
	case <-ctx.Done():
	}
	select {
	case a := <-c.answer:
		return a
	case <-time.After(u.limits.settle):
	}
	u.flush(ctx, c)
	select {
	case a := <-c.answer:
		return a
	case <-time.After(u.limits.flush):
		u.fail(errors.New("it does not end a request that was flushed"))
		return <-c.answer
	}
}

// flush sends a Tflush for a call. The answer needs nobody to wait for it: if
// it comes before that of the call, it ends the call.
func (u *upstream) flush(ctx context.Context, c *call) {
	f := &call{typ: tflush, flushes: c, room: rlerrorSize, answer: make(chan answer, 1)}
	u.mu.Lock()
	tag := uint16(0xfffe) // guests use them from 0 on; 0xffff is none
	for u.calls[tag] != nil {
		tag--
	}
	f.tag = tag
	u.mu.Unlock()
	if u.begin(f) != nil {
		return // broken, or a guest takes the tag just now: then wait gives up
	}
	b := appendHeader(nil, headerSize+2, tflush, f.tag)
	// Failure breaks the connection, which tells the call.
	_ = u.send(ctx, binary.LittleEndian.AppendUint16(b, c.tag), nil)
}

// receive writes an answer to out and returns its length. What is still in the
// connection goes to the guest's memory directly.
func (u *upstream) receive(ctx context.Context, a answer, out [][]byte) (int, error) {
	n := len(a.buf.B)
	scatter(out, a.buf.B)
	a.buf.Release()
	if a.rest == 0 {
		return n, nil
	}
	p := &patience{ctx: ctx, setDeadline: u.nc.SetReadDeadline, time: u.limits.flush}
	err := readPieces(u.raw, part(out, n, a.rest), p)
	p.end()
	if err != nil {
		u.fail(fmt.Errorf("receive: %w", err))
		return 0, u.broken()
	}
	u.resume <- struct{}{}
	return n + a.rest, nil
}
