package p9

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// conn is a stream connection of a client.
type conn struct {
	srv     *Server
	nc      net.Conn
	raw     syscall.RawConn // nil if nc has no descriptor
	session *session
	ctx     context.Context
	cancel  context.CancelFunc
	loops   sync.WaitGroup // goroutines of this connection
	silent  func() bool    // whether nothing is heard of the other end
	closed  chan struct{}  // closed when nothing of the session is left

	writing sync.Mutex // held while replies are sent; a leaf

	// mu guards what follows; a leaf.
	mu       sync.Mutex
	room     sync.Cond // requests or bytes below their bounds
	requests int       // under way beside the one being read
	bytes    int       // of their messages
	draining bool      // no further message is read
}

func newConn(srv *Server, nc net.Conn) *conn {
	c := &conn{srv: srv, nc: nc, raw: rawConn(nc), closed: make(chan struct{})}
	c.silent = c.unheard
	c.room.L = &c.mu
	c.ctx, c.cancel = context.WithCancel(srv.ctx)
	peer := nc.RemoteAddr().String()
	if peer == "" || peer == "@" { // of a Unix socket the other end has no name
		peer = "unix"
	}
	c.session = newSession(srv, peer, c.ctx)
	c.session.addr = peerAddr(nc.RemoteAddr())
	c.session.conn = c
	return c
}

// peerAddr returns the IP address of a connection's other end. The zero Addr,
// which other transports than IP have, is in no network.
func peerAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// run serves the connection until it ends and all its requests are done.
func (c *conn) run() {
	c.nc.SetReadDeadline(time.Now().Add(c.srv.cfg.HandshakeTimeout))
	c.loops.Add(1)
	newLoop(c, newReader(c.nc, c.raw)).run()
	c.loops.Wait()
	c.cancel()
	c.session.close()
	close(c.closed)
	c.linger()
	c.nc.Close()
}

// greeted ends the time that a client has for its first message.
func (c *conn) greeted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.draining {
		c.nc.SetReadDeadline(time.Time{})
	}
}

// fail ends the connection because of err.
func (c *conn) fail(err error) {
	log := c.srv.cfg.Log.Debug()
	if errors.Is(err, errBroken) || errors.Is(err, os.ErrDeadlineExceeded) {
		log = c.srv.cfg.Log.Warn()
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		log.Err(err).Str("client", c.session.peer).Msg("9P connection ends")
	}
	c.cancel()
	c.nc.Close()
	c.mu.Lock()
	c.draining = true
	c.room.Broadcast()
	c.mu.Unlock()
}

// keepAlive has the other end's kernel answer now and then. It takes long to
// give up: a mount over 9P does not survive its connection, and the machine may
// only be paused. What it holds meanwhile is a matter of session.Courtesy.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 20 * time.Second, Interval: 10 * time.Second, Count: 127}

// silence is how long nothing may be heard of a client before others get what
// it holds.
const silence = time.Minute

// unheard reports whether the other end of a TCP connection has acknowledged
// nothing for that long. Other transports end with the machine.
func (c *conn) unheard() bool {
	if _, ok := c.nc.(*net.TCPConn); !ok {
		return false
	}
	var info *unix.TCPInfo
	var failed error
	err := c.raw.Control(func(fd uintptr) { info, failed = unix.GetsockoptTCPInfo(int(fd), unix.SOL_TCP, unix.TCP_INFO) })
	return err == nil && failed == nil && time.Duration(info.Last_ack_recv)*time.Millisecond > silence
}

// expire ends the connection and returns when it holds nothing any more.
func (c *conn) expire(ctx context.Context) error {
	c.srv.cfg.Log.Info().Str("client", c.session.peer).Msg("9P client is silent, and another wants what it holds: its connection ends")
	c.fail(net.ErrClosed)
	select {
	case <-c.closed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lingerTime is how long a client has to take the last replies and close its
// end.
const lingerTime = time.Second

// linger lets the last replies arrive: TCP would throw them away if the
// connection were closed with something unread (RFC 2525 §2.17).
func (c *conn) linger() {
	half, ok := c.nc.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.nc.SetReadDeadline(time.Now().Add(lingerTime))
	io.Copy(io.Discard, c.nc)
}

// mayRead waits until the requests under way leave room for another one. It
// returns false when no more is to be read.
func (c *conn) mayRead() bool {
	opt := &c.srv.cfg
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.draining && (c.requests >= opt.MaxInFlight || c.bytes > opt.MaxInFlightBytes) {
		c.room.Wait()
	}
	return !c.draining
}

// handedOver notes that a request goes on beside the reading.
func (c *conn) handedOver(size int) {
	c.mu.Lock()
	c.requests++
	c.bytes += size
	c.mu.Unlock()
}

// done notes its end.
func (c *conn) done(size int) {
	c.mu.Lock()
	c.requests--
	c.bytes -= size
	c.room.Signal()
	c.mu.Unlock()
}

var longAgo = time.Unix(1, 0)

// drain has no further message read and ends waits for locks, which could
// take for ever.
func (c *conn) drain() {
	c.mu.Lock()
	c.draining = true
	c.room.Broadcast()
	c.nc.SetReadDeadline(longAgo)
	c.mu.Unlock()
	c.session.abortWaits()
}

// ended notes why reading ended.
func (c *conn) ended(err error) {
	c.mu.Lock()
	draining := c.draining
	c.mu.Unlock()
	if !draining { // otherwise requests under way finish
		c.fail(err)
	}
}

// send writes replies.
func (c *conn) send(b []byte) {
	c.writing.Lock()
	_, err := c.nc.Write(b)
	c.writing.Unlock()
	if err != nil {
		c.fail(err)
	}
}
