package cli

import (
	"encoding/json"
	"fmt"
	"io"
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
			if v.output != "text" && v.output != "json" {
				return usagef("-o %s is no format; use text or json", v.output)
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
	cmd := v.command("down", "Remove what host up has made",
		`Remove the bridge, the taps and the firewall that host up has made, also if it
was killed half-way, and nothing else. Of the file only the name of the bridge
counts. Taps that machines have open are not removed without --force.`,
		func(cmd *cobra.Command, s *site.Site) error {
			return v.change(cmd, "there is nothing of bridge "+s.Bridge, func(done func(change.Change)) error { return hostbridge.Down(s.Bridge, v.force, done) })
		})
	cmd.Flags().BoolVar(&v.force, "force", false, "take the network away from machines that run")
	return cmd
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
