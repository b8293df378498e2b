package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/cmd/appliance/config"
	"github.com/fsva/fsva/server/admin"
)

// adminEnv names the environment variable that stands in for --admin in the
// verbs that ask a running appliance.
const adminEnv = "FSVA_ADMIN"

// question is what the verbs have in common that ask a running appliance.
type question struct {
	admin, output string
}

func (q *question) addFlags(cmd *cobra.Command) {
	addr := config.DefaultAdmin
	if env := os.Getenv(adminEnv); env != "" {
		addr = env
	}
	cmd.Flags().StringVar(&q.admin, "admin", addr, "control `address` of the appliance, IP:PORT; also $"+adminEnv)
	cmd.Flags().StringVarP(&q.output, "output", "o", "text", "`format`: text or json")
}

func (q *question) check() error {
	if q.output != "text" && q.output != "json" {
		return usagef("-o %s is no format; use text or json", q.output)
	}
	if _, _, err := net.SplitHostPort(q.admin); err != nil {
		return usagef("--admin: %q is not an address IP:PORT such as %s", q.admin, config.DefaultAdmin)
	}
	return nil
}

func (q *question) get(cmd *cobra.Command, path string, v any) error {
	if err := admin.Get(cmd.Context(), q.admin, path, v); err != nil {
		return fmt.Errorf("no appliance answers at %s: %w; start one with appliance serve, or name its address with --admin", q.admin, err)
	}
	return nil
}

// notOurs explains why the control socket cannot be connected to, if it is
// that.
func notOurs(socket string, err error) error {
	if !errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return fmt.Errorf("the control socket %s is another user's: run this as the user of the appliance", socket)
}

// ask gets path into v and prints it as JSON or with text.
func (q *question) ask(cmd *cobra.Command, path string, v any, text func(io.Writer)) error {
	if err := q.check(); err != nil {
		return err
	}
	if err := q.get(cmd, path, v); err != nil {
		return err
	}
	if q.output == "json" {
		enc := json.NewEncoder(cmd.OutOrStdout())
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 8, 2, ' ', 0)
	text(w)
	return w.Flush()
}
