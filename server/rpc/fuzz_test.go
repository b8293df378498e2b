package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/fsva/fsva/server/rpc"
)

// tape is a connection whose input is given and whose output is kept.
type tape struct {
	step  int // bytes that a Read returns at most
	ended chan struct{}
	end   func() // closes ended, once

	mu  sync.Mutex
	in  []byte
	out bytes.Buffer
}

func newTape(in []byte, step int) *tape {
	ended := make(chan struct{})
	return &tape{step: step, ended: ended, end: sync.OnceFunc(func() { close(ended) }), in: in}
}

func (c *tape) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.in) == 0 {
		c.end()
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.step)], c.in)
	c.in = c.in[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *tape) Close() error {
	c.end()
	return nil
}

func (c *tape) LocalAddr() net.Addr              { return &net.UnixAddr{Name: "tape", Net: "tape"} }
func (c *tape) RemoteAddr() net.Addr             { return c.LocalAddr() }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// play has a server answer in, and returns what it sends.
func play(t *testing.T, opt rpc.Options, h handler, in []byte, step int) []byte {
	s := rpc.NewServer(opt)
	s.Register(program, version, h)
	l := listenPipe(t).(*pipeListener)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), l) }()
	c := newTape(in, step)
	l.accept <- c
	wait(t, c.ended, "the end of the connection")
	if err := s.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	<-served
	return c.out.Bytes()
}

// callsOf returns the xids of the calls in a connection's input, up to what
// is no record of at most max bytes or no message.
func callsOf(in []byte, max int) (xids []uint32) {
	var msg []byte
	for fragments := 1; len(in) >= 4; fragments++ {
		mark := binary.BigEndian.Uint32(in)
		n := int(mark &^ lastFragment)
		in = in[4:]
		if n > max-len(msg) || n > len(in) {
			break
		}
		msg = append(msg, in[:n]...)
		in = in[n:]
		if mark&lastFragment == 0 {
			if fragments == 1024 {
				break
			}
			continue
		}
		if len(msg) < 8 || binary.BigEndian.Uint32(msg[4:]) > 1 {
			break
		}
		if binary.BigEndian.Uint32(msg[4:]) == 0 {
			xids = append(xids, binary.BigEndian.Uint32(msg))
		}
		msg, fragments = nil, 0
	}
	return xids
}

// repliesOf returns the xids of the replies in out, which must be nothing
// else.
func repliesOf(t *testing.T, out []byte) (xids []uint32) {
	for r := bytes.NewReader(out); r.Len() > 0; {
		msg, err := readRecord(r)
		if err != nil || len(msg) < 20 || len(msg)%4 != 0 || binary.BigEndian.Uint32(msg[4:]) != 1 {
			t.Fatalf("the server sends what is no reply: %x, %v", msg, err)
		}
		xids = append(xids, binary.BigEndian.Uint32(msg))
	}
	return xids
}

// FuzzRecord has any bytes be a connection's input. Quick calls are answered
// each, in their order; calls that let others read on at most once.
func FuzzRecord(f *testing.F) {
	const max = 40_000
	msg := message(1, quick, words(1, 2))
	for _, in := range [][]byte{
		{},
		{0x80},
		call(1, 0, nil),
		slices.Concat(call(1, quick, nil), call(2, slow, words(7)), call(3, quick, nil)),
		slices.Concat(fragment(msg[:10], false), fragment(nil, false), fragment(msg[10:], true)),
		slices.Concat(call(1, quick, nil), record(success(9, nil)), call(2, quick, nil)),
		slices.Concat(call(1, quick, nil), record(nil), call(2, quick, nil)),
		slices.Concat(call(1, quick, nil), words(lastFragment|(max+1))),
		slices.Concat(call(1, quick, make([]byte, max-40)), call(2, quick, make([]byte, max-36))),
		slices.Concat(bytes.Repeat(fragment(nil, false), 1023), call(1, quick, nil)),
		slices.Concat(bytes.Repeat(fragment(nil, false), 1024), call(1, quick, nil)),
		withAuth(1, 1, authSys("guest", 1, 2, 3, 4), 0, nil),
		withAuth(1, 6, nil, 1, words(0)),
		record(words(1, 0, 3)),
		record(words(1, 0, 2, program, version+1, 0, 0, 0, 0, 0)),
	} {
		f.Add(in, uint16(0))
		f.Add(in, uint16(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, step uint16) {
		opt := rpc.Options{MaxRecord: max, MaxInFlight: 3, MaxInFlightBytes: 200}
		size := int(step)
		if size == 0 {
			size = len(in) + 1
		}
		asked := callsOf(in, max)
		got := repliesOf(t, play(t, opt, echo, in, size))
		if !slices.Equal(got, asked) {
			t.Errorf("replies to %d, want %d", got, asked)
		}
		got = repliesOf(t, play(t, opt, anyKind, in, size))
		if !within(got, asked) {
			t.Errorf("replies to %d, want at most %d", got, asked)
		}
	})
}

// within reports whether some holds nothing more often than all does.
func within(some, all []uint32) bool {
	left := map[uint32]int{}
	for _, x := range all {
		left[x]++
	}
	for _, x := range some {
		if left[x]--; left[x] < 0 {
			return false
		}
	}
	return true
}
