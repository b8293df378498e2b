package p9

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/stats"
	"github.com/fsva/fsva/server/unreadable"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// Config is what a Server needs. Exports, Locks and Log must be set.
type Config struct {
	Exports *export.Table
	Locks   *lock.Table // shared with other protocols
	Log     zerolog.Logger
	Stats   *stats.Ops
	// InGrace says whether clients of another protocol may still reclaim the
	// locks they had before a restart; nil if there are none.
	InGrace func() bool
	Options
}

// Options are the bounds of a Server. Zero values mean the defaults.
type Options struct {
	MaxConns         int           // connections; default 4096
	MaxFIDs          int           // of a client; default 1048576, as Linux can keep one for each name in its cache
	MaxXattrBytes    int           // extended attributes that a client reads or writes at the same time; default 8 MiB
	MaxInFlight      int           // requests of a connection that are answered at the same time; default 128
	MaxInFlightBytes int           // bytes of their messages; one may exceed it; default 32 MiB
	MaxLockWaits     int           // requests of a connection that wait for locks, which do not count as in flight; default 1024
	HandshakeTimeout time.Duration // until the first message of a connection; default 30 s
}

func (o *Options) setDefaults() {
	set := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.MaxConns, 4096)
	set(&o.MaxFIDs, 1<<20)
	set(&o.MaxXattrBytes, 8<<20)
	set(&o.MaxInFlight, 128)
	set(&o.MaxInFlightBytes, 32<<20)
	set(&o.MaxLockWaits, 1024)
	if o.HandshakeTimeout == 0 {
		o.HandshakeTimeout = 30 * time.Second
	}
}

// Server answers clients on any number of listeners and channels.
type Server struct {
	cfg     Config
	appends [64]sync.Mutex // by file: see request.writeAppending
	seed    maphash.Seed
	watch   *watch
	ctx     context.Context
	cancel  context.CancelFunc

	unreadable *unreadable.Files // that are not sent from the page cache

	mu        sync.Mutex // guards what follows; a leaf
	conns     map[*conn]struct{}
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{} // of connections and channels
	closing   bool
	running   sync.WaitGroup // connections
	watchOnce sync.Once
	watching  sync.WaitGroup // watch, once there was a connection
}

// New makes a Server.
func New(cfg Config) *Server {
	cfg.setDefaults()
	if cfg.Stats == nil {
		cfg.Stats = NewStats()
	}
	if cfg.InGrace == nil {
		cfg.InGrace = func() bool { return false }
	}
	s := &Server{cfg: cfg, seed: maphash.MakeSeed(), watch: newWatch(), unreadable: unreadable.NewFiles(), conns: map[*conn]struct{}{}, listeners: map[net.Listener]struct{}{}, sessions: map[*session]struct{}{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// NewStats makes the counters of a Server: its operations are the types of
// requests, its statuses Linux error numbers.
func NewStats() *stats.Ops {
	return stats.NewOps(numTypes,
		func(op uint32) string {
			if name := operations[op].name; name != "" {
				return name
			}
			return fmt.Sprintf("T%d", op)
		},
		stats.WithStatusNames(func(st uint32) string { return vfs.Errno(st).Error() }))
}

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
			s.cfg.Log.Warn().Err(err).Msg("cannot accept a 9P connection")
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
		t.SetKeepAliveConfig(keepAlive)
	}
	s.mu.Lock()
	if s.closing || len(s.conns) >= s.cfg.MaxConns {
		s.mu.Unlock()
		nc.Close()
		return
	}
	c := newConn(s, nc)
	s.conns[c], s.sessions[c.session] = struct{}{}, struct{}{}
	s.running.Add(1)
	s.watchOnce.Do(func() { s.watching.Go(func() { s.watch.run(s.ctx) }) })
	s.mu.Unlock()
	go func() {
		defer s.running.Done()
		c.run()
		s.mu.Lock()
		delete(s.conns, c)
		s.mu.Unlock()
	}()
}

// Clients returns the number of connections and channels.
func (s *Server) Clients() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sessions)
}

// Revoke takes away what clients have open and locked in an export that is no
// longer served.
func (s *Server) Revoke(exp *export.Export) {
	s.mu.Lock()
	sessions := slices.Collect(maps.Keys(s.sessions))
	s.mu.Unlock()
	for _, c := range sessions {
		c.revoke(exp)
	}
}

// Shutdown stops accepting and reading, lets the requests under way finish,
// but for waits for locks, lets their replies go out, and closes all
// connections. When ctx ends first it closes them at once and returns ctx's
// error. Channels are closed by who made them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.closing = true
	for l := range s.listeners {
		l.Close()
	}
	conns := make([]*conn, 0, len(s.conns))
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
	s.watching.Wait()
	return err
}
