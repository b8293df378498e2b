package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/fsva/fsva/hostbridge"
	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/site"
)

func newHostServe() *cobra.Command {
	var path, level string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Do what host up does, and tell guests their addresses until a signal ends it",
		Long: `Make the bridge, the taps and the firewall as host up does, and then tell the
guests, until SIGTERM or SIGINT, the addresses that they have: by DHCP, DHCPv6 and
router advertisements, on this bridge alone. No guest is given another address
than that of the file, whatever it asks for, and none is given a route.
Interfaces of external guests are confined when their toolstack makes them.

SIGHUP reads the file anew, and makes and tells what it says then. What was made
stays when this ends: guests go on with what they were told, for a day.`,
		Example: "  appliance host serve --config " + site.DefaultPath,
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(cmd.ErrOrStderr(), level)
			if err != nil {
				return err
			}
			return hostServe(cmd, path, log)
		},
	}
	cmd.Flags().StringVar(&path, "config", site.DefaultPath, "`file` that describes the bridge and the guests")
	cmd.Flags().StringVar(&level, "log-level", "info", "what to log: debug, info, warn or error")
	return cmd
}

func hostServe(cmd *cobra.Command, path string, log zerolog.Logger) error {
	s, err := site.Read(path)
	if err != nil {
		return err
	}
	ctx, restore := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
	defer restore()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)

	done := func(c change.Change) { log.Info().Msg(c.String()) }
	v, err := hostbridge.Start(s, log, done)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- v.Serve(ctx) }()
	if _, err := fmt.Fprintf(cmd.OutOrStdout(), "ready bridge=%s guests=%d\n", s.Bridge, len(s.Guests)); err != nil {
		restore()
		return fmt.Errorf("standard output: %w", errors.Join(err, <-ended))
	}
	tellSystemd(log, "READY=1")
	return hostReload(ctx, v, path, hup, ended, log, done)
}

// hostReload reads the file at each signal, until the service has ended.
func hostReload(ctx context.Context, v *hostbridge.Service, path string, hup <-chan os.Signal, ended <-chan error, log zerolog.Logger, done func(change.Change)) error {
	stopping := ctx.Done()
	for {
		select {
		case err := <-ended:
			return err
		case <-stopping:
			stopping = nil
			tellSystemd(log, "STOPPING=1")
		case <-hup:
			s, err := site.Read(path)
			if err == nil {
				err = v.Change(s, done)
			}
			if err != nil {
				log.Error().Err(err).Msg("not reloaded; what was told is told on")
				continue
			}
			log.Info().Int("guests", len(s.Guests)).Msg("reloaded")
		}
	}
}
