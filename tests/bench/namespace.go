package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/unix"
)

// insideEnv marks the process that enter starts.
const insideEnv = "FSVA_BENCH_INSIDE"

// enter runs the command again in namespaces of its own: a network with only
// loopback, so that ports and rpcbind are free; mounts, so that /run is; and
// processes, so that no server survives its first process.
func enter(ctx context.Context, cfg config) error {
	if os.Getenv(insideEnv) != "" {
		if err := setUpNamespace(); err != nil {
			return err
		}
		cfg.listen = "0.0.0.0" // loopback, and the guest's network
		return run(ctx, cfg)
	}
	bin, remove, err := buildAppliance(cfg)
	if err != nil {
		return err
	}
	defer remove()
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "not root: only this server is measured, on a loopback port of this machine")
		cfg.appliance, cfg.servers, cfg.listen = bin, []string{"fsva"}, "127.0.0.1"
		return run(ctx, cfg)
	}
	args := os.Args[1:]
	if bin != "" {
		args = append([]string{"-appliance", bin}, args...)
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		Pdeathsig:  unix.SIGKILL,
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("make namespaces: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Signal(unix.SIGTERM) })
	defer stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the run inside the namespaces failed: %w", err)
	}
	return nil
}

func setUpNamespace() error {
	for _, m := range []struct {
		source, target, fs string
		flags              uintptr
	}{
		{"none", "/", "", unix.MS_REC | unix.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"run", "/run", "tmpfs", 0},
	} {
		if err := unix.Mount(m.source, m.target, m.fs, m.flags, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	return loopbackUp()
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring up loopback: %w", err)
	}
	return nil
}
