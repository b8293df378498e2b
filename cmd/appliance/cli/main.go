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

	"github.com/fsva/fsva/cmd/appliance/boot"
)

// Main executes the command line that the process was given, and exits. Where
// it is the first process of a machine, or one of the programs that the kernel
// looks for there, its name decides and not the command line.
func Main() {
	args := boot.Main(os.Args[0], os.Args[1:])
	os.Exit(run(context.Background(), args, os.Stdout, os.Stderr))
}
