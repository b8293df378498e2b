package cli

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/server/admin"
)

func newExport() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "List, add and remove the exports of a running appliance",
		Example: `  appliance export list
  appliance export add data=host:/srv/data,ro`,
		Args: cobra.ArbitraryArgs,
		RunE: needVerb,
	}
	cmd.AddCommand(newExportList(), newExportAdd(), newExportRemove(), newExportReload())
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

func newExportAdd() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "add NAME=URL,OPTION,...",
		Short: "Serve one more file system until the appliance ends",
		Long: `Serve one more file system, as --export of appliance serve does, until it is
removed or the appliance ends. A reload keeps it. What is to be served after a
restart too must be in the configuration file.`,
		Example: "  appliance export add data=host:/srv/data,ro",
		Args:    exactly("the export to add, NAME=URL,OPTION,..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			e := config.ExportFlag(args[0])
			if _, err := e.Spec(); err != nil {
				return usageError{err}
			}
			return q.change(cmd, http.MethodPost, "/api/v1/exports", admin.NewExport{Export: args[0]})
		},
	}
	q.addFlags(cmd)
	return cmd
}

func newExportRemove() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "rm NAME",
		Short: "Serve a file system no longer",
		Long: `Serve a file system no longer. Guests that have it mounted get ESTALE, what they
have open and locked in it is taken from them, and its directory can be
unmounted. Other exports do not notice. If the configuration file has the
export, a reload brings it back.`,
		Example: "  appliance export rm data",
		Args:    exactly("the name of the export to remove"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return q.change(cmd, http.MethodDelete, "/api/v1/exports/"+url.PathEscape(args[0]), nil)
		},
	}
	q.addFlags(cmd)
	return cmd
}

func newExportReload() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Read the configuration file anew",
		Long: `Read the configuration file anew, as SIGHUP does, and add, remove and change
exports as it says. Exports that were added with export add stay. Nothing
changes if the file is wrong.`,
		Example: "  appliance export reload",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return q.change(cmd, http.MethodPost, "/api/v1/reload", nil)
		},
	}
	q.addFlags(cmd)
	return cmd
}

// exactly accepts one argument, and says what it is if it is missing.
func exactly(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != 1 {
			return usagef("give %s, and nothing else", what)
		}
		return nil
	}
}

// change has the appliance change something, and prints its exports then.
func (q *question) change(cmd *cobra.Command, method, path string, body any) error {
	if err := q.check(); err != nil {
		return err
	}
	var st admin.Status
	if err := q.get(cmd, "/api/v1/status", &st); err != nil {
		return err
	}
	if st.Control == "" {
		return errors.New("the appliance has no control socket; its log says why")
	}
	if err := admin.Change(cmd.Context(), st.Control, method, path, body); err != nil {
		return cmp.Or(notOurs(st.Control, err), err)
	}
	var exports []admin.Export
	return q.ask(cmd, "/api/v1/exports", &exports, func(w io.Writer) { printExports(w, exports) })
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
