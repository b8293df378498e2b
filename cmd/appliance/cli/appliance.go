package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/server/admin"
	"github.com/fsva/fsva/server/nfs"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/server/stats"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// drain is how long a stop waits for calls under way before it cuts their
// connections.
const drain = 10 * time.Second

// appliance is everything that runs, in the order in which it is started. What
// was started is stopped in reverse, whether the start fails half-way or the
// process is told to end.
type appliance struct {
	cfg     *config.Config
	log     zerolog.Logger
	started time.Time

	nfsListener   net.Listener
	adminListener net.Listener                   // nil: no control address
	control       net.Listener                   // nil: no control socket
	load          func() (*config.Config, error) // the configuration as it is now; nil if it came from flags alone
	store         *state.Store
	stateDir      string // empty if nothing survives
	exports       *exportSet
	locks         *lock.Table // of all protocols
	doors         []p9Door
	p9            *p9.Server
	p9Ops         *stats.Ops
	ops           *stats.Ops
	nfs           *nfs.Server
	rpc           *rpc.Server

	stopping atomic.Bool
	failed   chan error // what ends a server that was not told to stop
	undo     []func() error
}

// start checks and opens everything that cfg asks for. When it returns without
// an error, guests can mount. On an error nothing is left behind. The addresses
// come first: they fail most often, and the state directory has not been
// touched then.
func start(ctx context.Context, cfg *config.Config, load func() (*config.Config, error), log zerolog.Logger) (*appliance, error) {
	a := &appliance{cfg: cfg, log: log, started: time.Now(), failed: make(chan error, 3)}
	a.locks = lock.NewTable(lock.WithBeneath(a.sharedLocks))
	a.load = load
	for _, step := range []func(context.Context) error{a.listen, a.openState, a.openExports, a.serveNFS, a.serveP9, a.serveAdmin} {
		if err := step(ctx); err != nil {
			if undone := a.stop(); undone != nil {
				log.Error().Err(undone).Msg("while undoing the start")
			}
			return nil, err
		}
	}
	return a, nil
}

// onStop adds what undoes the step just taken.
func (a *appliance) onStop(f func() error) { a.undo = append(a.undo, f) }

// stop undoes what was started, last first. Calls under way are answered.
func (a *appliance) stop() error {
	a.stopping.Store(true)
	var errs []error
	for i := len(a.undo) - 1; i >= 0; i-- {
		errs = append(errs, a.undo[i]())
	}
	a.undo = nil
	return errors.Join(errs...)
}

func (a *appliance) openState(context.Context) (err error) {
	if a.stateDir, err = stateDir(a.cfg); err != nil {
		return err
	}
	if a.store, err = state.Open(a.stateDir); err != nil {
		return err
	}
	a.onStop(a.store.Close)
	return nil
}

func (a *appliance) openExports(ctx context.Context) (err error) {
	if a.exports, err = newExportSet(ctx, a.cfg, a.store, a.stateDir, a.log); err != nil {
		return err
	}
	a.onStop(a.exports.close)
	return nil
}

func (a *appliance) serveNFS(context.Context) error {
	key, err := a.store.Secret("filehandle", 32)
	if err != nil {
		return err
	}
	a.ops = nfs.NewStats()
	a.nfs, err = nfs.New(nfs.Config{
		Exports: a.exports.table, Handles: export.NewSealer(key), State: a.store, Locks: a.locks,
		Lease: time.Duration(a.cfg.Lease), Grace: a.cfg.GracePeriod(),
		Log: a.log, Version: version(), Stats: a.ops,
	})
	if err != nil {
		return err
	}
	a.onStop(func() error { a.nfs.Close(); return nil })
	a.rpc = rpc.NewServer(rpc.Options{Log: a.log})
	a.rpc.Register(nfs4.Program, nfs4.Version, a.nfs)
	a.run("NFS", func() error { return a.rpc.Serve(context.Background(), a.nfsListener) }, a.rpc.Shutdown)
	return nil
}

func (a *appliance) serveAdmin(context.Context) error {
	a.exports.revoke = a.revoke
	if a.adminListener == nil {
		return nil
	}
	server := admin.New(admin.Config{
		Health: a.health, Status: a.status, Exports: a.exports.list, Log: a.log,
		Metrics: a.metrics,
		Add:     a.exports.add, Remove: a.exports.remove, Reload: a.reload,
	})
	a.run("admin", func() error { return server.Serve(a.adminListener) }, server.Shutdown)
	if a.control != nil {
		a.run("control", func() error { return server.ServeControl(a.control) }, server.ShutdownControl)
	}
	return nil
}

// sharedLocks has locks on a tree that others change, too, exclude those that
// they take in the file system itself.
func (a *appliance) sharedLocks(ctx context.Context, k lock.Key) (vfs.SharedLocks, error) {
	exp := a.exports.table.ByID(k.Export)
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

// revoke takes from the clients of all protocols what they hold in an export.
func (a *appliance) revoke(ctx context.Context, exp *export.Export) {
	a.nfs.Clients().Revoke(ctx, exp.ID)
	a.p9.Revoke(exp)
}

// run serves in the background until shutdown. That serve returns earlier is a
// failure of the appliance.
func (a *appliance) run(name string, serve func() error, shutdown func(context.Context) error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := serve(); err != nil && !a.stopping.Load() {
			a.failed <- fmt.Errorf("%s server ended: %w", name, err)
		}
	}()
	a.onStop(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		err := shutdown(ctx)
		<-done
		if errors.Is(err, context.DeadlineExceeded) {
			a.log.Warn().Stringer("waited", drain).Str("server", name).Msg("calls under way were cut off")
			return nil
		}
		return err
	})
}

// health gives the reasons why guests cannot be served now.
func (a *appliance) health() []string {
	if a.stopping.Load() {
		return []string{"the appliance is stopping"}
	}
	return nil
}

// status is what the control API says of the whole.
func (a *appliance) status() admin.Status {
	st := admin.Status{
		Version: version(), PID: os.Getpid(), Started: a.started, BootCount: a.store.BootCount(),
		NFS: address(a.nfsListener), Admin: address(a.adminListener), Control: a.controlPath(), State: a.stateDir,
		Lease: time.Duration(a.cfg.Lease).Seconds(), Grace: a.cfg.GracePeriod().Seconds(),
		InGrace: a.nfs.Clients().InGrace(),
	}
	st.Connections = a.rpc.Conns() + a.p9.Clients()
	st.Clients, st.Sessions, st.Opens, st.Locks = a.nfs.Clients().Counts()
	return st
}

// metrics is what the control address tells beside the status.
func (a *appliance) metrics(page []byte) []byte {
	return stats.AppendMetrics(page, map[string]*stats.Ops{"nfs4": a.ops, "9p": a.p9Ops})
}

// controlPath is where the control socket is, empty if there is none.
func (a *appliance) controlPath() string {
	if a.control == nil {
		return ""
	}
	return a.control.Addr().String()
}

// address is what a listener is bound to.
func address(l net.Listener) string {
	if l == nil {
		return config.Off
	}
	return l.Addr().String()
}
