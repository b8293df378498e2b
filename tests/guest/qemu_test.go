package guest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// overMachines runs a test on each kernel, with PCI and with MMIO.
func overMachines(t *testing.T, test func(t *testing.T, m guest.Machine)) {
	for _, kernel := range []string{"6.1", "6.12"} {
		for _, kind := range []string{"q35", "microvm"} {
			t.Run(kernel+" "+kind, func(t *testing.T) {
				t.Parallel()
				test(t, guest.Machine{Kernel: kernel, Type: kind})
			})
		}
	}
}

// share is a directory that a virtio 9P device serves.
type share struct {
	tag, dir, socket string
}

// mount is the script that mounts it at /mnt and its tag.
func (s share) mount() string { return s.mountWith("cache=none") }

func (s share) mountWith(option string) string {
	return fmt.Sprintf("mkdir -p /mnt/%[1]s && mount -t 9p -o trans=virtio,version=9p2000.L,msize=512000,%[2]s %[1]s /mnt/%[1]s\n", s.tag, option)
}

func TestMachineMountsTwoVirtioDevices(t *testing.T) {
	overMachines(t, func(t *testing.T, m guest.Machine) {
		n := guest.NewNetwork(t)
		shares := serveVirtio(t, n, "a", "b")
		a, b := shares[0], shares[1]
		m.P9 = []string{a.socket, b.socket}
		g := guest.BootMachine(t, n, m)
		g.Run(t, a.mount()+b.mount())

		big := make([]byte, 20<<20)
		for i := range big {
			big[i] = byte(i * i >> 7)
		}
		if err := os.WriteFile(filepath.Join(a.dir, "big"), big, 0o644); err != nil {
			t.Fatal(err)
		}
		g.Run(t, `cp /mnt/a/big /mnt/b/copy
			[ "$(md5sum </mnt/a/big)" = "$(md5sum </mnt/b/copy)" ]
			echo hello >/mnt/a/new
			mkdir -p /mnt/a/many && cd /mnt/a/many
			for i in $(seq 1000); do : >"file-with-a-rather-long-name-$i"; done
			[ "$(ls | wc -l)" = 1000 ]
			for i in 1 2 3 4 5 6 7 8; do dd if=/mnt/a/big of=/dev/null bs=64k skip=$i & done
			wait`)
		copied, err := os.ReadFile(filepath.Join(b.dir, "copy"))
		if err != nil || string(copied) != string(big) {
			t.Errorf("the copy differs: %d bytes, %v", len(copied), err)
		}
		if new, err := os.ReadFile(filepath.Join(a.dir, "new")); err != nil || string(new) != "hello\n" {
			t.Errorf("the guest's file has %q: %v", new, err)
		}
		g.Run(t, "umount /mnt/a\n"+a.mount()+`[ "$(cat /mnt/a/new)" = hello ]`)

		// A page that is written back has what was appended before.
		g.Run(t, "umount /mnt/b\n"+b.mountWith("cache=mmap")+`cd /mnt/b
			exec 3>>log
			for i in 1 2 3; do echo $i >&3; sync; done
			exec 3>&-`)
		if log, err := os.ReadFile(filepath.Join(b.dir, "log")); err != nil || string(log) != "1\n2\n3\n" {
			t.Errorf("what was appended is %q: %v", log, err)
		}
	})
}

