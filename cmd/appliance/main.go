// Command appliance serves file systems to guests over NFSv4.1 and NFSv4.2.
//
// This directory is wiring only. A verb has a file of its own name; behind
// serve, settings.go turns flags and file into a configuration (package
// config), appliance.go starts and stops the parts in order, and exports.go
// opens file systems and replaces them at a reload.
package main

import (
	"context"
	"os"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}
