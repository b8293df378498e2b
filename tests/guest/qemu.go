package guest

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest/agent"
)

// Machine is a virtual machine under QEMU, with a stock Debian kernel. It is
// emulated, not virtualised, so that it runs everywhere; time in it says
// nothing.
type Machine struct {
	Kernel string   // "6.1" or "6.12"
	Type   string   // "q35" with PCI, or "microvm" with MMIO
	Memory string   // default "512M"; above 3G it is in two regions
	P9     []string // sockets of vhost-user back ends for 9P devices
	QMP    string   // where the monitor's socket is made; none if empty

	Devices  []string // further arguments of QEMU's
	Programs []string // of the host, that the machine is to have too
}

// Monitor sends commands of QEMU's machine protocol, such as "stop" and
// "cont", and returns when they have been carried out.
func (m Machine) Monitor(t testing.TB, commands ...string) {
	t.Helper()
	conn, err := net.Dial("unix", m.QMP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	answers := json.NewDecoder(conn)
	for _, command := range append([]string{"qmp_capabilities"}, commands...) {
		if _, err := fmt.Fprintf(conn, `{"execute": %q}`, command); err != nil {
			t.Fatalf("monitor: %v", err)
		}
		// A greeting and events come in between.
		for done := false; !done; {
			var a map[string]any
			if err := answers.Decode(&a); err != nil {
				t.Fatalf("monitor: %s: %v", command, err)
			}
			if a["error"] != nil {
				t.Fatalf("monitor: %s: %v", command, a["error"])
			}
			_, done = a["return"]
		}
	}
}

// qemuDir is what qemu.sh has made: FSVA_QEMU, or in the user's cache.
func qemuDir() string {
	if dir := os.Getenv("FSVA_QEMU"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return ""
	}
	return filepath.Join(cache, "fsva-qemu")
}

// MissingQEMU says what keeps machines from running here, or nothing.
func MissingQEMU() string {
	if why := Missing(); why != "" {
		return why
	}
	if _, err := os.Stat(filepath.Join(qemuDir(), "complete")); err != nil {
		return "machines need QEMU: make qemu"
	}
	return ""
}

// RequireQEMU skips the test where machines cannot run, or fails it if
// FSVA_REQUIRE_QEMU=1.
func RequireQEMU(t testing.TB) {
	t.Helper()
	require(t)
	why := MissingQEMU()
	switch {
	case why == "":
	case os.Getenv("FSVA_REQUIRE_QEMU") == "1":
		t.Fatal(why)
	default:
		t.Skip(why)
	}
}

// BootMachine is like Boot, for a machine under QEMU. Its root is in memory and
// has busybox, and the modules in /modules, which are loaded.
func BootMachine(t T, n *Network, m Machine) *Guest {
	t.Helper()
	if why := MissingQEMU(); why != "" {
		t.Fatal(why)
	}
	dir := qemuDir()
	port, name, ip := n.plug(t)
	g := &Guest{name: name, ip: ip, net: n, console: newTranscript(), exited: make(chan struct{})}
	initrd := buildInitrd(t, dir, m)
	g.cmd = qemu(dir, append(m.arguments(port),
		"-kernel", filepath.Join(dir, "kernel", m.Kernel, "vmlinuz"), "-initrd", initrd,
		"-append", fmt.Sprintf("%s -- %s %s/24", kernelOptions, name, ip))...)
	g.run(t)
	return g
}

// kernelOptions spare the kernel to find out how fast its clock is. A machine
// that is emulated, on a host that has other things to do, may fail at that,
// and microvm has no second timer to go by. Any value will do.
const kernelOptions = "console=ttyS0 panic=-1 quiet tsc_early_khz=2000000"

// run runs the guest's command for the length of a test, and returns when the
// guest takes commands.
func (g *Guest) run(t T) {
	t.Helper()
	g.cmd.Stdout, g.cmd.Stderr = g.console, g.console
	if err := g.net.start(g.cmd); err != nil {
		t.Fatalf("start %s: %v", g.name, err)
	}
	go func() {
		_ = g.cmd.Wait() // a machine ends by our kill, or its console tells why
		close(g.exited)
	}()
	t.Cleanup(func() {
		g.Kill()
		if t.Failed() {
			t.Logf("console of %s:\n%s", g.name, g.console)
		}
	})
	g.await(t)
}

// qemu is the command that runs the private copy of QEMU.
func qemu(dir string, args ...string) *exec.Cmd {
	root := filepath.Join(dir, "qemu", "usr")
	cmd := private(dir, "bin/qemu-system-x86_64", append([]string{
		"-L", filepath.Join(root, "share", "qemu"),
		"-L", filepath.Join(root, "share", "seabios"),
		"-L", filepath.Join(root, "lib", "ipxe", "qemu")}, args...)...)
	cmd.Env = append(os.Environ(), "QEMU_MODULE_DIR="+filepath.Join(root, "lib", "x86_64-linux-gnu", "qemu"))
	return cmd
}

// Virtiofsd is the command that runs virtiofsd, as it came with QEMU.
func Virtiofsd(args ...string) *exec.Cmd {
	return private(qemuDir(), "libexec/virtiofsd", args...)
}

// private runs a program that came with QEMU, with its own libraries.
func private(dir, program string, args ...string) *exec.Cmd {
	root := filepath.Join(dir, "qemu", "usr")
	return exec.Command(filepath.Join(root, "lib64", "ld-linux-x86-64.so.2"), append([]string{
		"--library-path", filepath.Join(root, "lib", "x86_64-linux-gnu"), filepath.Join(root, program)}, args...)...)
}

// arguments are the machine's hardware. Its memory is shared with back ends.
func (m Machine) arguments(port string) []string {
	memory := m.Memory
	if memory == "" {
		memory = "512M"
	}
	bus := ""
	if m.Type == "q35" {
		bus = "-pci"
	}
	args := []string{"-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-nographic", "-nodefaults", "-serial", "stdio",
		"-m", memory, "-object", "memory-backend-memfd,id=m,share=on,size=" + memory, "-machine", m.Type + ",memory-backend=m",
		"-netdev", "tap,id=n,script=no,downscript=no,ifname=" + port}
	if m.Type == "q35" {
		args = append(args, "-device", "virtio-net-pci,netdev=n,romfile=")
	} else {
		args = append(args, "-device", "virtio-net-device,netdev=n")
	}
	if m.QMP != "" {
		args = append(args, "-qmp", "unix:"+m.QMP+",server=on,wait=off")
	}
	args = append(args, m.Devices...)
	for i, socket := range m.P9 {
		args = append(args, "-chardev", fmt.Sprintf("socket,id=c%d,path=%s", i, socket),
			"-device", fmt.Sprintf("vhost-user-test-device%s,chardev=c%d,virtio-id=9,num_vqs=1,vq_size=128,config_size=256", bus, i))
	}
	return args
}

// initScript loads the modules and becomes the agent, for which the network
// card has the name that User-mode Linux gives it.
const initScript = `#!/bin/sh
PATH=/bin
for module in $(cat /modules/order); do
	insmod "/modules/$module" || echo "cannot load $module"
done
until ip link set eth0 name vec0; do sleep 0.1; done
exec /agent "$1" "$2" /modules
`

// buildInitrd makes the root of a machine's file system. Programs come with the
// libraries that they are linked to.
func buildInitrd(t T, dir string, m Machine) string {
	t.Helper()
	out := t.TempDir()
	script := `set -e
mkdir -p root/bin root/sbin root/usr/bin root/proc root/sys root/dev root/run root/mnt root/tmp
for applet in $("$BUSYBOX" --list); do ln -s busybox "root/bin/$applet"; done
rm root/bin/busybox
cp "$BUSYBOX" root/bin/busybox
cp -r "$KERNEL" root/modules
rm root/modules/vmlinuz
cp "$AGENT" root/agent
printf %s "$INIT" >root/init
chmod 755 root/init
for program in $PROGRAMS; do
	cp --parents -L "$program" $(ldd "$program" | grep -o '/[^ ]*') root
done
(cd root && find . | "$BUSYBOX" cpio -o -H newc) >initrd 2>/dev/null
rm -r root`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = out
	cmd.Env = append(os.Environ(), "BUSYBOX="+filepath.Join(dir, "busybox"), "KERNEL="+filepath.Join(dir, "kernel", m.Kernel),
		"AGENT="+Program(t, "agent"), "INIT="+initScript,
		"PROGRAMS="+strings.Join(m.Programs, " "))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the root of a machine: %v\n%s", err, b)
	}
	return filepath.Join(out, "initrd")
}

// Reboot restarts a machine, as if by its reset button, and returns when it
// takes commands again.
func (g *Guest) Reboot(t testing.TB) {
	t.Helper()
	boots := g.boots()
	g.Start(t, "reboot -f")
	limit := time.After(bootLimit)
	for g.boots() == boots {
		_, more := g.console.contains("")
		if g.boots() != boots {
			break
		}
		select {
		case <-more:
		case <-g.exited:
			t.Fatalf("%s ended instead of booting again", g.name)
		case <-limit:
			t.Fatalf("%s did not boot again in %v", g.name, bootLimit)
		}
	}
}

// boots counts how often a machine has booted.
func (g *Guest) boots() int { return strings.Count(g.console.String(), agent.Ready) }
