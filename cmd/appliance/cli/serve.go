package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/cmd/appliance/systemd"
)

func newServe() *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve file systems over NFSv4.1, NFSv4.2 and 9P2000.L",
		Long: `Serve file systems over NFSv4.1, NFSv4.2 and, with --p9, 9P2000.L until
SIGTERM or SIGINT.

Without flags, one file system in memory named mem is served on 127.0.0.1; no
root is needed. The commands that mount each export are printed, then a line
that begins with "ready". SIGHUP reads the configuration file anew and adds,
removes and changes exports.

An export is NAME=URL,OPTION,... and guests mount it as /NAME. URLs:
  host:/DIR            a directory of this machine
  mem:[?size=SIZE]     memory; SIZE with K, M, G or T (1G)
Options:
  ro                   refuse changes
  squash=none|root|all whose identity is replaced by the anonymous one (root)
  anonuid=N,anongid=N  the anonymous user (65534)
  clients=CIDR+@GUEST  who may come (everybody)
  sync                 make every change durable before it is answered
  sec=sys              how callers prove who they are (sys, the only one)
  exclusive=on|off     nobody else changes the tree (on)
  cache=guest|appliance|both
                       who keeps file data in memory (both)`,
		Example: `  appliance serve
  appliance serve --export data=host:/srv/data --export src=mem:,ro --nfs 10.77.0.1:2049
  appliance serve --export data=host:/srv/data --p9 unix:///run/fsva.9p --p9 'virtio:///run/vm1.sock?tag=data'
  appliance serve --config /etc/fsva/fsva.yaml`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return serve(cmd, &s) },
	}
	s.addFlags(cmd)
	return cmd
}

// serve runs the appliance until a signal ends it.
func serve(cmd *cobra.Command, s *settings) error {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	log, err := newLogger(cmd.ErrOrStderr(), cfg.LogLevel)
	if err != nil {
		return err
	}
	ctx, restore := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer restore()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	load := s.load
	if s.file == "" {
		load = nil
	}
	a, err := start(ctx, cfg, load, log)
	if err != nil {
		return err
	}
	if err := a.announce(cmd.OutOrStdout()); err != nil {
		return fmt.Errorf("standard output: %w", errors.Join(err, a.stop()))
	}
	tellSystemd(log, "READY=1")
	var watchdog sync.WaitGroup
	watching, unwatch := context.WithCancel(ctx)
	watchdog.Go(func() { a.watch(watching) })
	failure := a.wait(ctx, hup)
	restore() // a second signal ends the process at once
	log.Info().Msg("stopping")
	unwatch()
	watchdog.Wait()
	if failure == nil { // else it is to be started anew, perhaps by a supervisor of its own
		tellSystemd(log, "STOPPING=1")
	}
	if err := a.stop(); failure == nil {
		failure = err
	}
	return failure
}

// tellSystemd goes on if that fails: guests are served all the same.
func tellSystemd(log zerolog.Logger, state string) {
	if err := systemd.Notify(state); err != nil {
		log.Warn().Err(err).Msg(state)
	}
}

// wait returns when ctx ends, or with the error that ended a server.
func (a *appliance) wait(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-a.failed:
			return err
		case <-hup:
			if err := a.reload(ctx); err != nil {
				a.log.Error().Err(err).Msg("not reloaded; what was served is served on")
			}
		}
	}
}

// reload applies the exports of the configuration as it is now.
func (a *appliance) reload(ctx context.Context) error {
	if a.load == nil {
		return errors.New("there is nothing to reload: the configuration came from flags alone (see serve --config)")
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	warnFixed(a.log, a.cfg, cfg)
	cfg.NFS, cfg.P9 = a.cfg.NFS, a.cfg.P9 // decide about squashing, and are what they were
	if dir, err := stateDir(cfg); err == nil && dir != "" && a.stateDir == "" {
		a.log.Warn().Msg("there was nothing to remember at the start, so that guests of the new exports lose their files with a restart; start anew or name a directory with --state")
	}
	if err := a.exports.reload(ctx, cfg); err != nil {
		return err
	}
	a.log.Info().Int("exports", len(cfg.Exports)).Msg("reloaded")
	return nil
}

// warnFixed names the settings that a reload cannot change.
func warnFixed(log zerolog.Logger, running, next *config.Config) {
	for _, setting := range []struct {
		key     string
		changed bool
	}{
		{"nfs", running.NFS != next.NFS},
		{"p9", !slices.Equal(running.P9, next.P9)},
		{"admin", running.Admin != next.Admin},
		{"state", running.State != next.State},
		{"lease", running.Lease != next.Lease},
		{"grace", running.Grace != next.Grace},
		{"log-level", running.LogLevel != next.LogLevel},
	} {
		if setting.changed {
			log.Warn().Str("key", setting.key).Msg("this setting changes at the next start only")
		}
	}
}

// announce prints how to mount each export, then that it can be done.
func (a *appliance) announce(w io.Writer) error {
	at, err := netip.ParseAddrPort(address(a.nfsListener))
	if err != nil {
		return err
	}
	for _, e := range a.exports.table.List() {
		if _, err := fmt.Fprintln(w, mountCommand(at, e.Name)); err != nil {
			return err
		}
	}
	if err := a.announceP9(w); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "ready nfs=%s admin=%s%s\n", at, address(a.adminListener), a.readyP9())
	return err
}

// mountCommand mounts an export in a guest that reaches the address.
func mountCommand(at netip.AddrPort, export string) string {
	host := at.Addr().Unmap().String()
	switch {
	case at.Addr().IsUnspecified():
		host = "ADDRESS" // every address of this machine; which one, the guest knows
	case at.Addr().Unmap().Is6():
		host = "[" + host + "]"
	}
	return fmt.Sprintf("mount -t nfs4 -o vers=4.2,port=%d %s:/%s /mnt", at.Port(), host, export)
}
