package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// patience is how long a machine in the emulated one may take for a step.
const patience = 5 * time.Minute

// applianceIP is out of the way of the addresses that guests get.
const applianceIP = "10.77.0.100"

// playXen is the picture on Xen: the appliance's domain, a domain that uses it,
// and domain 0 with the bridge between them.
func (s *stage) playXen() error {
	// All that is made goes with the directory.
	if err := os.Setenv("TMPDIR", s.dir); err != nil {
		return err
	}
	remove, err := guest.KeepPrograms()
	if err != nil {
		return err
	}
	defer remove()
	return s.perform(func(x *xenShow) {
		began := time.Now()
		x.boot()
		x.appliance()
		x.guest()
		x.mount()
		x.share()
		x.lock()
		x.crash()
		x.end()
		fmt.Printf("\nAll of it as it should be, in %d s.\n", int(time.Since(began).Seconds()))
	})
}

// xenShow is what the harness of guests takes for a test. A step that fails is
// the last.
type xenShow struct {
	*stage
	err      error
	log      strings.Builder
	cleanups []func()

	xen *guest.Xen
	one *guest.Guest
}

// perform has f play until it ends, and takes everything down. When ctx ends, it
// does not wait: the kernel takes everything down with the process.
func (s *stage) perform(f func(*xenShow)) error {
	x := &xenShow{stage: s}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			for _, c := range x.cleanups {
				defer c() // each, and the last one first
			}
		}()
		f(x)
	}()
	select {
	case <-ended:
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
	if x.err != nil {
		fmt.Fprint(os.Stderr, x.log.String())
	}
	return x.err
}

func (x *xenShow) Helper()          {}
func (x *xenShow) Failed() bool     { return x.err != nil }
func (x *xenShow) Cleanup(f func()) { x.cleanups = append(x.cleanups, f) }

func (x *xenShow) Logf(format string, args ...any) { fmt.Fprintf(&x.log, format+"\n", args...) }

func (x *xenShow) Fatalf(format string, args ...any) { x.Fatal(fmt.Sprintf(format, args...)) }

func (x *xenShow) Fatal(args ...any) {
	if x.err == nil {
		x.err = errors.New(fmt.Sprint(args...))
	}
	runtime.Goexit()
}

func (x *xenShow) TempDir() string {
	dir, err := os.MkdirTemp(x.dir, "xen-")
	if err != nil {
		x.Fatal(err)
	}
	return dir
}

func (x *xenShow) boot() {
	x.say("Boot Xen with its domain 0, which has a bridge and Xen's tools, in an emulated machine")
	mount, err := exec.LookPath("mount.nfs4")
	if err != nil {
		x.Fatal(err)
	}
	n := guest.AdoptNetwork(x)
	x.xen = guest.BootXen(x, n, guest.XenHost{
		Programs: []string{mount, "/etc/netconfig", "/etc/protocols"},
		Boot:     []string{filepath.Join(x.paths.microvm, "vmlinuz"), filepath.Join(x.paths.microvm, "initramfs.img")},
	})
	x.dom0("uname -r; xl list")
}

func (x *xenShow) appliance() {
	x.say("Start the appliance as a domain: the kernel and the initramfs that make microvm builds")
	tell(x.xen.Launch(x, guest.XenDomain{
		Name: "fsva", Memory: 512, Kernel: "/boot/vmlinuz", Ramdisk: "/boot/initramfs.img",
		Options: "fsva.ip=" + applianceIP + "/24 fsva.p9=xen: fsva.lease=10s fsva.export=data=mem:,squash=none",
	}))
	log := guest.ConsoleLog("fsva")
	x.xen.Start(x, fmt.Sprintf("until grep 'fsva: ready' %s; do sleep 0.5; done", log)).Wait(x, patience)
	x.dom0("grep fsva: " + log)
}

func (x *xenShow) guest() {
	x.say("Start a guest with a stock kernel, which has a 9P device of the appliance's domain")
	x.one = x.xen.Create(x, guest.GuestDomain("guest1", "fsva", "data"))
	x.dom0("grep -v extra /run/guest1.cfg; xl list")
}

func (x *xenShow) mount() {
	x.say("The guest mounts over NFSv4.2, over the bridge in domain 0")
	x.in("mkdir /mnt/nfs && mount.nfs4 " + applianceIP + ":/data /mnt/nfs -o vers=4.2 && grep ' /mnt/nfs ' /proc/mounts | cut -c1-60")
	x.say("and the same by 9P: through memory that the two domains share, past domain 0")
	x.in("insmod /modules/9pnet_xen.ko && mkdir /mnt/9p && mount -t 9p -o trans=xen,version=9p2000.L data /mnt/9p && grep ' /mnt/9p ' /proc/mounts")
}

func (x *xenShow) share() {
	x.say("What is written through one is read through the other")
	x.in("echo hello over NFS >/mnt/nfs/letter")
	x.prints("cat /mnt/9p/letter && echo and through the rings >>/mnt/9p/letter", "hello over NFS\n")
	x.prints("cat /mnt/nfs/letter", "hello over NFS\nand through the rings\n")
}

func (x *xenShow) lock() {
	x.say("A lock that is held over NFS refuses one through the rings, until it is let go")
	held := x.one.Start(x, "exec locker hold /mnt/nfs/lock")
	held.WaitFor(x, "locked", patience)
	tell("guest1# locker hold /mnt/nfs/lock &\nlocked")
	x.prints("locker try /mnt/9p/lock", "busy\n")
	held.Kill()
	tell("guest1# kill %1")
	x.in("until [ $(locker try /mnt/9p/lock) = locked ]; do sleep 0.2; done; echo locked")
}

func (x *xenShow) crash() {
	x.say("The guest is destroyed while it writes; nothing of it is left, and the next one finds its files")
	x.one.Start(x, "while echo line >>/mnt/9p/log; do echo written; done").WaitFor(x, "written", patience)
	x.dom0("xl destroy guest1; xl list")
	x.dom0("xenstore-ls -f /local/domain | grep backend/9pfs/.*/frontend-id || echo no 9P device is left")
	x.one = x.xen.Create(x, guest.GuestDomain("guest2", "fsva", "data"))
	tell("dom0# xl create guest2.cfg")
	x.in("insmod /modules/9pnet_xen.ko && mkdir /mnt/9p && mount -t 9p -o trans=xen,version=9p2000.L data /mnt/9p && cat /mnt/9p/letter && test -s /mnt/9p/log")
}

func (x *xenShow) end() {
	x.say("Turn everything off, the appliance in order")
	x.dom0("xl destroy guest2; xl shutdown -w fsva; xl list")
}

// dom0 has domain 0 carry out a line that must succeed, and shows it.
func (x *xenShow) dom0(line string) {
	tell("dom0# " + line)
	tell(x.xen.Start(x, line).Wait(x, patience))
}

// in has the guest carry out a line that must succeed, shows it, and returns what
// it printed.
func (x *xenShow) in(line string) string {
	tell(x.one.Name() + "# " + line)
	out := x.one.Start(x, line).Wait(x, patience)
	tell(out)
	return out
}

// prints is in for a line that must print that and nothing else.
func (x *xenShow) prints(line, want string) {
	if got := x.in(line); got != want {
		x.Fatalf("%s: %s: prints %q, not %q", x.one.Name(), line, got, want)
	}
}
