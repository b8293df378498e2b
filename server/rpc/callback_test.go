package rpc_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// The program that clients serve in these tests.
const (
	callbackProgram = 0x40000000
	callbackVersion = 1
)

// callBack calls the client's program with AUTH_NONE.
func callBack(ctx context.Context, c *rpc.Conn, args []byte) ([]byte, error) {
	return c.Call(ctx, callbackProgram, callbackVersion, 1, rpc.Auth{}, args)
}

// result is what Call returns.
type result struct {
	results []byte
	err     error
}

// goCallBack is callBack by another goroutine.
func goCallBack(ctx context.Context, c *rpc.Conn, args []byte) <-chan result {
	done := make(chan result, 1)
	go func() {
		results, err := callBack(ctx, c, args)
		done <- result{results, err}
	}()
	return done
}

// introduced connects a client to a server that echoes, and returns the
// server's end as well.
func introduced(t *testing.T, listen func(testing.TB) listener) (*client, *rpc.Conn) {
	t.Helper()
	const introduce = 9
	conns := make(chan *rpc.Conn, 1)
	c := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
		if c.Procedure == introduce {
			conns <- c.Conn
		}
		return echo(c)
	}).dial(t)
	c.send(call(1, introduce, nil))
	c.expect(success(1, nil))
	return c, wait(t, conns, "the connection")
}

// expectResult fails the test unless Call has returned want.
func expectResult(t *testing.T, done <-chan result, want []byte) {
	t.Helper()
	if r := wait(t, done, "Call"); r.err != nil || !bytes.Equal(r.results, want) {
		t.Fatalf("Call returns %x, %v; want %x", r.results, r.err, want)
	}
}

func expectError(t *testing.T, done <-chan result, want error) {
	t.Helper()
	if r := wait(t, done, "Call"); !errors.Is(r.err, want) {
		t.Fatalf("Call returns %x, %v; want %v", r.results, r.err, want)
	}
}

func TestCallToTheClientIsThatOfRFC5531(t *testing.T) {
	c, conn := introduced(t, listenTCP)
	for name, tc := range map[string]struct {
		auth rpc.Auth
		want string // from the message type on
	}{
		"AUTH_NONE": {rpc.Auth{},
			"00000000 00000002 40000000 00000001 00000007  00000000 00000000  00000000 00000000  61726773"},
		"AUTH_SYS": {rpc.Auth{Flavor: rpc.AuthSys, Machine: "fsva1", UID: 65534, GID: 65533, GIDs: []uint32{1, 2}},
			"00000000 00000002 40000000 00000001 00000007" +
				"00000001 00000024 00000000 00000005 66737661 31000000 0000fffe 0000fffd 00000002 00000001 00000002" +
				"00000000 00000000 61726773"},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan result, 1)
			go func() {
				results, err := conn.Call(context.Background(), callbackProgram, callbackVersion, 7, tc.auth, []byte("args"))
				done <- result{results, err}
			}()
			msg := c.receive()
			if want := golden(t, tc.want); !bytes.Equal(msg[4:], want) {
				t.Errorf("received\n%x\nwant\n%x", msg[4:], want)
			}
			c.send(record(success(binary.BigEndian.Uint32(msg), []byte("results!"))))
			expectResult(t, done, []byte("results!"))
		})
	}
}

func TestRepliesOfTheClientAreMatchedByXID(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c, conn := introduced(t, listen)
		const calls = 50
		var done [calls]<-chan result
		xids := make(map[uint32]uint32) // by what the call is about
		for i := range uint32(calls) {
			done[i] = goCallBack(context.Background(), conn, words(i))
			msg := c.receive()
			xids[i] = binary.BigEndian.Uint32(msg)
		}
		for i, xid := range xids { // in any order
			c.send(
				record(success(xid+1000, words(i))), // nobody waits for it
				call(xid, 1, words(i)),              // the xids of each side are its own
				record(success(xid, words(i, i))),
				record(success(xid, words(0))), // too late
			)
			c.expect(success(xid, words(i)))
			expectResult(t, done[i], words(i, i))
		}
		c.ping()
	})
}

// TestReplyBehindACallDoesNotHoldItUp: what waits to be sent with the reply to
// the next call must not wait when the next record is none.
func TestReplyBehindACallDoesNotHoldItUp(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c, conn := introduced(t, listen)
		done := goCallBack(context.Background(), conn, nil)
		xid := binary.BigEndian.Uint32(c.receive())
		c.send(call(1, 1, words(1)), record(success(xid, nil)))
		c.expect(success(1, words(1)))
		expectResult(t, done, nil)
	})
}

func TestHandlerThatMayBlockCallsTheClient(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			c.MayBlock()
			results, err := callBack(c.Ctx, c.Conn, c.Args.Fixed(c.Args.Remaining()))
			if err != nil {
				return rpc.SystemErr
			}
			c.Reply.Fixed(results)
			return rpc.Success
		}).dial(t)
		c.send(call(1, 1, words(21)))
		msg := c.receive()
		c.send(record(success(binary.BigEndian.Uint32(msg), words(2*binary.BigEndian.Uint32(msg[40:])))))
		c.expect(success(1, words(42)))
	})
}

