package cli

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/cmd/appliance/config"
)

// defaultFile is what config check looks at when no file is named. serve
// reads a file only if it is told to.
const defaultFile = "/etc/fsva/fsva.yaml"

func newConfig() *cobra.Command {
	c := &cobra.Command{
		Use:     "config",
		Short:   "Check a configuration file, or describe what it may hold",
		Example: "  appliance config check /etc/fsva/fsva.yaml",
		Args:    cobra.ArbitraryArgs,
		RunE:    needVerb,
	}
	c.AddCommand(newConfigCheck(), newConfigSchema())
	return c
}

func newConfigCheck() *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Print ok, or every error of a configuration file with its line",
		Long: `Print ok, or every error of a configuration file with its line.
Nothing is opened: that a directory is missing shows when it is served.
Without FILE, ` + defaultFile + ` is checked.`,
		Example: "  appliance config check fsva.yaml",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := defaultFile
			if len(args) > 0 {
				path = args[0]
			}
			cfg := config.Default()
			if err := cfg.ReadFile(path); err != nil {
				return err
			}
			if errs := cfg.Check(); len(errs) > 0 {
				return errs
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return err
		},
	}
}

func newConfigSchema() *cobra.Command {
	return &cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON schema of the configuration file",
		Example: "  appliance config schema > fsva.schema.json",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			enc := json.NewEncoder(cmd.OutOrStdout())
			enc.SetIndent("", "  ")
			enc.SetEscapeHTML(false)
			return enc.Encode(config.Schema())
		},
	}
}
