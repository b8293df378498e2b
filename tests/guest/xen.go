package guest

import (
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/fsva/fsva/tests/guest/agent"
)

// Xen is an emulated machine that runs the Xen hypervisor. The Guest is its
// domain 0; other domains are on the same network.
type Xen struct {
	*Guest
}

// XenHost is what there is on a machine with Xen beside what is the harness's own.
type XenHost struct {
	Programs []string // of the host, that guest domains are to have
	Tree     string   // directory, that is /tree in guest domains; may be empty
	Boot     []string // files, for /boot of domain 0
}

// XenDomain is a paravirtualised domain to be started.
type XenDomain struct {
	Name    string
	Memory  int      // MiB
	P9      []string // devices, in the words of xl.cfg(5)
	Kernel  string   // file of domain 0's, as Ramdisk
	Ramdisk string
	Options string // of the kernel, beside those for the console
}

// ApplianceDomain is a domain that has /appliance. Its root is in memory, as a
// Machine's.
func ApplianceDomain(name string) XenDomain {
	return XenDomain{Name: name, Memory: 512, Kernel: "/boot/vmlinux", Ramdisk: "/boot/appliance.cpio"}
}

// GuestDomain is a domain with 9P devices of another one's: for each tag, the
// export of that name. The module 9pnet_xen is in /modules, but not loaded.
func GuestDomain(name, backend string, tags ...string) XenDomain {
	d := XenDomain{Name: name, Memory: 256, Kernel: "/boot/vmlinux", Ramdisk: "/boot/guest.cpio"}
	for _, tag := range tags {
		d.P9 = append(d.P9, fmt.Sprintf("tag=%[1]s,path=/%[1]s,security_model=none,backend=%[2]s", tag, backend))
	}
	return d
}

// xenCPU is what Xen 4.17 and its domain 0 can live with of the processor that
// is emulated. Programs in domain 0 found their memory changed at times when there
// were two processors and XSAVE; which of the two it is was not found out.
const xenCPU = "max,-xsave,-smap,-smep,-la57,-pku,-pks,-umip"

// BootXen starts the hypervisor and domain 0. Guest domains have the harness's
// own programs in /bin.
func BootXen(t T, n *Network, h XenHost) *Xen {
	t.Helper()
	if why := MissingQEMU(); why != "" {
		t.Fatal(why)
	}
	dir := filepath.Join(qemuDir(), "xen")
	port, name, ip := n.plug(t)
	g := &Guest{name: name, ip: ip, net: n, console: newTranscript(), exited: make(chan struct{})}
	roots := t.TempDir()
	unpackKernel(t, filepath.Join(dir, "vmlinuz"), filepath.Join(roots, "vmlinux"))
	g.cmd = qemu(qemuDir(), "-accel", "tcg", "-machine", "pc", "-cpu", xenCPU, "-smp", "1", "-m", "3G",
		"-nographic", "-nodefaults", "-no-reboot", "-serial", "stdio",
		"-netdev", "tap,id=n,script=no,downscript=no,ifname="+port, "-device", "virtio-net-pci,netdev=n,romfile=",
		"-kernel", filepath.Join(dir, "xen"),
		"-append", "dom0_mem=1G,max:1G com1=115200,8n1 console=com1 loglvl=warning bootscrub=0 no-real-mode spec-ctrl=no xpti=no",
		"-initrd", fmt.Sprintf("%s console=hvc0 quiet panic=-1 mitigations=off -- %s %s/24,%s",
			filepath.Join(roots, "vmlinux"), name, ip, buildXenRoots(t, dir, roots, h)))
	g.run(t)
	g.Run(t, xenToolstack)
	return &Xen{g}
}

// xenToolstack starts what xl needs.
const xenToolstack = `mkdir -p /dev/pts /var/run/xen /var/run/xenstored /var/lib/xenstored /var/log/xen/console
	mount -t devpts devpts /dev/pts
	mount -t xenfs xenfs /proc/xen
	xenstored
	xen-init-dom0
	xenconsoled --log=guest
`

// Launch has xl create a domain. It returns its configuration. Xen would emulate
// the time stamp counter, since that of the emulated machine is not steady, and
// every look at a clock would go through the hypervisor.
func (x *Xen) Launch(t T, d XenDomain) string {
	t.Helper()
	var p9 []string
	for _, device := range d.P9 {
		p9 = append(p9, fmt.Sprintf("%q", device))
	}
	config := fmt.Sprintf(`type = "pv"
name = %q
memory = %d
kernel = %q
ramdisk = %q
extra = "console=hvc0 quiet panic=-1 %s"
tsc_mode = "native"
vif = ["bridge=vec0"]
p9 = [%s]
on_crash = "destroy"
`, d.Name, d.Memory, d.Kernel, d.Ramdisk, d.Options, strings.Join(p9, ", "))
	x.Start(t, fmt.Sprintf("cat >/run/%[1]s.cfg <<'END'\n%[2]sEND\n"+
		"xl create /run/%[1]s.cfg || { free; dmesg | tail -20; tail /var/log/xen/*%[1]s* /var/log/xen/*hotplug*; exit 1; }", d.Name, config)).Wait(t, bootLimit)
	return config
}

// Create starts a domain and returns when it takes commands.
func (x *Xen) Create(t T, d XenDomain) *Guest {
	t.Helper()
	_, _, ip := x.net.plug(t)
	g := &Guest{name: d.Name, ip: ip, net: x.net}
	d.Options += fmt.Sprintf("-- %s %s/24", d.Name, ip)
	x.Launch(t, d)
	deadline := time.Now().Add(bootLimit)
	for {
		conn, err := x.net.dial(fmt.Sprintf("%s:%d", ip, agent.Port))
		if err == nil {
			_ = conn.Close() // the agent takes it for a command that was given up
			return g
		}
		if time.Now().After(deadline) {
			// What the domain says is for who reads the log of a test that failed.
			t.Fatalf("%s does not come up: %v\n%s", d.Name, err, x.Run(t, "cat "+ConsoleLog(d.Name)))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// ConsoleLog is the file of domain 0 with what a domain says.
func ConsoleLog(name string) string { return "/var/log/xen/console/guest-" + name + ".log" }

// Destroy ends a domain as a loss of power would.
func (x *Xen) Destroy(t T, g *Guest) {
	t.Helper()
	x.Run(t, "xl destroy "+g.name)
}