// TestBothSidesCallAtOnce has many calls each way, whose replies share the
// connection with them.
func TestBothSidesCallAtOnce(t *testing.T) {
	c, conn := introduced(t, listenTCP)
	const callers, each = 8, 100
	var running sync.WaitGroup
	for i := range uint32(callers) {
		running.Go(func() {
			for j := range uint32(each) {
				args := words(i, j)
				if results, err := callBack(context.Background(), conn, args); err != nil || !bytes.Equal(results, args) {
					t.Errorf("Call returns %x, %v; want %x", results, err, args)
				}
			}
		})
	}
	defer running.Wait()
	answered := uint32(0)
	c.write(call(0, 1, pattern(100)))
	for range 2 * callers * each {
		msg := c.receive()
		xid := binary.BigEndian.Uint32(msg)
		if binary.BigEndian.Uint32(msg[4:]) == 0 {
			c.write(record(success(xid, msg[40:])))
			continue
		}
		if !bytes.Equal(msg, success(answered, pattern(100))) {
			t.Fatalf("received %x", msg)
		}
		if answered++; answered < callers*each {
			c.write(call(answered, 1, pattern(100)))
		}
	}
}

func TestReplyOfTheClientThatIsNoSuccessIsAnError(t *testing.T) {
	c, conn := introduced(t, listenTCP)
	for name, reply := range map[string][]uint32{
		"RPC_MISMATCH":            {1, 0, 2, 2},
		"AUTH_ERROR":              {1, 1, 1},
		"PROG_UNAVAIL":            {0, 0, 0, 1},
		"SYSTEM_ERR":              {0, 0, 0, 5},
		"no status":               {},
		"no accept status":        {0, 0, 0},
		"verifier of 401 bytes":   append([]uint32{0, 0, 401}, make([]uint32, 102)...),
		"verifier without an end": {0, 0, 400, 0},
		"unknown reply status":    {2, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			done := goCallBack(context.Background(), conn, nil)
			xid := binary.BigEndian.Uint32(c.receive())
			c.send(record(append(words(xid, 1), words(reply...)...)))
			if r := wait(t, done, "Call"); r.err == nil {
				t.Errorf("Call returns %x, want an error", r.results)
			}
			c.ping()
		})
	}
}

func TestCallEndsWithItsContext(t *testing.T) {
	c, conn := introduced(t, listenTCP)
	ctx, cancel := context.WithCancel(context.Background())
	done := goCallBack(ctx, conn, nil)
	xid := binary.BigEndian.Uint32(c.receive())
	cancel()
	expectError(t, done, context.Canceled)
	c.send(record(success(xid, nil))) // nobody waits any more
	c.ping()
}

func TestCallsToAClientThatDoesNotReplyAreBounded(t *testing.T) {
	const bound = 64
	c, conn := introduced(t, listenTCP)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var done [bound]<-chan result
	for i := range done {
		done[i] = goCallBack(ctx, conn, nil)
		c.receive()
	}
	if _, err := callBack(ctx, conn, nil); err != rpc.ErrTooManyCalls {
		t.Errorf("Call returns %v, want %v", err, rpc.ErrTooManyCalls)
	}
	cancel()
	for i := range done {
		expectError(t, done[i], context.Canceled)
	}
	again := goCallBack(context.Background(), conn, nil)
	c.send(record(success(binary.BigEndian.Uint32(c.receive()), words(1))))
	expectResult(t, again, words(1))
}

func TestCallEndsWithTheConnection(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c, conn := introduced(t, listen)
		var done [10]<-chan result
		for i := range done {
			done[i] = goCallBack(context.Background(), conn, nil)
			c.receive()
		}
		c.Close()
		for i := range done {
			expectError(t, done[i], rpc.ErrClosed)
		}
		closed := make(chan struct{})
		conn.OnClose(func() { close(closed) })
		wait(t, closed, "the end of the connection")
		if _, err := callBack(context.Background(), conn, nil); err != rpc.ErrClosed {
			t.Errorf("Call returns %v, want %v", err, rpc.ErrClosed)
		}
	})
}

// TestCallWhileTheConnectionEnds: a handler keeps the connection from being
// closed for good.
func TestCallWhileTheConnectionEnds(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		failed := make(chan error, 1)
		c := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			c.MayBlock()
			<-c.Ctx.Done()
			_, err := callBack(context.Background(), c.Conn, nil)
			failed <- err
			return rpc.Success
		}).dial(t)
		c.write(call(1, 1, nil))
		c.Close()
		if err := wait(t, failed, "Call"); !errors.Is(err, rpc.ErrClosed) {
			t.Errorf("Call returns %v, want %v", err, rpc.ErrClosed)
		}
	})
}
