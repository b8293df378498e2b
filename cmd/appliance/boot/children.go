package boot

import (
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// children are the processes of the machine. As the first process this one
// gets all whose parents are gone, and has to wait for them. It alone waits,
// so nothing here uses os/exec, which would wait, too.
type children struct {
	mu      sync.Mutex // held from a start until the process is known
	waiting map[int]chan syscall.WaitStatus
}

func newChildren() *children {
	c := &children{waiting: map[int]chan syscall.WaitStatus{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	go func() { // for the length of the machine's life
		for range ended {
			c.reap()
		}
	}()
	return c
}

// reap takes all that have ended. One signal may stand for several.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil || pid <= 0:
			return
		}
		if w := c.waiting[pid]; w != nil {
			w <- status
			delete(c.waiting, pid)
		}
	}
}

// start starts a program with a command line, its name first, and the files
// as its first ones. The channel gives how it ended.
func (c *children) start(path string, argv []string, files ...*os.File) (pid int, ended <-chan syscall.WaitStatus, err error) {
	attr := &syscall.ProcAttr{Env: os.Environ(), Dir: "/", Sys: &syscall.SysProcAttr{Setsid: true}}
	for _, f := range files {
		attr.Files = append(attr.Files, f.Fd())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pid, err = syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, nil, fmt.Errorf("start %s: %w", path, err)
	}
	w := make(chan syscall.WaitStatus, 1)
	c.waiting[pid] = w
	return pid, w, nil
}

// runProgram runs a program to its end, with its output on the console.
func (c *children) runProgram(path string, args ...string) error {
	_, ended, err := c.start(path, append([]string{path}, args...), os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		return err
	}
	if status := <-ended; status != 0 {
		return fmt.Errorf("%s: %s", path, ending(status))
	}
	return nil
}

// ending says how a process ended.
func ending(s syscall.WaitStatus) string {
	if s.Signaled() {
		return "ended by signal " + unix.SignalName(s.Signal())
	}
	return fmt.Sprintf("ended with exit code %d", s.ExitStatus())
}