func TestMachineRebootsAndReloadsItsDriver(t *testing.T) {
	overMachines(t, func(t *testing.T, m guest.Machine) {
		n := guest.NewNetwork(t)
		s := serveVirtio(t, n, "share")[0]
		if err := os.WriteFile(filepath.Join(s.dir, "file"), []byte("here\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		m.P9 = []string{s.socket}
		g := guest.BootMachine(t, n, m)
		use := s.mount() + `[ "$(cat /mnt/share/file)" = here ]` + "\n"
		g.Run(t, use)
		g.Reboot(t)
		g.Run(t, use+"umount /mnt/share")
		for range 3 {
			g.Run(t, "rmmod 9pnet_virtio && insmod /modules/9pnet_virtio.ko\n"+use+"umount /mnt/share")
		}
	})
}

func TestMachineWithMemoryInTwoRegions(t *testing.T) {
	n := guest.NewNetwork(t)
	s := serveVirtio(t, n, "share")[0]
	g := guest.BootMachine(t, n, guest.Machine{Kernel: "6.12", Type: "q35", Memory: "6G", P9: []string{s.socket}})
	g.Run(t, s.mount()+"echo high >/mnt/share/file")
	if b, err := os.ReadFile(filepath.Join(s.dir, "file")); err != nil || string(b) != "high\n" {
		t.Errorf("the guest's file has %q: %v", b, err)
	}
}

// A machine that stands still takes its rings away and brings them back.
func TestMachineIsPausedInTheMiddleOfItsWork(t *testing.T) {
	n := guest.NewNetwork(t)
	s := serveVirtio(t, n, "share")[0]
	m := guest.Machine{Kernel: "6.12", Type: "q35", P9: []string{s.socket}, QMP: filepath.Join(t.TempDir(), "qmp")}
	g := guest.BootMachine(t, n, m)
	g.Run(t, s.mount())
	work := g.Start(t, `cd /mnt/share
		for i in $(seq 40); do
			dd if=/dev/urandom of=a bs=64k count=16 2>/dev/null
			cp a b
			[ "$(md5sum <a)" = "$(md5sum <b)" ]
			echo round $i
		done`)
	for i := range 8 {
		work.WaitFor(t, fmt.Sprintf("round %d\n", 4*i+1), 3*time.Minute)
		m.Monitor(t, "stop", "cont")
	}
	work.Wait(t, 5*time.Minute)
}

func TestMachineThatIsKilledMakesRoomForAnother(t *testing.T) {
	n := guest.NewNetwork(t)
	s := serveVirtio(t, n, "share")[0]
	m := guest.Machine{Kernel: "6.1", Type: "q35", P9: []string{s.socket}}
	for range 3 {
		g := guest.BootMachine(t, n, m)
		g.Run(t, s.mount())
		work := g.Start(t, `while :; do dd if=/dev/zero of=/mnt/share/file bs=64k count=64 2>/dev/null; echo round; done`)
		work.WaitFor(t, "round", 3*time.Minute)
		g.Kill()
	}
}

// A relay is the machine's device, and the appliance is elsewhere.
func TestMachineMountsThroughARelay(t *testing.T) {
	guest.RequireQEMU(t)
	n := guest.NewNetwork(t)
	dir := publicDir(t)
	local := filepath.Join(t.TempDir(), "9p")
	srv := guest.StartApplianceWith(t, n, "--export", "data=host:"+dir+",squash=none", "--export", "other=mem:", "--p9", "unix://"+local)
	a := share{tag: "tcp", dir: dir, socket: filepath.Join(t.TempDir(), "vhost-user")}
	b := share{tag: "unix", dir: dir, socket: filepath.Join(t.TempDir(), "vhost-user")}
	relay := guest.StartRelay(t, n, "--socket", a.socket, "--tag", a.tag, "--export", "data", "--to", "tcp://"+srv.IP()+":564")
	guest.StartRelay(t, n, "--socket", b.socket, "--tag", b.tag, "--to", "unix://"+local)

	g := guest.BootMachine(t, n, guest.Machine{Kernel: "6.12", Type: "q35", P9: []string{a.socket, b.socket}})
	mountB := strings.Replace(b.mount(), "msize=512000", "msize=512000,aname=data", 1)
	g.Run(t, a.mount()+mountB+`cd /mnt/tcp
		dd if=/dev/urandom of=big bs=1M count=16 2>/dev/null
		cp big /mnt/unix/copy
		[ "$(md5sum <big)" = "$(md5sum </mnt/unix/copy)" ]
		mkdir many
		for i in $(seq 300); do : >"many/file-with-a-rather-long-name-$i"; done
		[ "$(ls /mnt/unix/many | wc -l)" = 300 ]
		for i in 1 2 3 4 5 6 7 8; do dd if=big of=/dev/null bs=64k skip=$i & done
		wait
		cd / && umount /mnt/tcp /mnt/unix
		! mount -t 9p -o trans=virtio,version=9p2000.L,aname=other tcp /mnt/tcp
	`+a.mount()+`[ -f /mnt/tcp/copy ]`)

	// The mount does not outlive the appliance; the device does.
	srv.Crash(t)
	g.Start(t, "ls /mnt/tcp")
	relay.WaitForLog(t, "stopped until the guest resets it", 3*time.Minute)
	g.Reboot(t)
	g.Run(t, a.mount()+`[ -f /mnt/tcp/copy ]`)
}

// serveVirtio has the appliance serve a directory for each tag to machines that
// are to be booted.
func serveVirtio(t *testing.T, n *guest.Network, tags ...string) (shares []share) {
	t.Helper()
	guest.RequireQEMU(t)
	var flags []string
	for _, tag := range tags {
		s := share{tag: tag, dir: publicDir(t), socket: filepath.Join(t.TempDir(), "vhost-user")}
		shares = append(shares, s)
		flags = append(flags, "--export", tag+"=host:"+s.dir+",squash=none",
			"--p9", "virtio://"+s.socket+"?export="+tag+"&tag="+tag)
	}
	guest.StartApplianceWith(t, n, flags...)
	return shares
}

// publicDir is a directory that anybody may look at: Linux attaches as nobody
// first, and the parents of t.TempDir are only its owner's.
func publicDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "fsva-share-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
