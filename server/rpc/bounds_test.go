package rpc_test

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsva/fsva/server/rpc"
)

// soon is a timeout that tests wait for.
const soon = 20 * time.Millisecond

// write fails the test unless the server reads b.
func (c *client) write(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("the server does not read: %v", err)
	}
}

// expectUnread fails the test if the server reads from a pipe.
func (c *client) expectUnread() {
	c.t.Helper()
	c.SetWriteDeadline(time.Now().Add(soon))
	if n, err := c.Write([]byte{0}); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("the server reads on: %v", err)
	}
	c.SetWriteDeadline(time.Now().Add(patience))
}

func TestNothingIsReadWhileABoundIsReached(t *testing.T) {
	size := len(message(0, 0, nil))
	for name, tc := range map[string]struct {
		opt   rpc.Options
		calls uint32
	}{
		"calls":             {rpc.Options{MaxInFlight: 4}, 4},
		"one call":          {rpc.Options{MaxInFlight: 1}, 1},
		"bytes":             {rpc.Options{MaxInFlightBytes: 4 * size}, 5},
		"less than a call":  {rpc.Options{MaxInFlightBytes: 1}, 1},
		"the lower of both": {rpc.Options{MaxInFlight: 3, MaxInFlightBytes: 4 * size}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			c := serveOver(t, listenPipe, tc.opt, g.answer).dial(t)
			t.Cleanup(g.open)
			xid := uint32(0)
			for ; xid < tc.calls; xid++ {
				c.write(call(xid, slow, nil))
				wait(t, g.entered, "a call within the bound")
			}
			for ; xid < 4*tc.calls; xid++ {
				c.expectUnread()
				g.pass <- struct{}{}
				c.receive()
				c.write(call(xid, slow, nil))
				wait(t, g.entered, "the call after one has ended")
			}
			c.expectUnread()
		})
	}
}

// TestHandlerNeverSeesMoreThanMaxInFlight has all calls there at once, in what
// the server has read ahead.
func TestHandlerNeverSeesMoreThanMaxInFlight(t *testing.T) {
	const bound, calls = 4, 100
	g := newGate()
	var now, most atomic.Int32
	c := serve(t, rpc.Options{MaxInFlight: bound}, func(c *rpc.Call) rpc.AcceptStat {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		return g.answer(c)
	}).dial(t)
	t.Cleanup(g.open)
	var stream []byte
	for xid := range uint32(calls) {
		stream = append(stream, call(xid, slow, nil)...)
	}
	c.write(stream)
	for range bound {
		wait(t, g.entered, "a call within the bound")
	}
	for range calls - bound {
		g.pass <- struct{}{}
		c.receive()
		wait(t, g.entered, "the call after one has ended")
	}
	for range bound {
		g.pass <- struct{}{}
		c.receive()
	}
	if m := most.Load(); m != bound {
		t.Errorf("up to %d calls at a time, want %d", m, bound)
	}
}

func TestConnectionsOverMaxConnsAreClosed(t *testing.T) {
	s := serve(t, rpc.Options{MaxConns: 2}, echo)
	a, b := s.dial(t), s.dial(t)
	a.ping()
	b.ping()
	for range 3 {
		s.dial(t).expectEnd()
	}
	if n := s.Conns(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
	a.ping()
	a.Close()
	for { // until the server has seen it
		c := s.dial(t)
		c.send(call(1, 1, nil))
		if _, err := readRecord(c); err == nil {
			break
		} else if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("no connection is served after one of two has ended")
		}
	}
	b.ping()
}

func TestConnectionThatStopsInARecordEnds(t *testing.T) {
	whole := call(1, 1, pattern(100))
	large := call(1, 1, pattern(100_000))
	two := append(fragment(whole[4:40], false), fragment(whole[40:], true)...)
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		s := serveOver(t, listen, rpc.Options{RecordTimeout: soon}, echo)
		for name, part := range map[string][]byte{
			"in the mark":            whole[:2],
			"after the mark":         whole[:4],
			"in a small record":      whole[:50],
			"in a large record":      large[:50_000],
			"between fragments":      two[:40],
			"in the second fragment": two[:50],
		} {
			t.Run(name, func(t *testing.T) {
				c := s.dial(t)
				c.ping()
				c.send(part)
				c.expectEnd()
			})
		}
	})
}

