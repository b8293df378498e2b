package cli

import (
	"github.com/spf13/cobra"

	"github.com/fsva/fsva/cmd/appliance/boot"
)

// newBoot is what the services of the image call. It is hidden, since it takes
// the machine that it runs on for the appliance's own.
func newBoot() *cobra.Command {
	cmd := &cobra.Command{
		Use:    "boot",
		Short:  "Start the appliance on a machine of its own, under systemd",
		Hidden: true,
		Args:   cobra.ArbitraryArgs, // so that RunE words the refusal
		RunE:   needVerb,
	}
	cmd.AddCommand(&cobra.Command{
		Use:   "prepare FILE",
		Short: "Mount the data disk, find the configuration, and write FILE for serve",
		Args:  cobra.ExactArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return boot.Prepare(args[0]) },
	}, &cobra.Command{
		Use:   "serve FILE",
		Short: "Serve with what prepare has found, or tell what is wrong with it",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			boot.Serve(args[0])
			return nil
		},
	})
	return cmd
}
