package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stage is where it all happens.
type stage struct {
	ctx      context.Context
	paths    *paths
	dir      string // of the site file, the disk and the guests' kernels
	steps    int
	machines []*machine
}

// say tells what comes.
func (s *stage) say(format string, args ...any) {
	s.steps++
	fmt.Printf("\n%d. %s\n", s.steps, fmt.Sprintf(format, args...))
}

// tell shows what came out of it.
func tell(text string) {
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		fmt.Println("   " + strings.TrimRight(line, "\n"))
	}
}

// host carries out a verb of the appliance on the host and shows it.
func (s *stage) host(args ...string) error {
	tell("host# appliance " + strings.Join(args, " "))
	out, err := exec.CommandContext(s.ctx, s.paths.appliance, args...).CombinedOutput()
	tell(string(out))
	if err != nil {
		return fmt.Errorf("appliance %s: %w", strings.Join(args, " "), err)
	}
	return nil
}

// machine is a machine that host run runs.
type machine struct {
	name    string
	cmd     *exec.Cmd
	ready   chan map[string]string // each time that QEMU runs it: what the line says
	ended   chan struct{}          // closed with err
	err     error
	pid     int    // of QEMU
	stderr  string // file
	log     string // of the console
	console net.Conn
	in      *bufio.Reader
}

// start has host run start a machine, and returns when QEMU runs it.
func (s *stage) start(name string, args ...string) (*machine, error) {
	args = append(append([]string{"host", "run"}, args...), "--config", s.site())
	tell("host# appliance " + strings.Join(args, " ") + " &")
	m := &machine{name: name, ready: make(chan map[string]string, 8), ended: make(chan struct{}), stderr: filepath.Join(s.dir, name+".stderr")}
	stderr, err := os.Create(m.stderr)
	if err != nil {
		return nil, err
	}
	defer stderr.Close()
	m.cmd = exec.Command(s.paths.appliance, args...)
	m.cmd.Stderr = stderr
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := m.cmd.Start(); err != nil {
		return nil, err
	}
	s.machines = append(s.machines, m)
	go func() {
		for in := bufio.NewScanner(stdout); in.Scan(); {
			said := make(map[string]string)
			for _, word := range strings.Fields(in.Text()) {
				key, value, _ := strings.Cut(word, "=")
				said[key] = value
			}
			m.ready <- said
		}
		m.err = m.cmd.Wait()
		close(m.ended)
	}()
	said, err := s.awaitReady(m)
	if err != nil {
		return nil, err
	}
	m.log = said["log"]
	m.pid, err = strconv.Atoi(said["pid"])
	return m, err
}

// awaitReady returns what host run says when QEMU runs the machine.
func (s *stage) awaitReady(m *machine) (map[string]string, error) {
	select {
	case said := <-m.ready:
		return said, nil
	case <-m.ended:
		b, _ := os.ReadFile(m.stderr) // it is for the message
		return nil, fmt.Errorf("%s: %w: %s", m.name, m.err, b)
	case <-s.ctx.Done():
		return nil, s.ctx.Err()
	}
}

// login connects to the console of a guest that host run runs, once it takes
// commands there.
func (s *stage) login(m *machine) error {
	if err := s.until(m, func() (bool, error) {
		b, err := os.ReadFile(m.log)
		return strings.Contains(string(b), "guest: ready"), err
	}); err != nil {
		return fmt.Errorf("%s does not boot: %w", m.name, err)
	}
	conn, err := net.Dial("unix", strings.TrimSuffix(m.log, ".log")+".console")
	m.console, m.in = conn, bufio.NewReader(conn)
	return err
}

// until asks ten times a second until it is so, or the machine has ended.
func (s *stage) until(m *machine, so func() (bool, error)) error {
	for {
		if yes, err := so(); yes || err != nil {
			return err
		}
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-m.ended:
			return fmt.Errorf("%s ended: %v", m.name, m.err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// shell has a guest carry out a line, and returns what it prints and its code.
func (s *stage) shell(m *machine, line string) (out string, code int, err error) {
	stop := context.AfterFunc(s.ctx, func() { m.console.SetDeadline(time.Now()) })
	defer stop()
	if _, err := io.WriteString(m.console, line+"\n"); err != nil {
		return "", 0, fmt.Errorf("console of %s: %w", m.name, err)
	}
	var b strings.Builder
	for {
		text, err := m.in.ReadString('\n')
		if err != nil {
			return b.String(), 0, fmt.Errorf("console of %s: %s: %w", m.name, line, err)
		}
		if n, _ := fmt.Sscanf(text, "guest: done %d", &code); n == 1 {
			return b.String(), code, nil
		}
		b.WriteString(text)
	}
}

// in has a guest carry out a line that must succeed, shows it, and returns what
// it printed.
func (s *stage) in(m *machine, line string) (string, error) {
	return s.expect(m, line, true)
}

// prints is in for a line that must print that and nothing else.
func (s *stage) prints(m *machine, line, want string) error {
	got, err := s.in(m, line)
	if err == nil && got != want {
		err = fmt.Errorf("%s: %s: prints %q, not %q", m.name, line, got, want)
	}
	return err
}

// refused is in for a line that must fail.
func (s *stage) refused(m *machine, line string) error {
	_, err := s.expect(m, line, false)
	return err
}

func (s *stage) expect(m *machine, line string, well bool) (string, error) {
	tell(m.name + "# " + line)
	out, code, err := s.shell(m, line)
	tell(out)
	switch {
	case err != nil:
		return out, err
	case well && code != 0:
		return out, fmt.Errorf("%s: %s: exit code %d", m.name, line, code)
	case !well && code == 0:
		return out, fmt.Errorf("%s: %s: succeeds, and should have been refused", m.name, line)
	case !well:
		tell(fmt.Sprintf("refused, exit code %d", code))
	}
	return out, nil
}

// end waits until a machine has turned itself off, in order.
func (s *stage) end(m *machine) error {
	select {
	case <-m.ended:
		if m.err != nil {
			return fmt.Errorf("%s: %w", m.name, m.err)
		}
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}

// clear ends what still runs: by two signals, so that nothing is waited for. They
// are not the same, since two of a kind may arrive as one (signal(7)).
func (s *stage) clear() {
	for _, m := range s.machines {
		for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
			_ = m.cmd.Process.Signal(sig) // it may have ended
		}
	}
	for _, m := range s.machines {
		<-m.ended
	}
	if len(s.machines) > 0 { // down does not depend on ctx, which may have ended
		_ = exec.Command(s.paths.appliance, "host", "down", "--force", "--config", s.site()).Run()
	}
}

// tellConsoles shows the end of what machines said, after a failure.
func (s *stage) tellConsoles() {
	for _, m := range s.machines {
		for _, file := range []string{m.log, m.stderr} {
			b, _ := os.ReadFile(file) // empty if there is none
			fmt.Fprintf(os.Stderr, "--- %s\n%s\n", file, b[max(0, len(b)-2000):])
		}
	}
}

func (s *stage) site() string { return filepath.Join(s.dir, "host.yaml") }
