package guest

import (
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// ServerIP is the address of the machine that the appliance runs on. Networks
// do not see each other, so that all can use the same addresses.
const ServerIP = "10.77.0.1"

// secondIP is another address of that machine, for one more appliance.
const secondIP = "10.77.0.200"

// Network is a machine for the appliance with guests around it: a network and
// a mount table of its own, seen by nothing else. It belongs to one thread,
// and the kernel destroys it when that thread and the processes started in it
// are gone, so that nothing is left over even if the test binary is killed.
type Network struct {
	do     chan func()
	ended  chan struct{}
	mu     sync.Mutex
	guests int
}

// NewNetwork makes a network for the length of a test. It skips the test if
// guests cannot run here.
func NewNetwork(t testing.TB) *Network {
	t.Helper()
	require(t)
	return newNetwork(t, unshare)
}

// AdoptNetwork makes a network of the namespaces that the process is in. They
// must be its own.
func AdoptNetwork(t T) *Network {
	t.Helper()
	n := newNetwork(t, func() error { return nil })
	t.Cleanup(func() { _, _ = n.run("ip link delete br0") }) // or the next one fails, and says so
	return n
}

func newNetwork(t T, enter func() error) *Network {
	t.Helper()
	n := &Network{do: make(chan func()), ended: make(chan struct{})}
	failed := make(chan error)
	go n.own(enter, failed)
	if err := <-failed; err != nil {
		<-n.ended
		t.Fatalf("make a namespace: %v", err)
	}
	t.Cleanup(func() {
		close(n.do)
		<-n.ended
	})
	// The network driver of guests loses an interrupt at times, and sees a
	// packet only when the next one comes. That is to be soon, and not after
	// the usual 200 ms.
	n.Run(t, `ip link set lo up
		ip link add br0 type bridge
		ip address add `+ServerIP+`/24 dev br0
		ip address add `+secondIP+`/24 dev br0
		ip link set br0 up
		ip route change 10.77.0.0/24 dev br0 src `+ServerIP+` rto_min 5ms`)
	return n
}

// unshare moves the thread into new namespaces.
func unshare() error {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return err
	}
	return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
}

// own moves its thread where the network is to be and works there. It never
// unlocks the thread, so that the runtime ends it instead of reusing it.
func (n *Network) own(enter func() error, failed chan<- error) {
	defer close(n.ended)
	runtime.LockOSThread()
	err := enter()
	failed <- err
	if err != nil {
		return
	}
	for f := range n.do {
		f()
	}
}

// in calls f inside the network and returns its error.
func (n *Network) in(f func() error) error {
	result := make(chan error, 1)
	n.do <- func() { result <- f() }
	return <-result
}

// start starts a process inside the network. The kernel kills it if the
// thread of the network ends first.
func (n *Network) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return n.in(cmd.Start)
}

// dial connects to a guest.
func (n *Network) dial(address string) (c net.Conn, err error) {
	err = n.in(func() error {
		c, err = net.DialTimeout("tcp", address, 5*time.Second)
		return err
	})
	return c, err
}

// Run runs a shell script on the machine of the appliance, as root, and
// returns what it printed. The test fails if the script does.
func (n *Network) Run(t T, script string) string {
	t.Helper()
	out, err := n.run(script)
	if err != nil {
		t.Fatalf("on the server: %s\n%v\n%s", script, err, out)
	}
	return out
}

func (n *Network) run(script string) (string, error) {
	var out strings.Builder
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := n.start(cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}

// Daemon runs a shell script on the machine of the appliance, as root, until it
// ends or the test does. It belongs to the network: it is killed when that goes,
// however it goes, so a server should stay in the foreground. What it printed is
// logged if the test fails.
func (n *Network) Daemon(t T, script string) {
	t.Helper()
	out, exited := newTranscript(), make(chan struct{})
	cmd := exec.Command("/bin/sh", "-ec", script)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second // a child may hold on to what it prints to
	if err := n.start(cmd); err != nil {
		t.Fatalf("start %s: %v", script, err)
	}
	go func() {
		_ = cmd.Wait() // it ends when it is told to
		close(exited)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended already
		<-exited
		if t.Failed() {
			t.Logf("%s\nprinted:\n%s", script, out)
		}
	})
}

// plug adds a port for one more guest to the bridge. It returns the names of
// the port and the guest, and the guest's address.
func (n *Network) plug(t T) (port, name, ip string) {
	t.Helper()
	n.mu.Lock()
	n.guests++
	id := n.guests
	n.mu.Unlock()
	port = fmt.Sprintf("tap%d", id)
	n.Run(t, fmt.Sprintf(`ip tuntap add %[1]s mode tap
		ip link set %[1]s master br0 up`, port))
	return port, fmt.Sprintf("guest%d", id), fmt.Sprintf("10.77.0.%d", id+1)
}
