package cli

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/hostbridge/qemu"
	"github.com/fsva/fsva/hostbridge/site"
)

// runVerb are the flags of host run.
type runVerb struct {
	config, restart, logLevel string
	powerOff                  time.Duration
}

func newHostRun() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the machine of the appliance or of a guest under QEMU",
		Long: `Run a machine of the host's file under QEMU, on the tap that host up has made and
with the MAC that the firewall admits, until it turns itself off.

SIGTERM or SIGINT stops it in order: the power button, so that it can turn itself
off; after --power-off, QEMU is asked to quit; at last it is killed. A second
signal does not wait for the machine. A machine that ends in any other way, such
as by a kill of QEMU, is started again after 1 s, then twice that and so on up to
30 s; --restart never leaves it at that.

"ready" is printed each time that QEMU runs the machine, with the sockets of its
console and of its monitor (QMP). The end of what the console says, 1 to 2 MiB, is
kept in a file, too.`,
		Args: cobra.ArbitraryArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newHostRunAppliance(), newHostRunGuest())
	return cmd
}

func newHostRunAppliance() *cobra.Command {
	v := &runVerb{}
	return v.flags(&cobra.Command{
		Use:   "appliance",
		Short: "Run the machine of the appliance",
		Long: `Run the machine of the appliance, as "appliance.machine" of the file says. It is
told its addresses by the kernel's command line. A data disk that holds anything
else is refused, and not touched.`,
		Example: "  appliance host run appliance --config " + site.DefaultPath,
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := v.site()
			if err != nil {
				return err
			}
			m, err := applianceMachine(s)
			if err != nil {
				return err
			}
			return v.run(cmd, s, m)
		},
	})
}

func newHostRunGuest() *cobra.Command {
	v := &runVerb{}
	return v.flags(&cobra.Command{
		Use:   "guest NAME",
		Short: "Run the machine of a guest",
		Long: `Run the machine of a guest, as "machine" of the guest in the file says. The
exports in its "p9" are devices of the machine, which this process serves: it
relays them to the appliance. That needs QEMU 10.2 or newer.`,
		Example: "  appliance host run guest web1 --config " + site.DefaultPath,
		Args:    oneGuest,
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := v.site()
			if err != nil {
				return err
			}
			m, err := guestMachine(s, args[0])
			if err != nil {
				return err
			}
			return v.run(cmd, s, m)
		},
	})
}

func oneGuest(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("name a guest of the file; see %s -h", cmd.CommandPath())
	}
	return atMost(1)(cmd, args)
}

func (v *runVerb) flags(cmd *cobra.Command) *cobra.Command {
	f := cmd.Flags()
	f.StringVar(&v.config, "config", site.DefaultPath, "`file` that describes the bridge and the guests")
	f.StringVar(&v.restart, "restart", "on-failure", "`when` to start it again: on-failure or never")
	f.DurationVar(&v.powerOff, "power-off", time.Minute, "how long the machine may take to turn itself off")
	f.StringVar(&v.logLevel, "log-level", "info", "what to log: debug, info, warn or error")
	return cmd
}

// site reads the file, after the flags are known to be right.
func (v *runVerb) site() (*site.Site, error) {
	if v.restart != "on-failure" && v.restart != "never" {
		return nil, usagef("--restart: %q is neither on-failure nor never", v.restart)
	}
	if v.powerOff < 0 {
		return nil, usagef("--power-off: %v is negative", v.powerOff)
	}
	return site.Read(v.config)
}

// run runs a machine until it ends or signals end it.
func (v *runVerb) run(cmd *cobra.Command, s *site.Site, h *hostMachine) error {
	log, err := newLogger(cmd.ErrOrStderr(), v.logLevel)
	if err != nil {
		return usagef("--log-level: %q is none of debug, info, warn and error", v.logLevel)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)
	if err := h.check(cmd.Context(), s); err != nil {
		return err
	}
	lock, err := h.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	devices, err := h.serve(s, log)
	if err != nil {
		return err
	}
	if h.machine.Emulated() {
		log.Warn().Str("machine", h.machine.Name).Msg("there is no KVM here, or it is not wanted: the machine is emulated, which is many times slower")
	}
	ctx, hurry, ended := twoSignals(cmd.Context(), signals)
	defer ended()
	err = h.machine.Run(ctx, qemu.Options{
		Restart: v.restart == "on-failure", PowerOff: v.powerOff, Hurry: hurry, Log: log,
		Running: func(pid int) {
			fmt.Fprintf(cmd.OutOrStdout(), "ready machine=%s pid=%d console=%s qmp=%s log=%s\n", h.machine.Name, pid, h.machine.Console, h.machine.QMP, h.machine.Log)
		},
	})
	if failed := devices(); err == nil {
		err = failed
	}
	for _, socket := range []string{h.machine.QMP, h.machine.Console} {
		_ = os.Remove(socket) // QEMU removes them unless it was killed
	}
	if err != nil {
		return fmt.Errorf("machine %s: %w", h.machine.Name, err)
	}
	return nil
}

// machineDir is where the sockets of a bridge's machines are.
func machineDir(bridge string) string { return filepath.Join("/run/fsva/machines", bridge) }
