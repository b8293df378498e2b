package rpc_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

const lastFragment = 1 << 31

// words returns 32-bit words as they go over the wire.
func words(w ...uint32) []byte {
	var b []byte
	for _, v := range w {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return b
}

// fragment returns b behind a record mark.
func fragment(b []byte, last bool) []byte {
	mark := uint32(len(b))
	if last {
		mark |= lastFragment
	}
	return append(words(mark), b...)
}

// record returns a record of one fragment.
func record(msg []byte) []byte { return fragment(msg, true) }

// message is a call of the program with AUTH_NONE, without its record mark.
func message(xid, proc uint32, args []byte) []byte {
	return append(words(xid, 0, 2, program, version, proc, 0, 0, 0, 0), args...)
}

// call is the record of a call.
func call(xid, proc uint32, args []byte) []byte { return record(message(xid, proc, args)) }

// success is the reply to a call that was run, without its record mark.
func success(xid uint32, results []byte) []byte {
	return append(words(xid, 1, 0, 0, 0, 0), results...)
}

// client is the client's end of a connection.
type client struct {
	net.Conn
	t testing.TB
}

// dial connects a client that waits with patience and closes when the test
// ends.
func (s *service) dial(t testing.TB) *client {
	t.Helper()
	nc, err := s.listener.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(patience))
	return &client{Conn: nc, t: t}
}

// send writes all of b from a goroutine of its own: a pipe has no room, and
// the server may reply before it has read on. What the server thinks of b is
// seen by what it replies.
func (c *client) send(b ...[]byte) {
	go c.Write(bytes.Join(b, nil))
}

// receive returns the next record.
func (c *client) receive() []byte {
	c.t.Helper()
	msg, err := readRecord(c.Conn)
	if err != nil {
		c.t.Fatalf("receiving a record: %v", err)
	}
	return msg
}

// readRecord reads a record of one fragment, which is all that the server
// sends.
func readRecord(r io.Reader) ([]byte, error) {
	var mark [4]byte
	if _, err := io.ReadFull(r, mark[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(mark[:])
	if n&lastFragment == 0 {
		return nil, errors.New("the record has more than one fragment")
	}
	msg := make([]byte, n&^lastFragment)
	_, err := io.ReadFull(r, msg)
	return msg, err
}

// expect fails the test unless the next record is want.
func (c *client) expect(want []byte) {
	c.t.Helper()
	if got := c.receive(); !bytes.Equal(got, want) {
		c.t.Fatalf("received\n%x\nwant\n%x", got[:min(len(got), 200)], want[:min(len(want), 200)])
	}
}

// ping fails the test unless the server answers on this connection.
func (c *client) ping() {
	c.t.Helper()
	const xid = 0x70696e67
	c.send(call(xid, 0, nil))
	c.expect(success(xid, nil))
}

// expectEnd fails the test unless the server ends the connection without a
// further byte.
func (c *client) expectEnd() {
	c.t.Helper()
	n, err := c.Read(make([]byte, 1))
	if n != 0 || err == nil {
		c.t.Fatal("received a further byte, want the end of the connection")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the server does not end the connection")
	}
}
