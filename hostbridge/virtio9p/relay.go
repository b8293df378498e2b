// Package virtio9p relays the 9P messages of a guest's virtio device to a 9P
// server that runs elsewhere, such as in another virtual machine of the host.
//
// The device is that of package server/p9/virtio, which takes requests from the
// guest's memory. A [Channel] is its 9P server: it sends each request over a
// stream, and writes the answer that comes back with its tag into the guest's
// memory.
//
//	guest ── virtio ring ── Device ── Channel ── TCP, Unix, vsock ── 9P server
//
// The relay has no files, and knows of 9P only what it needs to keep messages
// apart: their sizes, tags, what Tversion and Tflush do to others, and the name
// in Tattach. Neither end is trusted. Whatever the guest does to its memory, what
// goes out is a sequence of whole messages; whatever the server sends, what
// reaches the guest are answers to its requests, in the room that it gave.
package virtio9p

import (
	"context"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/p9/transport"
)

// Config describes the server that a guest's messages go to.
type Config struct {
	Tag     string // of the guest's device, for the log
	Address string // of the server, for errors and the log

	// Dial connects to the server. The connection is a [syscall.Conn], as those
	// of package net are.
	Dial func(ctx context.Context) (net.Conn, error)

	// Export, if not empty, is the only one that the guest can attach to, as
	// "export" or "/export"; it is also what an empty name means. Others are
	// refused with EACCES. Without it, the server alone decides.
	Export string

	Log zerolog.Logger
}

// limits are how long the relay waits.
type limits struct {
	dial    time.Duration // for the server to be there, with all attempts
	retry   time.Duration // between two attempts
	message time.Duration // for an answer, once begun, to be there
	settle  time.Duration // when the device stops, for requests to end by themselves
	flush   time.Duration // after that, to end because they are flushed; for a message to pass
}

// An answer takes as long as the server's machine is paused: as package p9, which
// serves mounts without a relay, waits for a client's.
var defaultLimits = limits{
	dial: 10 * time.Second, retry: 200 * time.Millisecond, message: 21 * time.Minute,
	settle: 250 * time.Millisecond, flush: 5 * time.Second,
}

// Channel relays one guest's messages. It is a virtio.Channel.
//
// Each Tversion that finds no connection makes one. If the server cannot be
// reached, Tversion is answered with EIO, and the guest may try again. When a
// connection breaks that the guest has a mount on, Answer fails: 9P cannot go on
// from there.
type Channel struct {
	config Config
	limits limits

	connecting sync.Mutex // held while dialling; before mu

	mu    sync.Mutex       // guards what follows; a leaf
	up    *upstream        // nil until the first Tversion
	calls map[uint16]*call // accepted and not done: the latest of each tag
}

// NewChannel makes a channel. It connects when the guest's first message comes.
func NewChannel(c Config) *Channel {
	return &Channel{config: c, limits: defaultLimits, calls: map[uint16]*call{}}
}

// Close ends the connection, when all requests are done.
func (c *Channel) Close() {
	if up := c.current(); up != nil {
		up.close()
	}
}

func (c *Channel) current() *upstream {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.up
}

// Accept takes up the request in the slices in. A Tflush knows from then on what
// it flushes: the guest may soon use that tag again.
func (c *Channel) Accept(in [][]byte) (transport.Request, error) {
	q := &call{channel: c, in: in, answer: make(chan answer, 1)}
	if have := collect(q.prefix[:], in); have < headerSize {
		return nil, fmt.Errorf("a request of %d bytes", have)
	}
	q.typ, q.tag = q.prefix.typ(), q.prefix.tag()
	q.sent.Add(1)
	q.done.Add(1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if q.typ == tflush {
		q.flushes = c.calls[q.prefix.oldTag()]
	}
	c.calls[q.tag] = q
	return q, nil
}

// Answer has the server answer the request, and writes the answer to the slices
// out. When ctx ends it returns soon: the request is flushed, and answered with
// EINTR unless the server answers it.
func (q *call) Answer(ctx context.Context, out [][]byte) (n int, err error) {
	c := q.channel
	up := c.current()
	limit := uint32(firstMsize)
	if up != nil {
		limit = up.msize.Load()
	}
	m, err := gather(&q.prefix, q.in, limit)
	if err != nil {
		return 0, err
	}
	defer m.release()
	if q.room = total(out); q.room < rlerrorSize {
		return 0, fmt.Errorf("a request with room for an answer of %d bytes", q.room)
	}
	if m.typ == tversion {
		if up, err = c.connect(ctx); err != nil {
			return rlerror(out, m.tag, syscall.EIO), nil
		}
	}
	if up == nil {
		return rlerror(out, m.tag, syscall.EPROTO), nil // nothing comes before Tversion
	}
	if errno := m.restrict(c.config.Export); errno != 0 {
		return rlerror(out, m.tag, errno), nil
	}
	return up.do(ctx, q, m, out)
}

// Done ends the wait of who flushes the request.
func (q *call) Done() {
	c := q.channel
	c.mu.Lock()
	if c.calls[q.tag] == q {
		delete(c.calls, q.tag)
	}
	c.mu.Unlock()
	q.leave()
	q.done.Done()
}

// connect returns the connection to the server, which it makes if there is none
// that works. Failure is logged.
func (c *Channel) connect(ctx context.Context) (*upstream, error) {
	c.connecting.Lock()
	defer c.connecting.Unlock()
	old := c.current()
	if old != nil && old.broken() == nil {
		return old, nil
	}
	nc, err := c.dial(ctx)
	var up *upstream
	if err == nil {
		up, err = newUpstream(nc, c.config.Address, c.limits)
	}
	if err != nil {
		c.config.Log.Warn().Err(err).Str("tag", c.config.Tag).Str("server", c.config.Address).
			Msg("cannot reach the 9P server: the guest's mount fails")
		return nil, err
	}
	if old != nil {
		old.close()
	}
	c.mu.Lock()
	c.up = up
	c.mu.Unlock()
	return up, nil
}

// dial tries to connect until it succeeds or the time is up: the machine with
// the server may be starting at the same time as this one.
func (c *Channel) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limits.dial)
	defer cancel()
	for {
		nc, err := c.config.Dial(ctx)
		if err == nil {
			return nc, nil
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(c.limits.retry):
		}
	}
}
