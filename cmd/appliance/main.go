// Command appliance serves file systems to guests over NFSv4.1, NFSv4.2 and
// 9P2000.L. All of it is in package cli.
package main

import "github.com/fsva/fsva/cmd/appliance/cli"

func main() { cli.Main() }
