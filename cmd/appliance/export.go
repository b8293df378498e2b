package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/server/admin"
)

func newExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "export",
		Short:   "Look at the exports of a running appliance",
		Example: "  appliance export list",
		Args:    cobra.ArbitraryArgs,
		RunE:    needVerb,
	}
	cmd.AddCommand(newExportList())
	return cmd
}

func newExportList() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the exports of a running appliance",
		Example: "  appliance export list -o json",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var exports []admin.Export
			return q.ask(cmd, "/api/v1/exports", &exports, func(w io.Writer) { printExports(w, exports) })
		},
	}
	q.addFlags(cmd)
	return cmd
}

func printExports(w io.Writer, exports []admin.Export) {
	fmt.Fprintln(w, "NAME\tID\tURL\tOPTIONS\tSIZE\tFREE")
	for _, e := range exports {
		size, free := bytesText(e.Total), bytesText(e.Avail)
		if e.Error != "" {
			size, free = "?", e.Error
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", e.Name, e.ID, e.URL, e.Options, size, free)
	}
}

// bytesText writes a number of bytes with one digit after the point.
func bytesText(n uint64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprint(n)
	}
	v, u := float64(n)/1024, 0
	for v >= 1024 && u < len(units)-1 {
		v, u = v/1024, u+1
	}
	return fmt.Sprintf("%.1f%c", v, units[u])
}