// TestRecordThatTricklesInEnds: a byte now and then does not prolong the time
// that a record may take.
func TestRecordThatTricklesInEnds(t *testing.T) {
	c := serveOver(t, listenPipe, rpc.Options{RecordTimeout: soon}, echo).dial(t)
	c.write(words(lastFragment | 1<<20))
	for range 1 << 20 {
		if _, err := c.Write([]byte{0}); err != nil {
			return
		}
	}
	t.Error("a record came in by single bytes, want the end of the connection")
}

// TestConnectionBetweenRecordsIsNotTimedOut measures the time by other
// connections, which end after it.
func TestConnectionBetweenRecordsIsNotTimedOut(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		s := serveOver(t, listen, rpc.Options{RecordTimeout: soon, WriteTimeout: soon}, echo)
		fresh, idle := s.dial(t), s.dial(t)
		for range 3 {
			late := s.dial(t)
			late.write(call(1, 1, nil)[:20])
			late.expectEnd()
			rec := call(2, 1, words(2)) // in parts: its time began
			idle.write(rec[:20])
			idle.write(rec[20:])
			idle.expect(success(2, words(2)))
		}
		fresh.ping()
	})
}

func TestCallThatTakesLongIsNotTimedOut(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		g := newGate()
		s := serveOver(t, listen, rpc.Options{RecordTimeout: soon, WriteTimeout: soon}, g.answer)
		t.Cleanup(g.open)
		c, late := s.dial(t), s.dial(t)
		c.write(call(1, slow, nil))
		wait(t, g.entered, "the call")
		late.write([]byte{0})
		late.expectEnd()
		g.pass <- struct{}{}
		c.expect(success(1, nil))
		c.ping()
	})
}

func TestClientThatDoesNotReadEnds(t *testing.T) {
	const size = 1 << 20
	zeroes := make([]byte, size)
	file := newFile(t, zeroes)
	for name, results := range map[string]func(r *rpc.Reply){
		"encoded":   func(r *rpc.Reply) { r.Opaque(zeroes) },
		"in memory": func(r *rpc.Reply) { r.OpaqueBuffer(rpc.GetBuffer(size), size) },
		"in a file": func(r *rpc.Reply) { r.OpaqueFile(file, 0, size, nil) },
		"of both":   func(r *rpc.Reply) { r.OpaqueBuffer(rpc.GetBuffer(size), size); r.OpaqueFile(file, 0, size, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
				closed := make(chan struct{}, 1)
				s := serveOver(t, listen, rpc.Options{WriteTimeout: soon}, func(c *rpc.Call) rpc.AcceptStat {
					if c.XID == 0 {
						c.Conn.OnClose(func() { closed <- struct{}{} })
					}
					results(&c.Reply)
					return rpc.Success
				})
				c := s.dial(t)
				go func() {
					for xid := uint32(0); ; xid++ {
						if _, err := c.Write(call(xid, 1, nil)); err != nil {
							return
						}
					}
				}()
				wait(t, closed, "the end of the connection")
				if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error("the connection is still open")
				}
			})
		})
	}
	file.expectUnpinned(t)
}

// TestClientThatReadsSlowlyIsServed has a reply take longer than WriteTimeout
// while the client goes on taking some of it.
func TestClientThatReadsSlowlyIsServed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes longer than a timeout that a busy machine does not exceed by chance")
	}
	const size, piece, timeout = 64 << 20, 2 << 20, time.Second
	file := newFile(t, nil)
	if err := file.Truncate(size); err != nil {
		t.Fatal(err)
	}
	for name, results := range map[string]func(r *rpc.Reply){
		"encoded":   func(r *rpc.Reply) { r.Opaque(make([]byte, size)) },
		"in memory": func(r *rpc.Reply) { r.OpaqueBuffer(rpc.GetBuffer(size), size); r.Uint32(0) },
		"in a file": func(r *rpc.Reply) { r.OpaqueFile(file, 0, size, nil) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, rpc.Options{WriteTimeout: timeout}, func(c *rpc.Call) rpc.AcceptStat {
				results(&c.Reply)
				return rpc.Success
			}).dial(t)
			c.write(call(1, 1, nil))
			pace := time.NewTicker(timeout * 3 / 2 * piece / size)
			defer pace.Stop()
			for left := size; left > 0; left -= piece {
				<-pace.C
				if n, err := io.CopyN(io.Discard, c, piece); err != nil {
					t.Fatalf("the connection ends with %d bytes to go: %v", left-int(n), err)
				}
			}
		})
	}
}
