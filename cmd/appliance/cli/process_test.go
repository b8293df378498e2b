package cli

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// binary is the appliance, built once for all tests: exit codes, signals and
// what stands on which stream are properties of the process.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fsva-test")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "appliance")
	build := exec.Command("go", "build", "-o", binary, "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	code := 1
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build without cgo: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// command runs the binary to its end.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// process is an appliance that serves.
type process struct {
	t          *testing.T
	cmd        *exec.Cmd
	before     []string // lines before ready
	nfs, admin string
	log        *lines
}

// serve starts an appliance on free ports and waits until it is ready.
func serveProcess(t *testing.T, args ...string) *process {
	t.Helper()
	return serveOn(t, append([]string{"--nfs", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
}

// serveOn is serveProcess with the addresses that the arguments say.
func serveOn(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(binary, append([]string{"serve"}, args...)...), log: newLines()}
	p.cmd.Stderr = p.log
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.cmd.Wait()
		}
	})
	for in := bufio.NewScanner(stdout); in.Scan(); {
		if strings.HasPrefix(in.Text(), "ready") {
			if _, err := fmt.Sscanf(in.Text(), "ready nfs=%s admin=%s", &p.nfs, &p.admin); err != nil {
				t.Fatalf("%q: %v", in.Text(), err)
			}
			return p
		}
		p.before = append(p.before, in.Text())
	}
	p.cmd.Wait()
	t.Fatalf("ended before it was ready: %s", p.log)
	return nil
}

// end sends a signal and returns the exit code.
func (p *process) end(sig syscall.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Wait()
	return p.cmd.ProcessState.ExitCode()
}

// reload sends SIGHUP and waits for a log line with text.
func (p *process) reload(text string) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		p.t.Fatal(err)
	}
	if !p.log.wait(text) {
		p.t.Fatalf("no %q in the log:\n%s", text, p.log)
	}
}

// lines collects what a process writes and tells who waits for it.
type lines struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	seen   int           // what wait has returned
	change chan struct{} // closed with the next Write
}

func newLines() *lines { return &lines{change: make(chan struct{})} }

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.change)
	l.change = make(chan struct{})
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// wait returns true when text is written behind what an earlier wait found,
// false if that takes half a minute: it is not going to come.
func (l *lines) wait(text string) bool {
	late := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		at := strings.Index(l.buf.String()[l.seen:], text)
		change := l.change
		if at >= 0 {
			l.seen += at + len(text)
		}
		l.mu.Unlock()
		if at >= 0 {
			return true
		}
		select {
		case <-change:
		case <-late:
			return false
		}
	}
}
