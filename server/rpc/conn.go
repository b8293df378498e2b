package rpc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/fsva/fsva/server/xdr"
)

// Conn is a connection of a client.
type Conn struct {
	server *Server
	nc     net.Conn
	raw    syscall.RawConn // nil if nc has no descriptor
	peer   string
	ctx    context.Context
	cancel context.CancelFunc
	loops  sync.WaitGroup // goroutines of this connection
	stop   atomic.Bool    // no further record is read

	// writing is held while a reply is sent. It guards what follows and is
	// a leaf.
	writing    sync.Mutex
	out        []byte
	outErr     error
	outFlags   int
	writeReady func(fd uintptr) bool

	// mu guards what follows; a leaf.
	mu       sync.Mutex
	room     sync.Cond // calls or bytes below their bounds
	calls    int       // under way beside the one being read
	bytes    int       // of their records
	closed   bool
	draining bool              // no further record is read
	onClose  map[uint64]func() // by number
	hooks    uint64            // numbers given
	xid      uint32
	pending  map[uint32]chan []byte // calls to the client, by xid
}

func newConn(s *Server, nc net.Conn) *Conn {
	c := &Conn{server: s, nc: nc, peer: nc.RemoteAddr().String()}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.room.L = &c.mu
	if sc, ok := nc.(syscall.Conn); ok {
		c.raw, _ = sc.SyscallConn()
	}
	c.writeReady = c.writeOnce
	return c
}

// RemoteAddr returns the address of the client's end.
func (c *Conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// Peer returns RemoteAddr as a string, for credentials and logs.
func (c *Conn) Peer() string { return c.peer }

// OnClose has f called once when the connection has ended, at once if it has.
// forget takes that back: what f refers to would live as long as the connection.
func (c *Conn) OnClose(f func()) (forget func()) {
	c.mu.Lock()
	closed := c.closed
	c.hooks++
	hook := c.hooks
	if !closed {
		if c.onClose == nil {
			c.onClose = make(map[uint64]func(), 1)
		}
		c.onClose[hook] = f
	}
	c.mu.Unlock()
	if closed {
		f()
	}
	return func() {
		c.mu.Lock()
		delete(c.onClose, hook)
		c.mu.Unlock()
	}
}

// run serves the connection until it ends and all its calls are done.
func (c *Conn) run() {
	l := &loop{conn: c, reader: newReader(c.nc, &c.stop, c.server.opt.MaxRecord, c.server.opt.RecordTimeout)}
	c.loops.Add(1)
	l.run()
	c.loops.Wait()
	c.close()
}

// fail ends the connection because of err.
func (c *Conn) fail(err error) {
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		c.server.opt.Log.Debug().Err(err).Str("client", c.peer).Msg("connection ends")
	}
	c.cancel()
	c.nc.Close()
	c.mu.Lock()
	c.draining = true
	c.room.Broadcast()
	c.mu.Unlock()
}

// close gives everything back. No goroutine of the connection runs any more.
func (c *Conn) close() {
	c.cancel()
	if c.stop.Load() {
		c.linger()
	}
	c.nc.Close()
	c.mu.Lock()
	c.closed = true
	hooks := c.onClose
	c.onClose = nil
	for xid, reply := range c.pending {
		delete(c.pending, xid)
		close(reply)
	}
	c.mu.Unlock()
	for _, f := range hooks {
		f()
	}
}

// lingerTime is how long a client has to take the last replies and close its
// end.
const lingerTime = time.Second

// linger lets the last replies arrive: TCP would throw them away if the
// connection were closed with something unread (RFC 2525 §2.17).
func (c *Conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, c.nc)
}

// mayRead waits until the calls under way leave room for another one. It
// returns false when no more is to be read.
func (c *Conn) mayRead() bool {
	opt := &c.server.opt
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.draining && (c.calls >= opt.MaxInFlight || c.bytes > opt.MaxInFlightBytes) {
		c.room.Wait()
	}
	return !c.draining
}

// done notes the end of a call that was handed over.
func (c *Conn) done(size int) {
	c.mu.Lock()
	c.calls--
	c.bytes -= size
	c.room.Signal()
	c.mu.Unlock()
}

// drain has no further record read.
func (c *Conn) drain() {
	c.mu.Lock()
	c.draining = true
	c.room.Broadcast()
	c.mu.Unlock()
	c.stop.Store(true)
	c.nc.SetReadDeadline(longAgo)
}

// ended notes why reading ended.
func (c *Conn) ended(err error) {
	c.mu.Lock()
	draining := c.draining
	c.mu.Unlock()
	if draining {
		return // calls under way finish
	}
	if errors.Is(err, errRecordTooLong) {
		c.server.opt.Log.Warn().Err(err).Str("client", c.peer).Msg("client sends what is no RPC; its connection ends")
	}
	c.fail(err)
}

func isReply(record []byte) bool {
	return len(record) >= 8 && binary.BigEndian.Uint32(record[4:]) == msgReply
}

// maxPending bounds the calls to a client that wait for its reply.
const maxPending = 64

// Errors of Call.
var (
	ErrTooManyCalls = errors.New("rpc: too many calls to the client wait for a reply")
	ErrClosed       = errors.New("rpc: connection closed")
)

// Call calls a program of the client over the connection it opened, as
// NFSv4.1's backchannel does (RFC 8881 §2.10.3.1), and returns the results. A
// handler that waits for it must have called MayBlock.
func (c *Conn) Call(ctx context.Context, prog, vers, proc uint32, auth Auth, args []byte) ([]byte, error) {
	reply := make(chan []byte, 1)
	c.mu.Lock()
	if c.closed || len(c.pending) >= maxPending {
		closed := c.closed
		c.mu.Unlock()
		if closed {
			return nil, ErrClosed
		}
		return nil, ErrTooManyCalls
	}
	if c.pending == nil {
		c.pending = make(map[uint32]chan []byte)
	}
	c.xid++
	xid := c.xid
	c.pending[xid] = reply
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.pending, xid)
		c.mu.Unlock()
	}()

	var r Reply
	r.Uint32(0)
	r.Uint32(xid)
	r.Uint32(msgCall)
	r.Uint32(rpcVersion)
	r.Uint32(prog)
	r.Uint32(vers)
	r.Uint32(proc)
	auth.encode(&r.Encoder)
	r.Buf = append(r.Buf, args...)
	r.end()
	if err := c.send(&r); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrClosed, err)
	}
	select {
	case record, ok := <-reply:
		if !ok {
			return nil, ErrClosed
		}
		return decodeReply(record)
	case <-c.ctx.Done():
		return nil, ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// deliver gives the client's reply to who waits for it. Others are dropped.
func (c *Conn) deliver(record []byte) {
	xid := binary.BigEndian.Uint32(record)
	c.mu.Lock()
	reply := c.pending[xid]
	delete(c.pending, xid)
	c.mu.Unlock()
	if reply != nil {
		reply <- append([]byte(nil), record...)
	}
}

// decodeReply takes the header of a reply and returns the results.
func decodeReply(record []byte) ([]byte, error) {
	d := xdr.NewDecoder(record)
	d.Uint64() // xid and message type
	if d.Uint32() != msgAccepted {
		return nil, errors.New("rpc: the client denied the call")
	}
	d.Uint32()
	d.Opaque(maxAuthBody)
	stat := AcceptStat(d.Uint32())
	if d.Err() != nil {
		return nil, d.Err()
	}
	if stat != Success {
		return nil, errors.New("rpc: the client did not run the call")
	}
	return record[d.Offset():], nil
}
