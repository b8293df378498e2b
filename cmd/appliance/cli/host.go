package cli

import "github.com/spf13/cobra"

func newHost() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Stand between a guest of this host and an appliance elsewhere",
		Long: `Stand between a guest of this host and an appliance that runs elsewhere, such as
in another virtual machine. There are devices of a guest that only its own host
can serve.`,
		Args: cobra.ArbitraryArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newHostVirtio9P())
	return cmd
}
