// Command demo shows the whole picture on one host: a bridge, the appliance in a
// machine of its own, and two guests with stock kernels, which use it over
// NFSv4.2 and over 9P on virtio. Each step is told in plain words, done with the
// verbs of the product, and checked; the first that fails ends it with an error.
//
//	make demo
//	make demo-xen
//
// On Xen, the bridge is that of domain 0, and what is not in the appliance and in
// the guests' kernels is xl.
//
// All of it is in namespaces of its own for network, processes and mounts. The
// kernel ends everything in them with the process that shows it, however that
// ends, so that nothing is left on the host.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// How long all of it may take. It takes one to three minutes, and on Xen, where
// all of the machine is emulated, some more.
const (
	limit    = 10 * time.Minute
	xenLimit = 20 * time.Minute
)

// paths are what the demonstration is made of.
type paths struct {
	appliance string // the binary
	microvm   string // directory with kernel and initramfs
	cache     string // directory with the kernel's Debian package
	qemu      string // directory that tests/guest/qemu.sh has made
	guests    string // the script that makes the guests
	xen       bool   // whether it is on Xen
}

func main() {
	var p paths
	flag.StringVar(&p.appliance, "appliance", "appliance", "the binary")
	flag.StringVar(&p.microvm, "microvm", "images/out/microvm", "what make microvm has made")
	flag.StringVar(&p.cache, "cache", "images/out/cache", "where make microvm keeps Debian's packages")
	flag.StringVar(&p.qemu, "qemu", "", "what tests/guest/qemu.sh has made")
	flag.StringVar(&p.guests, "guests", "tests/demo/guest.sh", "the script that makes the guests")
	flag.BoolVar(&p.xen, "xen", false, "show it on Xen, in an emulated machine")
	inside := flag.Bool("inside", false, "used by the command itself, in its namespaces")
	flag.Parse()
	run := outside
	if *inside {
		run = func() error { return show(&p) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// outside runs the same command once more in new namespaces, and waits for it.
func outside() error {
	if os.Geteuid() != 0 {
		return errors.New("a bridge and taps need root: run it with sudo")
	}
	runtime.LockOSThread() // whose end would be that of the child
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	cmd := exec.Command("/proc/self/exe", append([]string{"-inside"}, os.Args[1:]...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
		Setpgid:    true, // signals of the terminal reach it once, through us
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	go func() {
		for s := range signals {
			_ = cmd.Process.Signal(s) // it may have ended
		}
	}()
	if err := cmd.Wait(); err != nil {
		return errors.New("it did not come to its end; see above")
	}
	return nil
}

// show is the demonstration, in its namespaces.
func show(p *paths) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	play, limit := (*stage).play, limit
	if p.xen {
		play, limit = (*stage).playXen, xenLimit
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, m := range []struct {
		from, to, kind string
		flags          uintptr
	}{
		{"", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"run", "/run", "tmpfs", 0},
	} {
		if err := syscall.Mount(m.from, m.to, m.kind, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.to, err)
		}
	}
	for _, path := range []*string{&p.appliance, &p.microvm, &p.cache, &p.qemu, &p.guests} {
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	dir, err := os.MkdirTemp("", "fsva-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := &stage{ctx: ctx, paths: p, dir: dir}
	err = play(s)
	if err != nil {
		s.tellConsoles()
	}
	s.clear()
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("stopped; everything is taken down: %w", err)
	}
	return err
}
