package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/server/admin"
)

func newStatus() *cobra.Command {
	var q question
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show what a running appliance serves and to how many",
		Example: "  appliance status -o json",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var st admin.Status
			return q.ask(cmd, "/api/v1/status", &st, func(w io.Writer) { printStatus(w, &st) })
		},
	}
	q.addFlags(cmd)
	return cmd
}

func printStatus(w io.Writer, st *admin.Status) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	where := st.State
	if where == "" {
		where = "none: nothing survives a restart"
	}
	row("version", "%s", st.Version)
	row("pid", "%d", st.PID)
	row("up", "%v, start %d on this state", time.Since(st.Started).Round(time.Second), st.BootCount)
	row("nfs", "%s", st.NFS)
	row("state", "%s", where)
	row("lease", "%gs", st.Lease)
	if st.InGrace {
		row("grace", "clients are reclaiming, for %gs at most", st.Grace)
	} else {
		row("grace", "over")
	}
	row("connections", "%d", st.Connections)
	row("clients", "%d", st.Clients)
	row("sessions", "%d", st.Sessions)
	row("opens", "%d", st.Opens)
	row("locks", "%d", st.Locks)
}
