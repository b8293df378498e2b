// Package fsva serves file systems to virtual machines from one's own main:
//
//	err := fsva.Serve(ctx, fsva.Config{
//		Exports: map[string]vfs.FS{"mine": fs},
//		NFS:     "127.0.0.1:2049",
//		P9:      "tcp://127.0.0.1:564",
//		State:   "/var/lib/mine",
//	})
//
// Guests mount the export as /mine over NFSv4.1 and 4.2, and over 9P2000.L with
// aname=mine. The protocols share one table of locks, so that they exclude each
// other. Command appliance is the same with adapters that are named by URL, more
// transports, a configuration file and a control API.
package fsva

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/nfs"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// Config is what is served, and where. Exports and one address must be set;
// zero values of the rest mean the defaults.
type Config struct {
	// Exports are the file systems by the names under which guests mount
	// them. They stay the caller's, to close after the servers have stopped.
	// A name with letters, digits, dots, underscores and hyphens.
	Exports map[string]vfs.FS
	// Rules are who may use an export and as whom, by its name; default
	// export.DefaultOptions, under which root of a guest is nobody.
	Rules map[string]export.Options

	// NFS is an address for NFSv4.1 and 4.2, "IP:PORT"; nowhere if empty.
	NFS string
	// P9 is an address for 9P2000.L, "tcp://IP:PORT" or "unix:///SOCKET", a
	// path that must not exist and that only this user may connect to; nowhere
	// if empty.
	P9 string

	// State is a directory for what guests must find again after a restart:
	// filehandles, opens and locks. It belongs to one process at a time. If
	// it is empty they are lost then.
	State string

	Lease time.Duration  // how long a silent NFS client keeps its state for certain; default 60 s
	Grace time.Duration  // how long NFS clients may reclaim after a restart; default 1.5 leases
	Log   zerolog.Logger // by default nothing is logged
}

// Server is the servers of a Config. Its methods may be called from many
// goroutines at once.
type Server struct {
	store *state.Store
	nfs   *nfs.Server
	rpc   *rpc.Server
	p9    *p9.Server

	nfsListener, p9Listener net.Listener // nil where there is no such address

	serving sync.WaitGroup
	failed  chan error // of a server that ended before it was told to
}

// drain is how long Serve waits for calls under way before it cuts their
// connections.
const drain = 10 * time.Second

// Serve starts a Server and stops it when ctx ends: then it returns nil. It
// returns earlier, with an error, when it cannot start or cannot go on.
func Serve(ctx context.Context, cfg Config) error {
	s, err := Start(cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	limit, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	return errors.Join(err, s.Stop(limit))
}

// Start begins to serve. When it returns without an error guests can mount;
// with one, nothing is left behind.
func Start(cfg Config) (*Server, error) {
	if cfg.Lease == 0 {
		cfg.Lease = time.Minute
	}
	if cfg.Grace == 0 {
		cfg.Grace = cfg.Lease * 3 / 2
	}
	if len(cfg.Exports) == 0 || cfg.NFS == "" && cfg.P9 == "" {
		return nil, errors.New("fsva: there is no export, or no address to serve it at")
	}
	s := &Server{failed: make(chan error, 2)}
	// The addresses come first: they fail most often.
	for _, step := range []func(*Config) error{s.listen, s.open} {
		if err := step(&cfg); err != nil {
			return nil, fmt.Errorf("fsva: %w", errors.Join(err, s.release()))
		}
	}
	s.serve()
	return s, nil
}

func (s *Server) listen(cfg *Config) (err error) {
	if cfg.NFS != "" {
		if s.nfsListener, err = net.Listen("tcp", cfg.NFS); err != nil {
			return err
		}
	}
	if cfg.P9 == "" {
		return nil
	}
	network, address, _ := strings.Cut(cfg.P9, "://")
	switch network {
	case "tcp":
		s.p9Listener, err = net.Listen(network, address)
	case "unix":
		// bind(2) gives the file the mode that the socket has: only this user
		// may connect.
		private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
			var mode error
			err := c.Control(func(fd uintptr) { mode = syscall.Fchmod(int(fd), 0o600) })
			return errors.Join(err, mode)
		}}
		s.p9Listener, err = private.Listen(context.Background(), network, address)
	default:
		err = fmt.Errorf("9P address %q is neither tcp://IP:PORT nor unix:///SOCKET", cfg.P9)
	}
	return err
}

