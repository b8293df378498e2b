package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/cmd/appliance/config"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // it was asked for well, and did not work
	exitUsage   = 2 // the command line is wrong
)

// usageError is an error of the command line itself.
type usageError struct{ error }

// usagef makes a usageError.
func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// run executes a command line and returns the exit code. What the user asked
// for goes to stdout, errors and logs to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	report(stderr, cmd, err)
	var usage usageError
	if errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}

// report prints one line for each error, such as
// "appliance: serve: no such directory /srv/x; make it".
func report(w io.Writer, cmd *cobra.Command, err error) {
	prefix := strings.ReplaceAll(cmd.CommandPath(), " ", ": ")
	lines := []error{err}
	if many := (config.Errors)(nil); errors.As(err, &many) {
		lines = many
	}
	for _, e := range lines {
		fmt.Fprintf(w, "%s: %v\n", prefix, e)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "appliance",
		Short: "Serve file systems to guests over NFSv4.1 and NFSv4.2",
		Example: `  appliance serve
  appliance serve --export data=host:/srv/data --nfs 10.77.0.1:2049`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs, // so that RunE words the refusal
		RunE:          needVerb,
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; see %s -h", err, cmd.CommandPath())
	})
	root.AddCommand(newServe(), newStatus(), newExport(), newConfig(), newHost(), newMount(), newBoot(), newVersion())
	return root
}

// needVerb is what a command that only groups others does: it shows what there
// is, or says that it does not know a word.
func needVerb(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return cmd.Help()
	}
	cmd.SuggestionsMinimumDistance = 2 // letters that may be wrong; as cobra has it
	hint := "see " + cmd.CommandPath() + " -h"
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return usagef("unknown command %q; %s", args[0], hint)
}

// atMost refuses more than n arguments.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return usagef("unexpected argument %q; see %s -h", args[n], cmd.CommandPath())
		}
		return nil
	}
}
