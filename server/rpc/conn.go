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
	draining bool // no further record is read
	onClose  []func()
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
func (c *Conn) OnClose(f func()) {
	c.mu.Lock()
	closed := c.closed
	if !closed {
		c.onClose = append(c.onClose, f)
	}
	c.mu.Unlock()
	if closed {
		f()
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

// loop reads records and answers them, until a call hands reading over to
// another loop and this one ends with that call.
type loop struct {
	conn   *Conn
	reader *reader
	call   Call
	out    *Buffer // what call.Reply is encoded into, nil while there is none
	size   int     // of the record under way, in bytes
	handed bool    // another loop reads
}

func (l *loop) run() {
	c := l.conn
	defer c.loops.Done()
	l.call.Conn, l.call.Ctx, l.call.loop = c, c.ctx, l
	for !l.handed && c.mayRead() {
		record, big, err := l.reader.next()
		if err != nil {
			l.flush()
			c.ended(err)
			break
		}
		l.size = len(record)
		l.serve(record)
		if big != nil {
			big.Release()
		}
	}
	l.flush() // no record came after all
	l.reader.drop()
}

// serve answers one record and sends the reply, with those before it, unless
// the next record is here already.
func (l *loop) serve(record []byte) {
	c, r := l.conn, &l.call.Reply
	if isReply(record) {
		c.deliver(record)
		if !l.reader.complete() {
			l.flush()
		}
		return
	}
	if l.out == nil {
		l.out = GetBuffer(replyBuffer)
		r.Buf = l.out.B[:0]
	}
	if !c.server.answer(&l.call, record) {
		l.flush()
		c.fail(errors.New("a record is no RPC message"))
		return
	}
	if !l.handed && len(r.parts) == 0 && len(r.Buf) < coalesce && l.reader.complete() {
		return
	}
	l.flush()
	if l.handed {
		c.done(l.size)
	}
}

const (
	replyBuffer = 4 << 10  // bytes of memory a reply begins with
	coalesce    = 32 << 10 // bytes of replies that wait for each other at most
)

// flush sends the replies that wait, if any, and gives their memory back.
func (l *loop) flush() {
	if l.out == nil {
		return
	}
	if len(l.call.Reply.Buf) > 0 {
		l.conn.send(&l.call.Reply)
	}
	l.call.Reply.Buf = nil
	l.out.Release()
	l.out = nil
}

// handOver lets another goroutine read on. Replies that waited to be sent with
// the one under way are sent first.
func (l *loop) handOver() {
	if l.handed {
		return
	}
	l.handed = true
	c, r := l.conn, &l.call.Reply
	if r.base > r.sent {
		c.sendEarly(r.Buf[r.sent:r.base])
		r.sent = r.base
	}
	c.mu.Lock()
	c.calls++
	c.bytes += l.size
	c.mu.Unlock()
	c.loops.Add(1)
	next := &loop{conn: c, reader: l.reader.split()}
	go next.run()
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