// open reads the state and makes the servers.
func (s *Server) open(cfg *Config) (err error) {
	if s.store, err = state.Open(cfg.State); err != nil {
		return err
	}
	table, err := exports(s.store, cfg)
	if err != nil {
		return err
	}
	key, err := s.store.Secret("filehandle", 32)
	if err != nil {
		return err
	}
	locks := lock.NewTable(lock.WithBeneath(SharedLocks(table)))
	s.nfs, err = nfs.New(nfs.Config{
		Exports: table, Handles: export.NewSealer(key), State: s.store, Locks: locks,
		Lease: cfg.Lease, Grace: cfg.Grace, Log: cfg.Log, Version: "library",
	})
	if err != nil {
		return err
	}
	s.rpc = rpc.NewServer(rpc.Options{Log: cfg.Log})
	s.rpc.Register(nfs4.Program, nfs4.Version, s.nfs)
	s.p9 = p9.New(p9.Config{Exports: table, Locks: locks, Log: cfg.Log, InGrace: s.nfs.Clients().InGrace})
	return nil
}

// exports makes the table of a Config. An export has a number that stays the
// same over restarts, since it is in every filehandle.
func exports(store *state.Store, cfg *Config) (*export.Table, error) {
	for name := range cfg.Rules {
		if cfg.Exports[name] == nil {
			return nil, fmt.Errorf("there are rules for %q, which is no export", name)
		}
	}
	var list []*export.Export
	for _, name := range slices.Sorted(maps.Keys(cfg.Exports)) {
		rules, ok := cfg.Rules[name]
		if !ok {
			rules = export.DefaultOptions()
		}
		id, err := store.ExportID(name)
		if err != nil {
			return nil, err
		}
		list = append(list, export.New(id, export.Spec{Name: name, Options: rules}, cfg.Exports[name]))
	}
	return export.NewTable(list)
}

// serve answers on the addresses there are.
func (s *Server) serve() {
	run := func(name string, serve func(context.Context, net.Listener) error, l net.Listener) {
		if l == nil {
			return
		}
		s.serving.Go(func() {
			if err := serve(context.Background(), l); err != nil {
				s.failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	run("NFS", s.rpc.Serve, s.nfsListener)
	run("9P", s.p9.Serve, s.p9Listener)
}

// NFSAddr is where NFS is served, nil if nowhere: with port 0 in Config.NFS the
// kernel chose one.
func (s *Server) NFSAddr() net.Addr { return addr(s.nfsListener) }

// P9Addr is where 9P is served, nil if nowhere.
func (s *Server) P9Addr() net.Addr { return addr(s.p9Listener) }

func addr(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Stop lets calls under way finish until ctx ends, and cuts all connections.
// What NFS clients have open they can reclaim from the next Server with the
// same state. It is called once.
func (s *Server) Stop(ctx context.Context) error {
	err := errors.Join(s.p9.Shutdown(ctx), s.rpc.Shutdown(ctx))
	return errors.Join(err, s.release())
}

// release gives back what Start took.
func (s *Server) release() error {
	var errs []error
	for _, l := range []net.Listener{s.nfsListener, s.p9Listener} {
		if l == nil {
			continue
		}
		if err := l.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.serving.Wait()
	if s.nfs != nil {
		s.nfs.Close()
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	return errors.Join(errs...)
}

// SharedLocks is for lock.WithBeneath: it has locks in an export that others
// than the appliance change, too, exclude those that they take in the file
// system itself.
func SharedLocks(table *export.Table) func(context.Context, lock.Key) (vfs.SharedLocks, error) {
	return func(ctx context.Context, k lock.Key) (vfs.SharedLocks, error) {
		exp := table.ByID(k.Export)
		if exp == nil || exp.Exclusive {
			return nil, nil
		}
		node, err := exp.FS.Resolve(ctx, []byte(k.Handle))
		if err != nil {
			return nil, err
		}
		if n, ok := node.(vfs.LockSharer); ok {
			return n.ShareLocks(ctx)
		}
		return nil, nil
	}
}
