// Package cli is the command line of the appliance. It is no part of command
// appliance so that another main can be the same with more adapters: one that
// imports their packages for effect and calls [Main].
//
// This directory is wiring only. A verb has a file of its own name; behind
// serve, settings.go turns flags and file into a configuration (package
// config), appliance.go starts and stops the parts in order, and exports.go
// opens file systems and replaces them at a reload.
package cli

import (
	"context"
	"os"
)

// Main executes the command line that the process was given, and exits.
func Main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
