package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/hostbridge"
	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/site"
)

// bridgeVerb is what host up, down, plan and status have in common.
type bridgeVerb struct {
	config, output string
	force          bool
}

func (v *bridgeVerb) command(use, short, long string, run func(*cobra.Command, *site.Site) error) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Long: long, Args: atMost(0),
		Example: "  appliance host " + use + " --config " + site.DefaultPath,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := v.check(); err != nil {
				return err
			}
			s, err := site.Read(v.config)
			if err != nil {
				return err
			}
			return run(cmd, s)
		},
	}
	cmd.Flags().StringVar(&v.config, "config", site.DefaultPath, "`file` that describes the bridge and the guests")
	cmd.Flags().StringVarP(&v.output, "output", "o", "text", "`format`: text or json")
	return cmd
}

func (v *bridgeVerb) check() error {
	if v.output != "text" && v.output != "json" {
		return usagef("-o %s is no format; use text or json", v.output)
	}
	return nil
}

func newHostUp() *cobra.Command {
	v := &bridgeVerb{}
	return v.command("up", "Make the bridge, the guests' taps and the firewall",
		`Make the bridge, a tap for each guest, and the firewall that keeps each guest to
its own addresses and to the appliance's services. What is there already stays;
what differs from the file is changed, and what the file has no longer is
removed. What somebody else made is never touched: it is named, and nothing
changes at all.`,
		func(cmd *cobra.Command, s *site.Site) error {
			return v.change(cmd, "as "+s.Path+" says already", func(done func(change.Change)) error { return hostbridge.Up(s, done) })
		})
}

func newHostDown() *cobra.Command {
	v := &bridgeVerb{}
	var bridge string
	cmd := v.command("down", "Remove what host up has made",
		`Remove the bridge, the taps and the firewall that host up has made, also if it
was killed half-way, and nothing else. Of the file only the name of the bridge
counts; if there is no file any more, the bridge is found by the marks that host up
has left, and --bridge says which if there are several. Taps that machines have
open, and a bridge that host serve has, are not removed without --force.`, nil)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := v.check(); err != nil {
			return err
		}
		name, err := v.bridgeToRemove(bridge)
		if err != nil {
			return err
		}
		return v.change(cmd, "there is nothing of bridge "+name, func(done func(change.Change)) error { return hostbridge.Down(name, v.force, done) })
	}
	cmd.Flags().StringVar(&bridge, "bridge", "", "`name` of the bridge; the file is not read then")
	cmd.Flags().BoolVar(&v.force, "force", false, "take the network away from machines that run, and the bridge from host serve")
	return cmd
}

// bridgeToRemove is the bridge that is named, else that of the file, else the
// only one that there is.
func (v *bridgeVerb) bridgeToRemove(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	s, err := site.Read(v.config)
	switch {
	case err == nil:
		return s.Bridge, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("%w\nor name what to remove with --bridge", err)
	}
	list, listErr := hostbridge.Bridges()
	switch {
	case listErr != nil:
		return "", listErr
	case len(list) == 0:
		return "", fmt.Errorf("%w; and no bridge that host up has made is on this host", err)
	case len(list) > 1:
		return "", fmt.Errorf("%w; host up has made %s: name one with --bridge", err, strings.Join(list, ", "))
	}
	return list[0], nil
}

func newHostPlan() *cobra.Command {
	v := &bridgeVerb{}
	return v.command("plan", "Show what host up would change",
		"Show what host up would change, in its order. Nothing is changed.",
		func(cmd *cobra.Command, s *site.Site) error {
			changes, err := hostbridge.Plan(s)
			if err != nil {
				return err
			}
			return v.print(cmd, changes, "as "+s.Path+" says already")
		})
}

func newHostStatus() *cobra.Command {
	v := &bridgeVerb{}
	return v.command("status", "Show the bridge and who is on it",
		"Show the bridge, each port with its addresses, and how many changes host up would make.",
		func(cmd *cobra.Command, s *site.Site) error {
			st, err := hostbridge.Look(s)
			if err != nil {
				return err
			}
			if v.output == "json" {
				return indented(cmd.OutOrStdout(), st)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
			printHostStatus(w, &st)
			return w.Flush()
		})
}

// change carries changes out and prints each when it is done: as text at once,
// as JSON all at the end.
func (v *bridgeVerb) change(cmd *cobra.Command, nothing string, do func(func(change.Change)) error) error {
	list := []change.Change{}
	err := do(func(c change.Change) {
		list = append(list, c)
		if v.output == "text" {
			fmt.Fprintln(cmd.OutOrStdout(), &c)
		}
	})
	switch {
	case v.output == "json":
		if printed := indented(cmd.OutOrStdout(), list); err == nil {
			err = printed
		}
	case err == nil && len(list) == 0:
		fmt.Fprintln(cmd.OutOrStdout(), "nothing to do: "+nothing)
	}
	return err
}

func (v *bridgeVerb) print(cmd *cobra.Command, changes []change.Change, nothing string) error {
	return v.change(cmd, nothing, func(done func(change.Change)) error {
		for _, c := range changes {
			done(c)
		}
		return nil
	})
}

func printHostStatus(w io.Writer, st *hostbridge.Status) {
	fmt.Fprintf(w, "bridge\t%s\t%s\t%s\n", st.Bridge, st.State, strings.TrimSpace(st.Subnet+" "+st.Subnet6))
	fmt.Fprintf(w, "appliance\t%s %s\tTCP ports\t%v\n", st.Appliance.IP4, st.Appliance.IP6, st.Services)
	fmt.Fprintf(w, "pending\t%d changes; see appliance host plan\n", st.Pending)
	fmt.Fprint(w, "\nNAME\tDEVICE\tSTATE\tMAC\tIPV4\tIPV6\n")
	for _, p := range st.Ports {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", p.Name, p.Device, p.State, p.MAC, p.IP4, p.IP6)
	}
}

func indented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
