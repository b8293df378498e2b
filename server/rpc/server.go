// Package rpc serves ONC RPC (RFC 5531) over stream connections: record
// marking with fragments, AUTH_NONE and AUTH_SYS, several versions of several
// programs on one port, and calls to the client over its own connection.
//
// A [Server] has a [Conn] for each client's connection. The goroutine that
// reads a connection also answers what it reads, so that a quick call costs no
// switch between threads, and replies to calls that came together go out
// together. A [Handler] that may take longer calls [Call.MayBlock]: then
// another goroutine reads on where there is something to read, and replies
// leave in the order in which calls are done.
//
// Data is not copied where that can be avoided. Arguments alias the record,
// which is one of a pool of [Buffer]s. A [Reply] collects what is encoded, and
// between it Buffers and pieces of files, which go from the page cache to the
// socket.
//
// Everything that a client can make the server keep or wait for is bounded by
// [Options].
package rpc

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Options are the bounds of a Server. Zero values mean the defaults.
type Options struct {
	Log              zerolog.Logger
	MaxRecord        int           // bytes of a call; default 1 MiB and 128 KiB
	MaxInFlight      int           // calls of a connection that are answered at the same time; default 128
	MaxInFlightBytes int           // bytes of their records; one record may exceed it; default 32 MiB
	MaxConns         int           // connections; default 65536
	RecordTimeout    time.Duration // for the rest of a record that has begun; default 30 s
	WriteTimeout     time.Duration // for a client to take some of a reply; default 60 s
}

func (o *Options) setDefaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.MaxRecord, 1<<20+128<<10)
	set(&o.MaxInFlight, 128)
	set(&o.MaxInFlightBytes, 32<<20)
	set(&o.MaxConns, 65536)
	if o.RecordTimeout == 0 {
		o.RecordTimeout = 30 * time.Second
	}
	if o.WriteTimeout == 0 {
		o.WriteTimeout = 60 * time.Second
	}
}

type program struct {
	versions  map[uint32]Handler
	low, high uint32
}

// Server answers calls on any number of listeners.
type Server struct {
	opt      Options
	programs map[uint32]*program
	ctx      context.Context
	cancel   context.CancelFunc

	mu        sync.Mutex // guards what follows; a leaf
	conns     map[*Conn]struct{}
	listeners map[net.Listener]struct{}
	closing   bool
	running   sync.WaitGroup // connections
}

// NewServer makes a Server. Register comes before Serve.
func NewServer(opt Options) *Server {
	opt.setDefaults()
	s := &Server{opt: opt, programs: map[uint32]*program{}, conns: map[*Conn]struct{}{}, listeners: map[net.Listener]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// Register has h answer a version of a program.
func (s *Server) Register(prog, vers uint32, h Handler) {
	p := s.programs[prog]
	if p == nil {
		p = &program{versions: map[uint32]Handler{}, low: vers, high: vers}
		s.programs[prog] = p
	}
	p.versions[vers] = h
	p.low, p.high = min(p.low, vers), max(p.high, vers)
}

var longAgo = time.Unix(1, 0)

// Serve answers connections that l accepts, until Shutdown or ctx ends: then
// it returns nil.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	if !s.addListener(l) {
		l.Close()
		return nil
	}
	defer s.removeListener(l)
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		nc, err := l.Accept()
		switch {
		case err == nil:
			s.serve1(nc)
		case errors.Is(err, net.ErrClosed):
			return nil
		default:
			// Out of descriptors, or the client is gone already.
			s.opt.Log.Warn().Err(err).Msg("cannot accept a connection")
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	}
}

func (s *Server) addListener(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return false
	}
	s.listeners[l] = struct{}{}
	return true
}

func (s *Server) removeListener(l net.Listener) {
	s.mu.Lock()
	delete(s.listeners, l)
	s.mu.Unlock()
}

// serve1 starts serving a connection.
func (s *Server) serve1(nc net.Conn) {
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 60 * time.Second, Interval: 15 * time.Second, Count: 4})
	}
	s.mu.Lock()
	if s.closing || len(s.conns) >= s.opt.MaxConns {
		s.mu.Unlock()
		nc.Close()
		return
	}
	c := newConn(s, nc)
	s.conns[c] = struct{}{}
	s.running.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

// Conns returns the number of connections.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Shutdown stops accepting and reading, lets the calls under way finish and
// their replies go out, and closes all connections. When ctx ends first it
// closes them at once and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	conns := make([]*Conn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		c.drain()
	}
	done := make(chan struct{})
	go func() {
		s.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = ctx.Err()
		for _, c := range conns {
			c.fail(net.ErrClosed)
		}
		<-done
	}
	s.cancel()
	return err
}
