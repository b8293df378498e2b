package guest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// Lease is the lease time that appliances give in tests.
	Lease = 10 * time.Second

	// grace is long enough for a guest that is idle, and so learns of a restart
	// when it renews its lease, after two thirds of it; and then has to reconnect
	// while others have the processors.
	grace = 2 * Lease

	readyLimit = time.Minute
	stopLimit  = time.Minute
)

// Appliance is a server under test.
type Appliance struct {
	net    *Network
	ip     string
	args   []string
	log    *transcript
	cmd    *exec.Cmd     // nil while it does not run
	exited chan struct{} // closed when the process is gone and waited for
	err    error         // how it ended; read it after exited is closed
}

// StartAppliance starts the appliance with exports in the form of its flag
// --export, and returns when it serves. At the end of the test it is asked to
// stop and must do so with exit code 0. If the test fails, its log is logged.
func StartAppliance(t testing.TB, n *Network, exports ...string) *Appliance {
	t.Helper()
	var flags []string
	for _, e := range exports {
		flags = append(flags, "--export", e)
	}
	return StartApplianceWith(t, n, flags...)
}

// StartApplianceWith is StartAppliance with any flags beside those that all
// appliances have.
func StartApplianceWith(t testing.TB, n *Network, flags ...string) *Appliance {
	t.Helper()
	return startAppliance(t, n, ServerIP, flags)
}

// StartSecondAppliance is StartApplianceWith for one beside the first, at
// another address.
func StartSecondAppliance(t testing.TB, n *Network, flags ...string) *Appliance {
	t.Helper()
	return startAppliance(t, n, secondIP, flags)
}

func startAppliance(t testing.TB, n *Network, ip string, flags []string) *Appliance {
	t.Helper()
	args := append([]string{"serve", "--nfs", ip + ":2049", "--p9", "tcp://" + ip + ":564", "--admin", "off", "--state", t.TempDir(),
		"--lease", Lease.String(), "--grace", grace.String()}, flags...)
	return launch(t, n, ip, args)
}

// StartApplianceOnAll is StartApplianceWith for one that listens at all addresses
// of its machine.
func StartApplianceOnAll(t testing.TB, n *Network, flags ...string) *Appliance {
	t.Helper()
	return startAppliance(t, n, "[::]", flags)
}

// StartHost starts appliance host serve for the bridge that the file config
// describes, as StartAppliance does an appliance.
func StartHost(t testing.TB, n *Network, config string) *Appliance {
	t.Helper()
	return launch(t, n, ServerIP, []string{"host", "serve", "--config", config})
}

// StartRelay starts appliance host virtio9p with flags, as StartAppliance does
// an appliance.
func StartRelay(t testing.TB, n *Network, flags ...string) *Appliance {
	t.Helper()
	return launch(t, n, ServerIP, append([]string{"host", "virtio9p"}, flags...))
}

func launch(t testing.TB, n *Network, ip string, args []string) *Appliance {
	t.Helper()
	a := &Appliance{net: n, ip: ip, args: args, log: newTranscript()}
	t.Cleanup(func() {
		a.Stop(t)
		if t.Failed() {
			t.Logf("log of the appliance:\n%s", a.log)
		}
	})
	a.start(t)
	return a
}

// IP is the address that guests reach the appliance at.
func (a *Appliance) IP() string { return a.ip }

// Log returns what the appliance has logged so far.
func (a *Appliance) Log() string { return a.log.String() }

// WaitForLog waits until text is in the appliance's log.
func (a *Appliance) WaitForLog(t testing.TB, text string, limit time.Duration) {
	t.Helper()
	late := time.After(limit)
	for {
		said, more := a.log.contains(text)
		if said {
			return
		}
		select {
		case <-more:
		case <-late:
			t.Fatalf("no %q in the log within %v", text, limit)
		}
	}
}

// Binary is the path of the appliance, which is the same in guests.
func Binary(t testing.TB) string { return binary(t) }

// binary is the appliance to test: FSVA_APPLIANCE, or this checkout's.
func binary(t T) string {
	t.Helper()
	if path := os.Getenv("FSVA_APPLIANCE"); path != "" {
		return path
	}
	return build(t, "appliance", "build", "-buildvcs=false", "github.com/fsva/fsva/cmd/appliance")
}

func (a *Appliance) start(t testing.TB) {
	t.Helper()
	out := newTranscript()
	cmd := exec.Command(binary(t), a.args...)
	cmd.Stdout, cmd.Stderr = out, a.log
	if err := a.net.start(cmd); err != nil {
		t.Fatalf("start the appliance: %v", err)
	}
	a.cmd, a.exited = cmd, make(chan struct{})
	go func() {
		a.err = cmd.Wait()
		close(a.exited)
	}()
	limit := time.After(readyLimit)
	for {
		said, more := out.contains("\nready")
		if said || strings.HasPrefix(out.String(), "ready") {
			return
		}
		select {
		case <-more:
		case <-a.exited:
			t.Fatalf("the appliance ended at its start: %v\n%s", a.err, out)
		case <-limit:
			t.Fatalf("the appliance was not ready within %v:\n%s", readyLimit, out)
		}
	}
}

// Verb has the appliance's binary ask the appliance that runs, at its default
// control address, and returns what it printed.
func (a *Appliance) Verb(t testing.TB, verb ...string) string {
	t.Helper()
	return a.net.Run(t, binary(t)+" "+strings.Join(verb, " "))
}

// Kill9 ends the appliance as a crash would.
func (a *Appliance) Kill9(t testing.TB) {
	t.Helper()
	select {
	case <-a.exited:
		t.Fatalf("the appliance ended by itself: %v", a.err)
	default:
	}
	_ = a.cmd.Process.Kill() // fails only if it has just ended
	<-a.exited
	a.cmd = nil
}

// Restart starts the appliance again, with the same exports and state, after
// Kill9 or Stop.
func (a *Appliance) Restart(t testing.TB) {
	t.Helper()
	a.start(t)
}

// Crash kills the appliance and starts it again.
func (a *Appliance) Crash(t testing.TB) {
	t.Helper()
	a.Kill9(t)
	a.Restart(t)
}

// Stop asks the appliance to stop, and fails the test unless it ends with exit
// code 0. It does nothing if the appliance does not run.
func (a *Appliance) Stop(t testing.TB) {
	t.Helper()
	if a.cmd == nil {
		return
	}
	_ = a.cmd.Process.Signal(syscall.SIGTERM) // if it has ended, err tells
	select {
	case <-a.exited:
		if a.err != nil {
			t.Errorf("the appliance ended with %v", a.err)
		}
	case <-time.After(stopLimit):
		t.Errorf("the appliance did not stop within %v", stopLimit)
		_ = a.cmd.Process.Kill()
		<-a.exited
	}
	a.cmd = nil
}

// Dir makes a directory and returns it, with the export of it under name,
// whose root guests may use as root.
func Dir(t testing.TB, name string) (dir, export string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, name + "=host:" + dir + ",squash=none"
}
