package rpc_test

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/fsva/fsva/server/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what must happen. It is never waited
// for in vain where the test passes.
const patience = 30 * time.Second

// The program that the tests serve has versions 3 and 5: both are known, and
// between them is one that is not.
const (
	program    = 0x20000001
	versionLow = 3
	version    = 5
)

// handler is a function that answers calls.
type handler func(*rpc.Call) rpc.AcceptStat

func (h handler) ServeRPC(c *rpc.Call) rpc.AcceptStat { return h(c) }

// echo answers with the call's arguments.
func echo(c *rpc.Call) rpc.AcceptStat {
	c.Reply.Fixed(c.Args.Fixed(c.Args.Remaining()))
	return rpc.Success
}

// service is a server of the program over TCP or over net.Pipe.
type service struct {
	*rpc.Server
	listener
}

// listener is a net.Listener that knows how to reach itself.
type listener interface {
	net.Listener
	dial() (net.Conn, error)
}

// transports are the two kinds of connections: with a descriptor and without.
var transports = map[string]func(testing.TB) listener{"tcp": listenTCP, "pipe": listenPipe}

// overEach runs a test over each of the transports.
func overEach(t *testing.T, test func(t *testing.T, listen func(testing.TB) listener)) {
	for name, listen := range transports {
		t.Run(name, func(t *testing.T) { test(t, listen) })
	}
}

// serve has h answer the program over TCP until the test ends.
func serve(t testing.TB, opt rpc.Options, h handler) *service {
	return serveOver(t, listenTCP, opt, h)
}

func serveOver(t testing.TB, listen func(testing.TB) listener, opt rpc.Options, h handler) *service {
	t.Helper()
	s := &service{Server: rpc.NewServer(opt), listener: listen(t)}
	s.Register(program, versionLow, h)
	s.Register(program, version, h)
	served := make(chan error, 1)
	go func() { served <- s.Serve(context.Background(), s.listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return s
}

type tcpListener struct{ net.Listener }

func listenTCP(t testing.TB) listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return tcpListener{l}
}

func (l tcpListener) dial() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }

// pipeListener accepts the other ends of pipes.
type pipeListener struct {
	accept chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func listenPipe(testing.TB) listener {
	return &pipeListener{accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accept:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accept <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// wait returns what ch gives, and fails the test if that takes too long.
func wait[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatalf("%s: still waiting", what)
	}
	return v
}
