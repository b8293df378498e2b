package guest

import (
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// bootLimit is how long a guest may take to boot. Where nothing else runs it
// takes two seconds, or 30 with everything emulated.
const bootLimit = 5 * time.Minute

// Guest is a Linux machine.
type Guest struct {
	name    string
	ip      string
	net     *Network
	cmd     *exec.Cmd
	console *transcript
	exited  chan struct{} // closed when the kernel is gone and waited for
}

// Boot starts a guest for the length of a test. Its directory /mnt/1 is for
// mounting; /mnt and /run are its own memory, and everything else is the
// host's tree, read-only. If the test fails, its console is logged.
func Boot(t T, n *Network) *Guest {
	t.Helper()
	return boot(t, n)
}

// BootOn is Boot of a guest that has one more interface, vec1, on a tap that is
// there, with that MAC. Nothing is done with it.
func BootOn(t T, n *Network, tap, mac string) *Guest {
	t.Helper()
	return boot(t, n, "vec1:transport=tap,ifname="+tap+",depth=128,gro=1,mac="+mac)
}

func boot(t T, n *Network, devices ...string) *Guest {
	t.Helper()
	port, name, ip := n.plug(t)
	g := &Guest{name: name, ip: ip, net: n, console: newTranscript(), exited: make(chan struct{})}
	g.cmd = exec.Command("linux.uml", append(append([]string{"mem=1024M", "umid=" + name, "uml_dir=" + t.TempDir(),
		"root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", "quiet",
		"vec0:transport=tap,ifname=" + port + ",depth=128,gro=1"}, devices...),
		"con=null", "con0=fd:0,fd:1", "init="+Program(t, "agent"), "--", name, ip+"/24", modules())...)
	g.cmd.Stdout, g.cmd.Stderr = g.console, g.console
	// The kernel's first process is also that of a process namespace, so that
	// every process of the guest ends with it.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	if err := n.start(g.cmd); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		_ = g.cmd.Wait() // a guest's kernel ends by our kill, or its console tells why
		close(g.exited)
	}()
	t.Cleanup(func() {
		g.Kill()
		if t.Failed() {
			t.Logf("console of %s:\n%s", name, g.console)
		}
	})
	g.await(t)
	return g
}

// Name is what the guest calls itself.
func (g *Guest) Name() string { return g.name }

// IP is the address of the guest.
func (g *Guest) IP() string { return g.ip }

// await returns when the guest takes commands.
func (g *Guest) await(t T) {
	t.Helper()
	limit := time.After(bootLimit)
	for {
		ready, more := g.console.contains("guest is ready")
		if ready {
			return
		}
		select {
		case <-more:
		case <-g.exited:
			t.Fatalf("%s ended while it booted", g.name)
		case <-limit:
			t.Fatalf("%s did not boot in %v", g.name, bootLimit)
		}
	}
}

// Kill ends the guest as a loss of power would: the server hears nothing.
func (g *Guest) Kill() {
	_ = g.cmd.Process.Kill() // it may have ended already
	<-g.exited
}

// Mount mounts an export of srv with mount options such as "vers=4.2". It
// returns dir.
func (g *Guest) Mount(t T, srv *Appliance, options, export, dir string) string {
	t.Helper()
	g.Run(t, fmt.Sprintf("mkdir -p %[1]s && mount -t nfs4 -o %s %s:%s %[1]s", dir, options, srv.IP(), export))
	if got := g.Run(t, "findmnt -n -o FSTYPE "+dir); strings.TrimSpace(got) != "nfs4" {
		t.Fatalf("%s is mounted on %s instead of nfs4", got, dir)
	}
	return dir
}
