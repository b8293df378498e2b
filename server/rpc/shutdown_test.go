package rpc_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// goShutdown shuts the server down by another goroutine.
func (s *service) goShutdown(ctx context.Context) <-chan error {
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(ctx) }()
	return done
}

func TestShutdownLetsCallsFinish(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		g := newGate()
		s := serveOver(t, listen, rpc.Options{}, g.answer)
		t.Cleanup(g.open)
		busy, idle, late := s.dial(t), s.dial(t), s.dial(t)
		idle.ping()
		late.ping()
		late.write(call(1, quick, nil)[:20])
		busy.write(call(1, slow, pattern(100_000)))
		wait(t, g.entered, "the call")

		done := s.goShutdown(context.Background())
		idle.expectEnd()
		late.expectEnd()
		if nc, err := s.listener.dial(); err == nil {
			t.Error("a connection is accepted after Shutdown")
			nc.Close()
		}
		select {
		case err := <-done:
			t.Fatalf("Shutdown returns %v before the call has finished", err)
		default:
		}
		g.pass <- struct{}{}
		busy.expect(success(1, pattern(100_000)))
		busy.expectEnd()
		if err := wait(t, done, "Shutdown"); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if n := s.Conns(); n != 0 {
			t.Errorf("%d connections after Shutdown", n)
		}
	})
}

func TestShutdownEndsCallsWhenItsContextEnds(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		entered, goOn := make(chan struct{}), make(chan struct{})
		finish := sync.OnceFunc(func() { close(goOn) })
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			if c.Procedure == slow {
				c.MayBlock()
				close(entered)
				<-c.Ctx.Done()
				<-goOn
			}
			return rpc.Success
		})
		t.Cleanup(finish)
		c, idle := s.dial(t), s.dial(t)
		idle.ping()
		c.write(call(1, slow, nil))
		wait(t, entered, "the call")
		ctx, cancel := context.WithCancel(context.Background())
		done := s.goShutdown(ctx)
		idle.expectEnd() // it has begun
		cancel()
		c.expectEnd()
		finish()
		if err := wait(t, done, "Shutdown"); err != context.Canceled {
			t.Errorf("Shutdown: %v, want %v", err, context.Canceled)
		}
	})
}

func TestShutdownDoesNotWaitLongerForAClientThatDoesNotRead(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		const size = 64 << 20 // more than a socket takes
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			c.Reply.OpaqueBuffer(rpc.GetBuffer(size), size)
			return rpc.Success
		})
		c := s.dial(t)
		c.write(call(1, quick, nil))
		if n, err := c.Read(make([]byte, 1)); n != 1 {
			t.Fatalf("the reply does not begin: %v", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := wait(t, s.goShutdown(ctx), "Shutdown"); err != context.Canceled {
			t.Errorf("Shutdown: %v, want %v", err, context.Canceled)
		}
	})
}

func TestServeReturnsWhenItsContextEnds(t *testing.T) {
	s := rpc.NewServer(rpc.Options{})
	s.Register(program, version, handler(echo))
	l := listenTCP(t)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	sv := &service{s, l}
	c := sv.dial(t)
	c.ping()
	cancel()
	if err := wait(t, served, "Serve"); err != nil {
		t.Errorf("Serve: %v", err)
	}
	c.ping() // connections are for Shutdown to end
	sv.shutdown(t)
	c.expectEnd()

	l = listenTCP(t)
	if err := s.Serve(context.Background(), l); err != nil {
		t.Errorf("Serve after Shutdown: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener accepts after Shutdown: %v", err)
	}
}

// TestServeGoesOnWhenAConnectionCannotBeAccepted has the process be out of
// descriptors once.
func TestServeGoesOnWhenAConnectionCannotBeAccepted(t *testing.T) {
	failing := func(t testing.TB) listener { return &failingListener{listener: listenPipe(t)} }
	serveOver(t, failing, rpc.Options{}, echo).dial(t).ping()
}

type failingListener struct {
	listener
	failed bool
}

func (l *failingListener) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, errors.New("too many open files")
	}
	return l.listener.Accept()
}

func TestServerHasSeveralListeners(t *testing.T) {
	s := serve(t, rpc.Options{}, echo)
	other := &service{s.Server, listenPipe(t)}
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), other.listener) }()
	s.dial(t).ping()
	other.dial(t).ping()
	s.shutdown(t)
	if err := wait(t, served, "Serve"); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestOnCloseIsCalledOnceAfterTheLastCall(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		var (
			finished atomic.Bool
			hooks    atomic.Int32
			conns    = make(chan *rpc.Conn, 1)
			closed   = make(chan struct{}, 1)
			ended    = make(chan struct{})
			goOn     = make(chan struct{})
		)
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			c.Conn.OnClose(func() {
				hooks.Add(1)
				if !finished.Load() {
					t.Error("OnClose before the last call has finished")
				}
			})
			c.Conn.OnClose(func() { closed <- struct{}{} })
			conns <- c.Conn
			c.MayBlock()
			<-c.Ctx.Done()
			close(ended)
			<-goOn
			finished.Store(true)
			return rpc.Success
		})
		c := s.dial(t)
		c.write(call(1, 1, nil))
		conn := wait(t, conns, "the call")
		c.Close()
		wait(t, ended, "the end of the call's context")
		close(goOn)
		wait(t, closed, "OnClose")
		late := false
		conn.OnClose(func() { late = true })
		if !late {
			t.Error("OnClose after the end does not call at once")
		}
		s.shutdown(t)
		if n := hooks.Load(); n != 1 {
			t.Errorf("called %d times, want once", n)
		}
	})
}

func TestOnCloseIsCalledBeforeShutdownReturns(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		closed := false
		s := serveOver(t, listen, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
			c.Conn.OnClose(func() { closed = true })
			return rpc.Success
		})
		s.dial(t).ping()
		s.shutdown(t)
		if !closed {
			t.Error("OnClose is not called")
		}
	})
}
