// Command appliance-full is the appliance with every adapter there is, and with
// all of rclone's back ends.
package main

import (
	_ "github.com/fsva/fsva/adapters/rclone"
	_ "github.com/fsva/fsva/adapters/rclone/every"
	"github.com/fsva/fsva/cmd/appliance/cli"
)

func main() { cli.Main() }
