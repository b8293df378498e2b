// Package nfs serves NFSv4.1 (RFC 8881) and NFSv4.2 (RFC 7862, RFC 8276) on
// package rpc, from the exports of package export.
//
// Reading order: operation.go has the table of all operations; compound.go
// walks a request through it; then the operations, a file for each group:
// fh.go, open.go, lock.go, io.go, dir.go, attr.go and so on. Each operation is
// a method of compound that decodes its arguments, calls vfs and encodes its
// result, and begins with its section of the RFC. What the server remembers of
// its clients is in package clients; what conflicts with what is decided in
// vfs/lock.
package nfs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/server/stats"
	"github.com/fsva/fsva/server/unreadable"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// Config is what a Server needs. All fields but Clock, Stats and Version must be set.
type Config struct {
	Exports *export.Table
	Handles *export.Sealer
	State   *state.Store
	Locks   *lock.Table
	Lease   time.Duration // how long a silent client keeps its state for certain
	Grace   time.Duration // how long clients of before a restart may reclaim
	Log     zerolog.Logger
	Version string // of this program, told to clients
	Stats   *stats.Ops
	Clock   func() time.Time // time.Now if nil
}

// Server answers program 100003, version 4. It implements rpc.Handler.
type Server struct {
	exports  *export.Table
	pseudo   *export.Export
	handles  *export.Sealer
	clients  *clients.Registry
	locks    *lock.Table
	stats    *stats.Ops
	log      zerolog.Logger
	clock    func() time.Time
	leaseFor time.Duration
	owner    [16]byte // server owner and scope: the same after a restart
	implName string
	maxIO    uint32

	unreadable *unreadable.Files // whose data the kernel could not send

	ctx    context.Context // of work that no request waits for
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// New starts a Server: it reads who may reclaim, and sweeps until Close.
func New(cfg Config) (*Server, error) {
	if cfg.Lease <= 0 || cfg.Grace <= 0 {
		return nil, errors.New("nfs: lease and grace period must be longer than zero")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Stats == nil {
		cfg.Stats = NewStats()
	}
	reg, err := clients.NewRegistry(clients.Config{
		Store: cfg.State, Locks: cfg.Locks, Lease: cfg.Lease, Grace: cfg.Grace, Clock: cfg.Clock, Log: cfg.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("nfs: %w", err)
	}
	s := &Server{
		exports: cfg.Exports, handles: cfg.Handles, clients: reg, locks: cfg.Locks,
		stats: cfg.Stats, log: cfg.Log, clock: cfg.Clock, leaseFor: cfg.Lease,
		owner: cfg.State.ServerID(), implName: "fsva " + cfg.Version, maxIO: clients.MaxIO,
		pseudo: newPseudo(cfg.Exports, cfg.Clock()), unreadable: unreadable.NewFiles(),
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.background(reg.Run)
	return s, nil
}

// NewStats makes the counters of a Server.
func NewStats() *stats.Ops {
	return stats.NewOps(nfs4.NumOps, func(op uint32) string { return nfs4.Op(op).String() },
		stats.WithStatusNames(func(st uint32) string { return nfs4.Status(st).String() }))
}

// Close ends what runs in the background. No request is under way.
func (s *Server) Close() {
	s.cancel()
	s.work.Wait()
}

// background runs f until it returns or the server closes.
func (s *Server) background(f func(context.Context)) {
	s.work.Go(func() { f(s.ctx) })
}

// Clients gives the registry, for listings and orders of the operator.
func (s *Server) Clients() *clients.Registry { return s.clients }

// ServeRPC implements rpc.Handler.
func (s *Server) ServeRPC(call *rpc.Call) rpc.AcceptStat {
	switch call.Procedure {
	case nfs4.ProcNull:
		return rpc.Success
	case nfs4.ProcCompound:
		return s.serveCompound(call)
	}
	return rpc.ProcUnavail
}

// export returns the export of an id, the pseudo file system for 0, nil for
// none.
func (s *Server) export(id uint32) *export.Export {
	if id == 0 {
		return s.pseudo
	}
	return s.exports.ByID(id)
}

func (s *Server) lease() time.Duration { return s.leaseFor }

var _ rpc.Handler = (*Server)(nil)
