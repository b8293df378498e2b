// Agent is the init process of a guest: it makes the guest usable, then runs
// the scripts that the harness sends.
//
// Its arguments are the host name, the address with its prefix length, and
// the directory of the kernel's modules.
package main

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/tests/guest/agent"
)

func main() {
	err := serve(os.Args[1:])
	fmt.Println("guest agent:", err)
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

// environment is what scripts find; init itself gets nothing from the kernel.
var environment = map[string]string{
	"PATH":   "/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME":   "/run/home",
	"TMPDIR": "/run/tmp",
	"LC_ALL": "C",
}

func serve(args []string) error {
	if len(args) < 3 { // the kernel adds its own console= behind ours
		return fmt.Errorf("want a host name, an address and a module directory, have %q", args)
	}
	name, address, modules := args[0], args[1], args[2]
	for key, value := range environment {
		if err := os.Setenv(key, value); err != nil {
			return err
		}
	}
	if err := mountAll(); err != nil {
		return err
	}
	// The NFS client tells servers apart by this name (co_ownerid), and so
	// must guests be.
	if err := unix.Sethostname([]byte(name)); err != nil {
		return err
	}
	if err := useModules(modules); err != nil {
		return err
	}
	for _, command := range [][]string{
		{"ip", "link", "set", "lo", "up"},
		{"ip", "address", "add", address, "dev", "vec0"},
		{"ip", "link", "set", "vec0", "up"},
	} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", command, err, out)
		}
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{Port: agent.Port})
	if err != nil {
		return err
	}
	fmt.Println(agent.Ready)
	for {
		c, err := l.AcceptTCP()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			if err := answer(c); err != nil {
				fmt.Println("guest agent:", err)
			}
		}()
	}
}

// mountAll puts what a program expects over the host's tree, which is the
// guest's root and read-only.
func mountAll() error {
	for _, m := range []struct{ kind, dir, data string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"tmpfs", "/run", "mode=0755"},
		{"tmpfs", "/mnt", "mode=0755"},
	} {
		err := unix.Mount(m.kind, m.dir, m.kind, 0, m.data)
		if err != nil && !(m.kind == "devtmpfs" && errors.Is(err, unix.EBUSY)) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.dir, err)
		}
	}
	for _, dir := range []string{"/run/home", "/run/tmp"} {
		if err := os.Mkdir(dir, 0); err != nil {
			return err
		}
		if err := os.Chmod(dir, 0o1777); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{
		"fd": "fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
	} {
		if err := os.Symlink("/proc/self/"+target, "/dev/"+name); err != nil {
			return err
		}
	}
	return os.Mkdir("/mnt/1", 0o755)
}

// useModules lets the kernel load modules from a directory that is not below
// /lib/modules: it asks a program for them by name.
func useModules(dir string) error {
	root := "/run/modules/lib/modules"
	if err := os.MkdirAll(root, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(dir, filepath.Join(root, filepath.Base(dir))); err != nil {
		return err
	}
	const loader = "/run/modprobe"
	script := "#!/bin/sh\nPATH=/usr/sbin:/sbin:/usr/bin:/bin exec modprobe -d /run/modules \"$@\"\n"
	if err := os.WriteFile(loader, []byte(script), 0o755); err != nil {
		return err
	}
	return os.WriteFile("/proc/sys/kernel/modprobe", []byte(loader), 0)
}

// answer runs the one script of a connection.
func answer(c *net.TCPConn) error {
	var q agent.Request
	if err := gob.NewDecoder(c).Decode(&q); err != nil {
		if errors.Is(err, io.EOF) {
			return nil // the harness only asked whether somebody listens
		}
		return err
	}
	events := &events{enc: gob.NewEncoder(c)}
	cmd := exec.Command("/bin/sh", "-c", q.Script)
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = events, events
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Setsid:     true,
		Credential: &syscall.Credential{Uid: q.UID, Gid: q.UID},
	}
	if err := cmd.Start(); err != nil {
		return events.send(agent.Event{Done: true, Code: -1, Error: err.Error()})
	}
	gone := make(chan struct{})
	go func() { // ends at the latest with the connection, which the caller closes
		_, _ = io.Copy(io.Discard, c)
		close(gone)
	}()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		return events.send(last(cmd, err))
	case <-gone:
		_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
		<-ended
		return nil
	}
}

// last is the event that says how a script ended.
func last(cmd *exec.Cmd, err error) agent.Event {
	e := agent.Event{Done: true, Code: -1}
	if s := cmd.ProcessState; s != nil && s.Exited() {
		e.Code = s.ExitCode()
	} else if err != nil {
		e.Error = err.Error()
	}
	return e
}

// events sends what a script prints. Both its streams write here.
type events struct {
	mu  sync.Mutex
	enc *gob.Encoder
}

func (e *events) Write(p []byte) (int, error) {
	return len(p), e.send(agent.Event{Output: p})
}

func (e *events) send(event agent.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.enc.Encode(event)
}
