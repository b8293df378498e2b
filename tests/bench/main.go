// Command bench measures this server beside its peers: raw NFSv4.2 load, what
// programs do in a guest, and scale beside nfs-ganesha; and with -machine virtio
// devices beside QEMU's own and virtiofsd's.
//
//	go run ./tests/bench            # raw load and scale, about two minutes
//	go run ./tests/bench -h
//
// Both servers export the same directory at the same time and take turns, A B
// A B, in rounds; the table shows medians of the rounds, so that what else the
// machine does falls on both. Server CPU is the kernel's own account of the
// server's process (clock_getcpuclockid(3)), in nanoseconds, so short rounds
// measure it well.
//
// As root the servers, and ganesha's rpcbind, run in network, mount and
// process namespaces of their own, and nothing of them is left when the
// command ends, however it ends. Not as root, or without ganesha, only this
// server is measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	cfg, err := parseFlags(os.Args[1:])
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err = enter(ctx, cfg)
		stop()
	}
	if err != nil && err != flag.ErrHelp {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is the whole of the command, inside the namespaces.
func run(ctx context.Context, cfg config) error {
	dir, err := makeTree(cfg)
	if err != nil {
		return err
	}
	defer removeTree(dir)
	servers, err := startAll(ctx, cfg, dir)
	defer func() {
		for _, s := range servers {
			s.stop()
		}
	}()
	if err != nil {
		return err
	}
	var rep report
	if cfg.raw {
		if err := rep.measureRaw(ctx, cfg, servers); err != nil {
			return err
		}
	}
	if cfg.guest {
		if err := rep.measureGuest(ctx, cfg, servers); err != nil {
			return err
		}
	}
	if cfg.machine {
		if err := rep.measureMachine(ctx, cfg, servers); err != nil {
			return err
		}
	}
	if cfg.scale {
		if err := rep.measureScale(ctx, cfg, servers); err != nil {
			return err
		}
	}
	return rep.print(os.Stdout, cfg.output)
}
