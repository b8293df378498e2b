package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/adapters/away"
	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/server/admin"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// exportSet opens the file systems that are served, keeps the Table in step
// with the configuration, and closes them at the end.
type exportSet struct {
	table *export.Table
	store *state.Store
	dir   string // of the state, empty if nothing survives
	log   zerolog.Logger

	// revoke takes away what clients hold in an export that is served no
	// longer. It is set before the first change.
	revoke func(context.Context, *export.Export)

	changing sync.Mutex // held while the set changes; before mu
	cfg      *config.Config
	added    []config.Export // at run time; a reload keeps them

	mu      sync.Mutex // guards what follows; a change and a listing may meet
	served  []served
	leaving map[uint32]chan struct{} // file systems that are being closed, by export id

	retiring sync.WaitGroup // goroutines that close what is served no longer
	ctx      context.Context
	cancel   context.CancelFunc // has them wait no longer
}

// served is an export with what its operator wrote.
type served struct {
	*export.Export
	url, options string
}

// newExportSet opens the exports of a configuration.
func newExportSet(ctx context.Context, cfg *config.Config, store *state.Store, dir string, log zerolog.Logger) (*exportSet, error) {
	table, err := export.NewTable(nil)
	if err != nil {
		return nil, err
	}
	x := &exportSet{table: table, store: store, dir: dir, log: log, leaving: make(map[uint32]chan struct{}), revoke: func(context.Context, *export.Export) {}}
	x.ctx, x.cancel = context.WithCancel(context.Background())
	if err := x.apply(ctx, cfg); err != nil {
		return x, err
	}
	x.await()
	return x, nil
}

// apply serves the exports of cfg from now on. A file system whose export
// keeps its name and URL stays as it is; others are opened. If one cannot be
// opened, nothing changes. x.changing is held, but at the start.
func (x *exportSet) apply(ctx context.Context, cfg *config.Config) (err error) {
	var next []served
	var opened []vfs.FS
	defer func() {
		if err != nil {
			closeAll(opened)
		}
	}()
	for i := range cfg.Exports {
		s, fresh, err := x.prepare(ctx, cfg, i)
		if err != nil {
			return err
		}
		if fresh {
			opened = append(opened, s.FS)
		}
		next = append(next, s)
	}
	list := make([]*export.Export, len(next))
	for i, s := range next {
		list[i] = s.Export
	}
	if err := x.table.Replace(list); err != nil {
		return err
	}
	x.swap(next)
	x.cfg = cfg
	return nil
}

// prepare makes export i of cfg; fresh says that its file system was opened for it.
func (x *exportSet) prepare(ctx context.Context, cfg *config.Config, i int) (s served, fresh bool, err error) {
	spec, err := cfg.Spec(i)
	if err != nil {
		return s, false, err
	}
	if adapters.Volatile(spec.URL) && !spec.Options.Given("squash") && private(cfg) {
		// Nobody but users of this machine can come, to files that
		// began with the process: root of a guest may be root.
		spec.Squash = export.SquashNone
	}
	s = served{url: spec.URL, options: cfg.Exports[i].Options()}
	old, kept := x.find(spec.Name, spec.URL)
	if kept {
		s.Export = old.With(spec)
		if old.Exclusive != spec.Exclusive || old.Sync != spec.Sync {
			x.log.Warn().Str("export", spec.Name).Msg("exclusive and sync reach the file system itself only at the next start")
		}
		return s, false, nil
	}
	// The number stands for name and URL: were it for the name alone, who
	// holds a handle into the old directory could go on using it after the
	// name was given to another directory of the same file system.
	id, err := x.store.ExportID(spec.Name + "=" + spec.URL)
	if err != nil {
		return s, false, fmt.Errorf("state: %w", err)
	}
	if err := x.awaitClosed(ctx, id); err != nil {
		return s, false, fmt.Errorf("export %s: %w", spec.Name, err)
	}
	env := x.env(id, &spec)
	fs, err := adapters.Open(ctx, spec.URL, env)
	if starting := x.cfg == nil; starting && errors.Is(err, adapters.ErrUnreachable) {
		fs, err = away.New(err, env.Log), nil
	}
	if err != nil {
		return s, false, fmt.Errorf("export %s: %w", spec.Name, err)
	}
	s.Export = export.New(id, spec, fs)
	return s, true, nil
}

// env is what the adapter of an export is told.
func (x *exportSet) env(id uint32, spec *export.Spec) adapters.Env {
	env := adapters.Env{
		Log:       x.log.With().Str("export", spec.Name).Logger(),
		Exclusive: spec.Exclusive,
		Sync:      spec.Sync,
		State:     x.store.Bucket(fmt.Sprintf("export/%d", id)),
	}
	if x.dir != "" {
		env.Dir = filepath.Join(x.dir, "export", strconv.FormatUint(uint64(id), 10))
	}
	return env
}

// swap makes next what is served and logs what that changes.
func (x *exportSet) swap(next []served) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range next {
		old, kept := find(x.served, s.Name, s.url)
		switch {
		case !kept:
			x.log.Info().Str("export", s.Name).Str("url", s.url).Msg("export added")
		case old.options != s.options:
			x.log.Info().Str("export", s.Name).Str("options", s.options).Msg("export options changed")
		}
	}
	for _, old := range x.served {
		if _, kept := find(next, old.Name, old.url); !kept {
			x.log.Info().Str("export", old.Name).Str("url", old.url).Msg("export removed")
			closed := make(chan struct{})
			x.leaving[old.ID] = closed
			x.retiring.Go(func() {
				x.retire(old)
				x.mu.Lock()
				delete(x.leaving, old.ID)
				x.mu.Unlock()
				close(closed)
			})
		}
	}
	x.served = next
}

func (x *exportSet) find(name, url string) (served, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return find(x.served, name, url)
}

func find(list []served, name, url string) (served, bool) {
	for _, s := range list {
		if s.Name == name && s.url == url {
			return s, true
		}
	}
	return served{}, false
}

// list describes the exports for the control API.
func (x *exportSet) list(ctx context.Context) []admin.Export {
	x.mu.Lock()
	now := x.served
	x.mu.Unlock()
	out := make([]admin.Export, len(now))
	for i, s := range now {
		caps := s.FS.Caps()
		out[i] = admin.Export{
			ID: s.ID, Name: s.Name, URL: s.url, Options: s.options,
			ReadOnly: s.ReadOnly || caps.ReadOnly, Volatile: caps.Volatile, OneUser: caps.SingleUser,
		}
		space, err := s.FS.StatFS(ctx)
		if err != nil {
			out[i].Error = err.Error()
		}
		out[i].Total, out[i].Avail = space.TotalBytes, space.AvailBytes
	}
	return out
}

// close closes every file system. No call is under way.
func (x *exportSet) close() error {
	x.cancel()
	x.retiring.Wait()
	x.mu.Lock()
	var all []vfs.FS
	for _, s := range x.served {
		all = append(all, s.FS)
	}
	x.served = nil
	x.mu.Unlock() // one that arrives now needs it, and Close waits for that
	return closeAll(all)
}

func closeAll(list []vfs.FS) error {
	var errs []error
	for _, fs := range list {
		errs = append(errs, fs.Close())
	}
	return errors.Join(errs...)
}

// loopback reports whether only this machine reaches an address.
func loopback(addr string) bool {
	a, err := netip.ParseAddrPort(addr)
	return err == nil && a.Addr().Unmap().IsLoopback()
}
