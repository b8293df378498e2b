package cli

import "github.com/spf13/cobra"

func newHost() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "Connect the guests of this host with an appliance, and with nothing else",
		Long: `Connect the guests of this host with an appliance, and with nothing else: by a
bridge of their own, or by devices that only their own host can serve.`,
		Args: cobra.ArbitraryArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newHostUp(), newHostServe(), newHostDown(), newHostPlan(), newHostStatus(), newHostRun(), newHostConsole(), newHostAttach(), newHostVirtio9P())
	return cmd
}
