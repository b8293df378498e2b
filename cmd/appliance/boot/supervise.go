package boot

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/cmd/appliance/systemd"
)

const (
	self = "/proc/self/exe"

	// stopLimit is how long appliance serve has to end. It gives calls under
	// way 10 s.
	stopLimit = 20 * time.Second

	firstDelay = 100 * time.Millisecond
	lastDelay  = 30 * time.Second
	// steady is how long it has run if the next failure is a new one.
	steady = time.Minute
)

// supervisor keeps appliance serve running.
type supervisor struct {
	kids     *children
	setup    setup
	net      *network
	problems []error // why nothing is to be served
	early    *server // waits to be called, or nil
}

// run returns what is to become of the machine.
func (s *supervisor) run(power <-chan request) action {
	if len(s.problems) > 0 {
		if s.early != nil {
			s.early.dismiss()
		}
		return s.refuse(power)
	}
	delay := firstDelay
	for {
		began := time.Now()
		reasons, then := s.serve(power)
		if then != none {
			return then
		}
		if time.Since(began) > steady {
			delay = firstDelay
		}
		then = s.pause(reasons, delay, power)
		if then != none {
			return then
		}
		delay = min(2*delay, lastDelay)
	}
}

// refuse serves nothing, and says why, until the machine is turned off.
func (s *supervisor) refuse(power <-chan request) action {
	var reasons []string
	for _, err := range s.problems {
		reasons = append(reasons, err.Error())
	}
	for {
		if then := s.pause(reasons, 0, power); then != none {
			return then
		}
	}
}

// pause waits with the reasons at the health address, for good if delay is 0.
func (s *supervisor) pause(reasons []string, delay time.Duration, power <-chan request) action {
	s.tell("nothing is served", reasons)
	health, err := tellHealth(s.setup.admin, reasons)
	if err != nil {
		say("no health address: %v", err)
	}
	defer health.close()
	var over, watchdog <-chan time.Time
	if delay > 0 {
		over = time.After(delay)
	}
	if every := systemd.WatchdogInterval(); every > 0 {
		tick := time.NewTicker(every)
		defer tick.Stop()
		watchdog = tick.C
	}
	tellSystemd("READY=1\nWATCHDOG=1") // to be told of by the health address is to work, too
	for {
		select {
		case <-watchdog:
			tellSystemd("WATCHDOG=1")
		case <-over:
			return none
		case r := <-power:
			if r.action == reload { // the configuration may have been mended
				return none
			}
			return r.action
		}
	}
}

// serve runs appliance serve once. It returns why it ended, or what was asked
// for and has been made way for.
func (s *supervisor) serve(power <-chan request) (reasons []string, then action) {
	srv, err := s.start()
	if err != nil {
		return []string{err.Error()}, none
	}
	said := &sayings{}
	var readers sync.WaitGroup
	readers.Go(func() { s.follow(srv.out) })
	readers.Go(func() { said.follow(srv.errs) })
	for {
		select {
		case status := <-srv.ended:
			readers.Wait()
			return said.reasons(status), none
		case r := <-power:
			if r.action == reload {
				_ = unix.Kill(srv.pid, unix.SIGHUP) // it may have just ended
				continue
			}
			say("%s: appliance serve is asked to stop", r.why)
			stop(srv.pid, srv.ended)
			readers.Wait()
			return nil, r.action
		}
	}
}

// start starts it, or calls the one that waits.
func (s *supervisor) start() (*server, error) {
	if early := s.early; early != nil {
		s.early = nil
		early.callWith(s.setup.args)
		return early, nil
	}
	return startServer(s.kids, append([]string{self}, s.setup.args...))
}

// stop ends appliance serve, in order if it can be.
func stop(pid int, ended <-chan syscall.WaitStatus) {
	_ = unix.Kill(pid, unix.SIGTERM) // it may have just ended
	select {
	case <-ended:
	case <-time.After(stopLimit):
		say("appliance serve does not stop and is killed")
		_ = unix.Kill(pid, unix.SIGKILL)
		<-ended
	}
}

// follow passes on what appliance serve prints: how to mount, with this
// machine's addresses for ADDRESS, and that it is ready.
func (s *supervisor) follow(r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		line := lines.Text()
		if a := s.net.address(); a != "" {
			line = strings.Replace(line, " ADDRESS:", " "+a+":", 1)
		}
		if strings.HasPrefix(line, "ready ") {
			s.tell("health ok", nil)
		}
		say("%s", line)
	}
}

// tell is the message on the console: addresses and health.
func (s *supervisor) tell(health string, reasons []string) {
	say("addresses: %s", s.net.describe())
	say("%s; control address %s", health, s.setup.admin)
	tellSystemd("STATUS=" + strings.Join(append([]string{health}, reasons...), ": "))
	for _, r := range reasons {
		say("  %s", r)
	}
}

// tellSystemd does nothing where this is the first process.
func tellSystemd(state string) {
	if err := systemd.Notify(state); err != nil {
		say("%v", err)
	}
}

// sayings are the errors that appliance serve ended with.
type sayings struct{ last []string }

// maxSayings bounds them: an error of a configuration has a line for each
// mistake.
const maxSayings = 20

// follow passes on the log, and keeps the errors, which begin with the
// program's name.
func (s *sayings) follow(r io.ReadCloser) {
	defer r.Close()
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			fmt.Fprint(os.Stderr, line)
		}
		if text, ok := strings.CutPrefix(line, "appliance: serve: "); ok && len(s.last) < maxSayings {
			s.last = append(s.last, strings.TrimSpace(text))
		}
		if err != nil {
			return
		}
	}
}

func (s *sayings) reasons(status syscall.WaitStatus) []string {
	if len(s.last) > 0 {
		return s.last
	}
	return []string{"appliance serve " + ending(status)}
}
