package rpc_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// Procedures of gated.
const (
	quick = 1
	slow  = 2 // waits at the gate
)

// gate holds up the slow calls that it answers.
type gate struct {
	entered chan uint32   // xids of slow calls, as they come in
	pass    chan struct{} // each value, or its end, lets one go on
	open    func()        // lets all go on
}

func newGate() *gate {
	pass := make(chan struct{})
	return &gate{make(chan uint32, 1000), pass, sync.OnceFunc(func() { close(pass) })}
}

func (g *gate) answer(c *rpc.Call) rpc.AcceptStat {
	if c.Procedure == slow {
		c.MayBlock()
		c.MayBlock() // does nothing
		g.entered <- c.XID
		<-g.pass
	}
	return echo(c)
}

func TestCallThatWaitsIsOvertaken(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		g := newGate()
		c := serveOver(t, listen, rpc.Options{}, g.answer).dial(t)
		t.Cleanup(g.open)
		c.send(call(1, quick, words(1)), call(2, slow, words(2)), call(3, quick, words(3)),
			call(4, slow, words(4)), call(5, quick, words(5)))
		for _, xid := range []uint32{1, 3, 5} {
			c.expect(success(xid, words(xid)))
		}
		if a, b := wait(t, g.entered, "a slow call"), wait(t, g.entered, "a slow call"); a+b != 6 {
			t.Fatalf("calls %d and %d wait, want 2 and 4", a, b)
		}
		c.send(call(6, quick, pattern(100_000)))
		c.expect(success(6, pattern(100_000)))
		g.open()
		got := []uint32{binary.BigEndian.Uint32(c.receive()), binary.BigEndian.Uint32(c.receive())}
		if got[0]+got[1] != 6 || got[0]*got[1] != 8 {
			t.Errorf("replies to %d at last, want 2 and 4", got)
		}
	})
}

// TestReplyDoesNotWaitForTheNextCall: replies are sent together only while
// there is a whole call to go on with.
func TestReplyDoesNotWaitForTheNextCall(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		s := serveOver(t, listen, rpc.Options{}, echo)
		next := call(3, 1, words(3))
		for cut := range next {
			c := s.dial(t)
			c.send(call(1, 1, words(1)), call(2, 1, words(2)), next[:cut])
			c.expect(success(1, words(1)))
			c.expect(success(2, words(2)))
			c.send(next[cut:])
			c.expect(success(3, words(3)))
		}
	})
}

func TestRepliesToQuickCallsKeepTheirOrder(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c := serveOver(t, listen, rpc.Options{}, echo).dial(t)
		const calls = 5000
		var stream []byte
		for xid := range uint32(calls) {
			stream = append(stream, call(xid, 1, words(^xid))...)
		}
		c.send(stream)
		for xid := range uint32(calls) {
			c.expect(success(xid, words(^xid)))
		}
	})
}

// TestEachCallIsAnsweredOnce mixes calls of all kinds and sizes on several
// connections: those that are quick, that let others read on, that reply with
// data from elsewhere, that fail.
func TestEachCallIsAnsweredOnce(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		s := serveOver(t, listen, rpc.Options{MaxInFlight: 16, MaxInFlightBytes: 200_000}, anyKind)
		const conns, calls = 4, 2500
		failed := make(chan error, conns)
		for i := range uint64(conns) {
			c := s.dial(t)
			go sendAnyKind(c, calls, rand.New(rand.NewPCG(3, i)))
			go func() { failed <- receiveOnce(c, calls) }()
		}
		for range conns {
			if err := wait(t, failed, "the replies"); err != nil {
				t.Error(err)
			}
		}
	})
}

// Kinds of calls to anyKind, as bits of the procedure.
const (
	yields  = 1 << iota // lets another goroutine read on
	buffers             // replies with a Buffer
	fails               // replies with an accept status
)

func anyKind(c *rpc.Call) rpc.AcceptStat {
	args := c.Args.Fixed(c.Args.Remaining())
	if c.Procedure&yields != 0 {
		c.MayBlock()
		for range c.XID % 7 {
			runtime.Gosched()
		}
	}
	if c.Procedure&buffers != 0 {
		b := rpc.GetBuffer(len(args))
		copy(b.B, args)
		c.Reply.OpaqueBuffer(b, len(args))
	} else {
		c.Reply.Opaque(args)
	}
	if c.Procedure&fails != 0 {
		return rpc.SystemErr
	}
	return rpc.Success
}

// kindOf returns the procedure that sendAnyKind calls by a xid.
func kindOf(xid uint32) uint32 { return (xid * 2654435761) >> 29 }

func sendAnyKind(c *client, calls uint32, rng *rand.Rand) {
	var stream []byte
	for xid := range calls {
		size := 4 * rng.IntN(50)
		if rng.IntN(50) == 0 {
			size = 4 * rng.IntN(10_000)
		}
		stream = append(stream, call(xid, kindOf(xid), pattern(size))...)
		if rng.IntN(8) != 0 && xid != calls-1 {
			continue
		}
		if _, err := c.Write(stream); err != nil {
			return
		}
		stream = stream[:0]
	}
}

// receiveOnce checks that there is one right reply to each of the calls.
func receiveOnce(c *client, calls uint32) error {
	answered := make([]bool, calls)
	for range calls {
		msg, err := readRecord(c)
		if err != nil {
			return err
		}
		xid := binary.BigEndian.Uint32(msg)
		if xid >= calls || answered[xid] {
			return errors.New("a reply to no call, or a second one")
		}
		answered[xid] = true
		if err := checkAnyKind(xid, msg); err != nil {
			return err
		}
	}
	return nil
}

func checkAnyKind(xid uint32, msg []byte) error {
	if kindOf(xid)&fails != 0 {
		if string(msg) != string(words(xid, 1, 0, 0, 0, uint32(rpc.SystemErr))) {
			return errors.New("a call that fails has another reply")
		}
		return nil
	}
	n := int(binary.BigEndian.Uint32(msg[24:]))
	if string(msg) != string(success(xid, append(words(uint32(n)), pattern(n)...))) {
		return errors.New("a reply is not what was sent")
	}
	return nil
}
