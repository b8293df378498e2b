package guest

import (
	"bytes"
	endian "encoding/binary" // binary is the appliance
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest/agent"
)

// Xen is an emulated machine that runs the Xen hypervisor. The Guest is its
// domain 0; other domains are on the same network.
type Xen struct {
	*Guest
}

// XenDomain is a paravirtualised domain to be started. Its root is in memory, as
// a Machine's. The module 9pnet_xen is in /modules, but not loaded.
type XenDomain struct {
	Name   string
	Memory int      // MiB
	P9     []string // devices, in the words of xl.cfg(5)
	root   string
}

// ApplianceDomain is a domain that has /appliance.
func ApplianceDomain(name string) XenDomain {
	return XenDomain{Name: name, Memory: 512, root: "appliance"}
}

// GuestDomain is a domain with 9P devices of another one's: for each tag, the
// export of that name.
func GuestDomain(name, backend string, tags ...string) XenDomain {
	d := XenDomain{Name: name, Memory: 256, root: "guest"}
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
// own programs in /bin, a source tree in /tree, and programs of the host.
func BootXen(t testing.TB, n *Network, programs ...string) *Xen {
	t.Helper()
	RequireQEMU(t)
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
			filepath.Join(roots, "vmlinux"), name, ip, buildXenRoots(t, dir, roots, programs)))
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

// dom0Init makes a bridge of the network card, which has the name and the
// address that the agent gives it.
const dom0Init = `#!/bin/sh
PATH=/sbin:/bin
for module in $(cat /modules/order); do
	insmod "/modules/$module" || echo "cannot load $module"
done
ip link add vec0 type bridge
until ip link set eth0 master vec0; do sleep 0.1; done
ip link set eth0 up
exec /agent "$1" "$2" /modules
`

// vifScript puts the network card of a domain on the bridge.
const vifScript = `#!/bin/sh
[ "$1" = online ] || exit 0
ip link set "$vif" master vec0 up
exec xenstore-write "$XENBUS_PATH/hotplug-status" connected
`

// unpackKernel takes the kernel proper out of a bzImage (payload_offset and
// payload_length in Linux's Documentation/arch/x86/boot.rst). The emulated machine
// would do so for each domain, which takes it long.
func unpackKernel(t testing.TB, image, to string) {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	const setupSectors, payload = 0x1f1, 0x248
	if len(b) < payload+8 {
		t.Fatalf("%s is no bzImage", image)
	}
	from := (uint64(b[setupSectors])+1)*512 + uint64(endian.LittleEndian.Uint32(b[payload:]))
	end := from + uint64(endian.LittleEndian.Uint32(b[payload+4:]))
	if end > uint64(len(b)) {
		t.Fatalf("%s is cut short", image)
	}
	f, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("xz", "-dc", "--single-stream") // what follows is the length
	cmd.Stdin, cmd.Stdout = bytes.NewReader(b[from:end]), f
	if err := cmd.Run(); err != nil {
		t.Fatalf("unpack the kernel in %s: %v", image, err)
	}
}

// buildXenRoots makes the root of domain 0, which has those of the others.
func buildXenRoots(t testing.TB, dir, out string, programs []string) string {
	t.Helper()
	script := `set -e
plant() { # ROOT MODULES INIT
	mkdir -p "$1/bin" "$1/sbin" "$1/usr/bin" "$1/etc" "$1/proc" "$1/sys" "$1/dev" "$1/run" "$1/mnt" "$1/tmp"
	cp "$XEN/busybox" "$1/bin/busybox"
	for applet in $("$XEN/busybox" --list); do
		[ -e "$1/bin/$applet" ] || [ -e "$1/sbin/$applet" ] || ln -s busybox "$1/bin/$applet"
	done
	cp -r "$XEN/$2" "$1/modules"
	cp "$AGENT" "$1/agent"
	printf %s "$3" >"$1/init"
	chmod 755 "$1/init"
}
pack() { # ROOT FILE
	(cd "$1" && find . | "$XEN/busybox" cpio -o -H newc) >"$2" 2>/dev/null
	rm -r "$1"
}
plant appliance appliance "$INIT"
cp "$APPLIANCE" appliance/appliance
pack appliance appliance.cpio
plant guest guest "$INIT"
cp $OURS guest/bin
cp -r "$TREE" guest/tree
for program in $PROGRAMS; do
	cp --parents -L "$program" $(ldd "$program" | grep -o '/[^ ]*') guest
done
pack guest guest.cpio
cp -a "$XEN/root" dom0
plant dom0 dom0 "$DOM0INIT"
mkdir dom0/usr/local
ln -s ../lib/xen-4.17/bin dom0/usr/local/sbin # on the path
printf %s "$VIF" >dom0/vif
chmod 755 dom0/vif
mkdir dom0/boot
mv appliance.cpio guest.cpio dom0/boot
cp vmlinux dom0/boot
pack dom0 initrd`
	cmd := exec.Command("/bin/sh", "-c", script)
	cmd.Dir = out
	var ours []string
	for _, name := range []string{"locker", "mmapwriter", "openunlink"} {
		ours = append(ours, Program(t, name))
	}
	tree, err := filepath.Abs("../../server")
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "XEN="+dir, "AGENT="+Program(t, "agent"), "OURS="+strings.Join(ours, " "), "TREE="+tree, "APPLIANCE="+binary(t),
		"INIT="+initScript, "DOM0INIT="+dom0Init, "VIF="+vifScript,
		"PROGRAMS="+strings.Join(programs, " "))
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make the roots of domains: %v\n%s", err, b)
	}
	return filepath.Join(out, "initrd")
}

// xl runs Xen's tool in domain 0.
func (x *Xen) xl(t T, args string) string {
	t.Helper()
	return x.Run(t, "xl "+args)
}

// Create starts a domain and returns when it takes commands.
func (x *Xen) Create(t T, d XenDomain) *Guest {
	t.Helper()
	_, _, ip := x.net.plug(t)
	g := &Guest{name: d.Name, ip: ip, net: x.net}
	var p9 []string
	for _, device := range d.P9 {
		p9 = append(p9, fmt.Sprintf("%q", device))
	}
	x.Run(t, fmt.Sprintf(`cat >/run/%[1]s.cfg <<'END'
type = "pv"
name = "%[1]s"
memory = %[2]d
vcpus = 1
kernel = "/boot/vmlinux"
ramdisk = "/boot/%[3]s.cpio"
extra = "console=hvc0 quiet panic=-1 -- %[1]s %[4]s/24"
vif = ["script=/vif"]
p9 = [%[5]s]
on_crash = "destroy"
END
`, d.Name, d.Memory, d.root, ip, strings.Join(p9, ", ")))
	x.xl(t, fmt.Sprintf("create /run/%[1]s.cfg || { free; dmesg | tail -20; tail /var/log/xen/*%[1]s*; exit 1; }", d.Name))
	deadline := time.Now().Add(bootLimit)
	for {
		conn, err := x.net.dial(fmt.Sprintf("%s:%d", ip, agent.Port))
		if err == nil {
			_ = conn.Close() // the agent takes it for a command that was given up
			return g
		}
		if time.Now().After(deadline) {
			// What the domain says is for who reads the log of a test that failed.
			t.Fatalf("%s does not come up: %v\n%s", d.Name, err, x.Run(t, "cat /var/log/xen/console/guest-"+d.Name+".log"))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Destroy ends a domain as a loss of power would.
func (x *Xen) Destroy(t T, g *Guest) {
	t.Helper()
	x.xl(t, "destroy "+g.name)
}
