package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/hostbridge/site"
	"github.com/fsva/fsva/hostbridge/toolstack"
)

// attachVerb are the flags of host toolstack.
type attachVerb struct {
	config, output, toolstack, domain string
}

func newHostAttach() *cobra.Command {
	v := &attachVerb{}
	known := strings.Join(toolstack.Names, ", ")
	cmd := &cobra.Command{
		Use:   "attach NAME",
		Short: "Print what connects an existing machine as a guest",
		Long: `Print what is to be added to an existing machine's arguments or configuration,
so that it is a guest of the file: its tap with the MAC that the firewall admits,
and its 9P devices. Commands that must run before the machine come on standard
error. Nothing is changed.`,
		Example: `  appliance host attach web1 --for libvirt
  appliance host attach db1 --for xl --backend fsva`,
		Args: oneGuest,
		RunE: func(cmd *cobra.Command, args []string) error { return v.run(cmd, args[0]) },
	}
	f := cmd.Flags()
	f.StringVar(&v.config, "config", site.DefaultPath, "`file` that describes the bridge and the guests")
	f.StringVar(&v.toolstack, "for", "", "`toolstack`: "+known)
	f.StringVar(&v.domain, "backend", "fsva", "for xl: `name` of the appliance's domain")
	f.StringVarP(&v.output, "output", "o", "text", "`format`: text or json")
	return cmd
}

func (v *attachVerb) run(cmd *cobra.Command, name string) error {
	switch {
	case v.output != "text" && v.output != "json":
		return usagef("-o %s is no format; use text or json", v.output)
	case !slices.Contains(toolstack.Names, v.toolstack):
		return usagef("--for: %q is none of %s", v.toolstack, strings.Join(toolstack.Names, ", "))
	case v.domain == "" || strings.ContainsAny(v.domain, ",\"'\\ "):
		return usagef("--backend: %q is no name of a domain", v.domain)
	}
	s, err := site.Read(v.config)
	if err != nil {
		return err
	}
	p, err := findGuest(s, name)
	if err != nil {
		return err
	}
	g := &toolstack.Guest{Site: s, Port: p, Domain: v.domain}
	for i, export := range p.P9 {
		socket := p9Socket(s, &p, i)
		g.Devices = append(g.Devices, toolstack.Device{
			Tag: export, Socket: socket,
			Relay: fmt.Sprintf("install -d -m 700 %s && appliance host virtio9p --socket %s --export %s --to tcp://%s", machineDir(s.Bridge), socket, export, p9Address(s)),
		})
	}
	f, err := toolstack.For(v.toolstack, g)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Path, err)
	}
	if v.output == "json" {
		return indented(cmd.OutOrStdout(), f)
	}
	for _, d := range f.Devices {
		fmt.Fprintf(cmd.ErrOrStderr(), "run before the machine starts: %s\n", d.Relay)
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), f.Text)
	return err
}
