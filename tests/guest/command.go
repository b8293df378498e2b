package guest

import (
	"encoding/gob"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/fsva/fsva/tests/guest/agent"
)

// runLimit is how long a script may take that says nothing else.
const runLimit = 5 * time.Minute

// Command is a shell script that runs in a guest.
type Command struct {
	guest  *Guest
	script string
	conn   net.Conn
	output *transcript
	ended  chan struct{}
	err    error // how it ended; read it after ended is closed
}

// ExitError says that a script ran and ended with a code other than 0.
type ExitError struct {
	Code int
}

func (e *ExitError) Error() string { return fmt.Sprintf("exit code %d", e.Code) }

// prelude comes before each script. A script ends with the first command that
// fails, except before && and behind !, which is how the shell defines set -e;
// for a command that must fail there is "fails".
const prelude = `set -e
fails() { if "$@" 2>/dev/null; then echo "did not fail: $*"; exit 1; fi; }
`

// Run runs a shell script as root and returns what it printed. The test fails
// if the script does. In scripts, "fails COMMAND" expects that COMMAND fails.
func (g *Guest) Run(t T, script string) string {
	t.Helper()
	return g.Start(t, script).Wait(t, runLimit)
}

// RunAs is like Run, as another user.
func (g *Guest) RunAs(t T, uid uint32, script string) string {
	t.Helper()
	return g.start(t, uid, script).Wait(t, runLimit)
}

// Start starts a shell script as root. It is killed at the end of the test.
func (g *Guest) Start(t T, script string) *Command {
	t.Helper()
	return g.start(t, 0, script)
}

func (g *Guest) start(t T, uid uint32, script string) *Command {
	t.Helper()
	conn, err := g.net.dial(fmt.Sprintf("%s:%d", g.ip, agent.Port))
	if err != nil {
		t.Fatalf("%s does not answer: %v", g.name, err)
	}
	c := &Command{guest: g, script: script, conn: conn, output: newTranscript(), ended: make(chan struct{})}
	request := agent.Request{Script: prelude + script, UID: uid}
	if err := gob.NewEncoder(conn).Encode(request); err != nil {
		_ = conn.Close()
		t.Fatalf("%s: send a script: %v", g.name, err)
	}
	go c.follow()
	t.Cleanup(c.Kill)
	return c
}

// follow collects what the script prints until it ends.
func (c *Command) follow() {
	defer close(c.ended)
	for d := gob.NewDecoder(c.conn); ; {
		var e agent.Event
		if err := d.Decode(&e); err != nil {
			c.err = fmt.Errorf("lost the guest: %w", err)
			return
		}
		_, _ = c.output.Write(e.Output) // to memory
		switch {
		case !e.Done:
			continue
		case e.Error != "":
			c.err = errors.New(e.Error)
		case e.Code != 0:
			c.err = &ExitError{e.Code}
		}
		return
	}
}

// Wait waits for the end of the script and returns what it printed. The test
// fails if the script does, or if it takes longer than limit.
func (c *Command) Wait(t T, limit time.Duration) string {
	t.Helper()
	out, err := c.Result(t, limit)
	if err != nil {
		t.Fatalf("%s: %s\n%v\n%s", c.guest.name, c.script, err, out)
	}
	return out
}

// Result is like Wait, but lets the script fail: it returns an *ExitError
// then.
func (c *Command) Result(t T, limit time.Duration) (string, error) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c.ended:
	case <-timer.C:
		t.Fatalf("%s: %s\nis not done after %v; it printed\n%s%s", c.guest.name, c.script, limit, c.output, c.guest.stuck())
	}
	return c.output.String(), c.err
}

// WaitFor returns when the script has printed text. The test fails if it ends
// before, or does not print it within limit.
func (c *Command) WaitFor(t T, text string, limit time.Duration) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		found, more := c.output.contains(text)
		if found {
			return
		}
		select {
		case <-more:
		case <-c.ended:
			if found, _ := c.output.contains(text); found {
				return
			}
			t.Fatalf("%s: %s\nended (%v) without %q:\n%s", c.guest.name, c.script, c.err, text, c.output)
		case <-timer.C:
			t.Fatalf("%s: %s\ndid not print %q within %v:\n%s%s", c.guest.name, c.script, text, limit, c.output, c.guest.stuck())
		}
	}
}

// Running tells whether the script has not ended yet.
func (c *Command) Running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// Output returns what the script has printed so far.
func (c *Command) Output() string { return c.output.String() }

// Kill ends the script, if it has not ended yet, and forgets it. A process
// that waits for a server in the guest's kernel dies when the wait ends.
func (c *Command) Kill() {
	_ = c.conn.Close()
	<-c.ended
}

// stuck shows where the guest's processes wait in the kernel.
func (g *Guest) stuck() string {
	conn, err := g.net.dial(fmt.Sprintf("%s:%d", g.ip, agent.Port))
	if err != nil {
		return fmt.Sprintf("\n(%s does not answer: %v)", g.name, err)
	}
	c := &Command{guest: g, conn: conn, output: newTranscript(), ended: make(chan struct{})}
	defer c.Kill()
	go c.follow()
	script := `for p in /proc/[0-9]*; do
		[ -s $p/cmdline ] && { echo; tr '\0' ' ' <$p/cmdline; echo; cat $p/stack $p/wchan; }
	done 2>/dev/null`
	if err := gob.NewEncoder(conn).Encode(agent.Request{Script: script}); err != nil {
		return err.Error()
	}
	select {
	case <-c.ended:
	case <-time.After(10 * time.Second):
	}
	return "\nprocesses of " + g.name + ":\n" + strings.TrimSpace(c.Output())
}
