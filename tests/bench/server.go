package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/fsva/fsva/tests/nfs41"
	"golang.org/x/sys/unix"
)

// A kind of server knows how to start one that exports dir as /data.
type kind struct {
	name string
	// command returns what to run; scratch is a directory for its files.
	command func(cfg config, dir, scratch string, port int) (*exec.Cmd, error)
	// need is a program without which there is no such server.
	need, hint string
}

var kinds = []kind{
	{name: "fsva", command: applianceCommand},
	{name: "ganesha", command: ganeshaCommand, need: "ganesha.nfsd", hint: "apt-get install nfs-ganesha nfs-ganesha-vfs rpcbind"},
}

// A server is one that runs.
type server struct {
	name    string
	addr    string
	dir     string // what it exports
	scratch string
	cmd     *exec.Cmd
	exited  chan struct{}
}

// startAll starts the servers that cfg names, and leaves out, aloud, those
// that are not installed.
func startAll(ctx context.Context, cfg config, dir string) ([]*server, error) {
	raiseFileLimit()
	var servers []*server
	for _, name := range cfg.servers {
		k, err := findKind(name)
		if err != nil {
			return servers, err
		}
		if _, err := exec.LookPath(k.need); k.need != "" && err != nil {
			fmt.Fprintf(os.Stderr, "%s is not installed (%s): measuring without it, so there are no ratios\n", k.need, k.hint)
			continue
		}
		s, err := k.start(ctx, cfg, dir)
		if err != nil {
			return servers, fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, s)
	}
	if len(servers) == 0 {
		return nil, errors.New("no server to measure")
	}
	return servers, nil
}

func findKind(name string) (kind, error) {
	var names []string
	for _, k := range kinds {
		if k.name == name {
			return k, nil
		}
		names = append(names, k.name)
	}
	return kind{}, fmt.Errorf("-servers: no server %q; there are %s", name, strings.Join(names, ", "))
}

func (k kind) start(ctx context.Context, cfg config, dir string) (*server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "fsva-bench-"+k.name)
	if err != nil {
		return nil, err
	}
	s := &server{name: k.name, addr: fmt.Sprintf("127.0.0.1:%d", port), dir: dir, scratch: scratch, exited: make(chan struct{})}
	if s.cmd, err = k.command(cfg, dir, scratch, port); err != nil {
		os.RemoveAll(scratch)
		return nil, err
	}
	out, err := os.Create(filepath.Join(scratch, "output"))
	if err != nil {
		os.RemoveAll(scratch)
		return nil, err
	}
	defer out.Close()
	s.cmd.Stdout, s.cmd.Stderr = out, out
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		os.RemoveAll(scratch)
		return nil, err
	}
	go func() {
		s.cmd.Wait()
		close(s.exited)
	}()
	if err := s.waitReady(ctx); err != nil {
		said, _ := os.ReadFile(out.Name())
		s.stop()
		return nil, fmt.Errorf("%w; it said:\n%s", err, said)
	}
	return s, nil
}

// waitReady returns once a client can create a file, so that no grace period
// falls into a measurement.
func (s *server) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.probe()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-s.exited:
			return fmt.Errorf("ended at once: %v", s.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("does not serve: %w", err)
		}
	}
}

func (s *server) probe() error {
	m, err := nfs41.Mount(s.addr, nfs41.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	dir, err := m.Walk("data")
	if err != nil {
		return err
	}
	f, err := openFile(m, dir, "probe "+s.name, "probe")
	if err != nil {
		return err
	}
	if err := f.close(); err != nil {
		return err
	}
	return m.Do(nfs41.PutFH(dir), &nfs41.Remove{Name: "probe " + s.name})
}

// stop ends the server and whatever it started.
func (s *server) stop() {
	s.cmd.Process.Signal(unix.SIGTERM)
	select {
	case <-s.exited:
	case <-time.After(10 * time.Second):
	}
	unix.Kill(-s.cmd.Process.Pid, unix.SIGKILL) // the group: helpers too
	<-s.exited
	os.RemoveAll(s.scratch)
}

// cpu returns the processor time of the server since it started.
func (s *server) cpu() (time.Duration, error) {
	// The clock of process p is ~p<<3 | CPUCLOCK_SCHED; it counts every
	// thread, ended ones too (clock_getcpuclockid(3)).
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^s.cmd.Process.Pid<<3|2), &ts); err != nil {
		return 0, fmt.Errorf("processor time of %s: %w", s.name, err)
	}
	return time.Duration(ts.Nano()), nil
}

// rss returns the bytes of memory the server holds.
func (s *server) rss() (int64, error) {
	var total, resident int64
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", s.cmd.Process.Pid))
	if err == nil {
		_, err = fmt.Sscan(string(b), &total, &resident)
	}
	return resident * int64(os.Getpagesize()), err
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// raiseFileLimit lets this process and the servers have a descriptor for each
// client and open file, as far as the system allows.
func raiseFileLimit() {
	want := unix.Rlimit{Cur: 1 << 18, Max: 1 << 18}
	if unix.Setrlimit(unix.RLIMIT_NOFILE, &want) == nil {
		return
	}
	var have unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &have) == nil {
		have.Cur = have.Max
		unix.Setrlimit(unix.RLIMIT_NOFILE, &have) // best effort: scale says when it runs short
	}
}
