package nfs41

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsva/fsva/server/xdr"
)

// ErrTimeout is what a call returns that got no reply within Conn.Timeout.
var ErrTimeout = errors.New("nfs41: no reply in time")

// DefaultTimeout is how long a call waits for its reply unless told
// otherwise: longer than any grace period a test would configure.
const DefaultTimeout = 60 * time.Second

// A Conn is one TCP connection that carries RPC calls both ways. Any number of
// goroutines may call at once; replies may come in any order. The exported
// fields must be set before the first call.
type Conn struct {
	Cred    Cred
	Timeout time.Duration

	nc  net.Conn
	wmu sync.Mutex // one record at a time onto nc; taken after no other lock

	mu      sync.Mutex // guards the fields below
	xid     uint32
	pending map[uint32]*exchange
	err     error // why no further reply can come

	callbacks atomic.Pointer[func(CBOp) Status]
	reader    chan struct{} // closed when the reading goroutine is gone
}

// An exchange is one call and its reply, with buffers that are used again.
type exchange struct {
	call  xdr.Encoder
	reply []byte
	err   error
	done  chan struct{} // receives once the reply or err is there
	timer *time.Timer
}

var exchanges = sync.Pool{New: func() any {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &exchange{done: make(chan struct{}, 1), timer: t}
}}

// Dial connects to an NFS server's TCP address.
func Dial(addr string) (*Conn, error) { return dial(addr, "", 0) }

func dial(addr, local string, readBuffer int) (*Conn, error) {
	d := net.Dialer{Timeout: DefaultTimeout}
	if local != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(local)}
	}
	nc, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return newConn(nc, readBuffer), nil
}

// NewConn runs RPC over a connection that is already made; it takes nc over.
func NewConn(nc net.Conn) *Conn { return newConn(nc, 0) }

func newConn(nc net.Conn, readBuffer int) *Conn {
	if readBuffer == 0 {
		readBuffer = 32 << 10
	}
	c := &Conn{
		Timeout: DefaultTimeout,
		nc:      nc,
		xid:     uint32(time.Now().UnixNano()),
		pending: make(map[uint32]*exchange),
		reader:  make(chan struct{}),
	}
	go c.read(bufio.NewReaderSize(nc, readBuffer))
	return c
}

// Close closes the connection and waits until nothing reads from it. Calls
// under way fail.
func (c *Conn) Close() error {
	err := c.nc.Close()
	<-c.reader
	return err
}

// Cut ends the connection and does not wait for the goroutine that reads from
// it, so that a callback's handler can call it, whose answer is then lost.
func (c *Conn) Cut() { c.nc.Close() }

// Closed is closed once the server, or Close, has ended the connection.
func (c *Conn) Closed() <-chan struct{} { return c.reader }

// LocalAddr is this end's address.
func (c *Conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// Call makes any RPC call: encode appends the arguments and decode takes the
// results, which alias a buffer that is reused when it returns. Both may be
// nil.
func (c *Conn) Call(prog, vers, proc uint32, encode func(*xdr.Encoder), decode func(*xdr.Decoder)) error {
	x := exchanges.Get().(*exchange)
	defer exchanges.Put(x)
	x.begin(prog, vers, proc, c.Cred)
	if encode != nil {
		encode(&x.call)
	}
	if err := c.roundTrip(x); err != nil {
		return err
	}
	d := xdr.NewDecoder(x.reply)
	if err := decodeReply(&d); err != nil {
		return err
	}
	if decode != nil {
		decode(&d)
	}
	return d.Err()
}

// Null calls the procedure that does nothing.
func (c *Conn) Null() error { return c.Call(ProgramNFS, VersionNFS4, ProcNull, nil, nil) }

// begin encodes the call's header after room for the record mark.
func (x *exchange) begin(prog, vers, proc uint32, cred Cred) {
	x.call.Truncate(0)
	x.call.Reserve()
	encodeCall(&x.call, 0, prog, vers, proc, cred)
}

// roundTrip sends x.call and waits until x.reply is there.
func (c *Conn) roundTrip(x *exchange) error {
	xid, err := c.register(x)
	if err != nil {
		return err
	}
	b := x.call.Buf
	binary.BigEndian.PutUint32(b, lastFragment|uint32(len(b)-4))
	binary.BigEndian.PutUint32(b[4:], xid)
	if err := c.send(b); err != nil {
		if c.forget(xid) {
			return err
		}
		<-x.done
		return err
	}
	x.timer.Reset(c.Timeout)
	select {
	case <-x.done:
		x.timer.Stop()
		return x.err
	case <-x.timer.C:
		if !c.forget(xid) { // the reader has it: the reply is coming in
			<-x.done
			return x.err
		}
		return fmt.Errorf("%w (%v)", ErrTimeout, c.Timeout)
	}
}

func (c *Conn) register(x *exchange) (xid uint32, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return 0, c.err
	}
	x.err = nil
	c.xid++
	c.pending[c.xid] = x
	return c.xid, nil
}

// forget takes a call out of those that wait, unless the reader has done so.
func (c *Conn) forget(xid uint32) bool { return c.claim(xid) != nil }

func (c *Conn) claim(xid uint32) *exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	x := c.pending[xid]
	delete(c.pending, xid)
	return x
}

func (c *Conn) send(b []byte) error {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	_, err := c.nc.Write(b)
	return err
}

// read owns the receiving side until the connection ends.
func (c *Conn) read(r *bufio.Reader) {
	defer close(c.reader)
	var err error
	for err == nil {
		err = c.readMessage(r)
	}
	c.mu.Lock()
	c.err = fmt.Errorf("nfs41: connection lost: %w", err)
	lost := c.pending
	c.pending = nil
	c.mu.Unlock()
	for _, x := range lost {
		x.err = c.err
		x.done <- struct{}{}
	}
	c.nc.Close()
}

// readMessage reads one record: a reply straight into the buffer of the call
// that waits for it, a call of the server into a buffer of its own.
func (c *Conn) readMessage(r *bufio.Reader) error {
	head, err := r.Peek(12) // record mark, xid, message type
	if err != nil {
		return err
	}
	if binary.BigEndian.Uint32(head)&^lastFragment < 8 {
		return errors.New("first fragment of less than 8 bytes")
	}
	xid, typ := binary.BigEndian.Uint32(head[4:]), binary.BigEndian.Uint32(head[8:])
	if typ == msgCall {
		rec, err := ReadRecord(r, nil)
		if err != nil {
			return err
		}
		return c.answer(rec)
	}
	x := c.claim(xid)
	if x == nil { // its caller gave up
		_, err := ReadRecord(r, nil)
		return err
	}
	x.reply, x.err = ReadRecord(r, x.reply)
	err = x.err // x is its caller's again after the next line
	x.done <- struct{}{}
	return err
}
