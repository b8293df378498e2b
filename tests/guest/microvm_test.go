package guest_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// static gives a microVM the address that the harness knows.
const static = "fsva.ip=" + guest.MicroVMIP + "/24"

// image makes a file for a disk, with an ext4 file system that has that label
// and those files, or none if label is empty.
func image(t *testing.T, label string, files map[string]string) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "disk")
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	script := "truncate -s 128M " + disk
	if label != "" {
		script += " && PATH=$PATH:/sbin mkfs.ext4 -q -L " + label + " -d " + dir + " " + disk
	}
	if out, err := exec.Command("/bin/sh", "-c", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return disk
}

// mountMicroVM is the script that mounts an export of a microVM at /mnt/1.
func mountMicroVM(export string) string {
	return fmt.Sprintf("mount -t nfs4 -o vers=4.2,port=2049,retrans=2,timeo=50 %s:/%s /mnt/1\n", guest.MicroVMIP, export)
}

// A guest goes on after the appliance's machine was killed in the middle of
// its work, with its files and its lock; and by the power button everything is
// written and unmounted.
func TestMicroVMIsKilledWhileAGuestWrites(t *testing.T) {
	for _, kind := range []string{"q35", "microvm"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			guest.RequireMicroVM(t)
			n := guest.NewNetwork(t)
			disk := image(t, "", nil)
			params := static + " fsva.format=vda fsva.lease=10s fsva.export=data=host:/data,squash=none"
			vm := guest.BootMicroVM(t, n, kind, params, disk)
			g := guest.Boot(t, n)
			vm.Health(t, 200)
			g.Run(t, mountMicroVM("data")+"echo before >/mnt/1/before")
			work := g.Start(t, `exec 9>/mnt/1/lock
				flock -n 9
				for i in $(seq 60); do
					echo line $i >>/mnt/1/log
					sync /mnt/1/log
					echo round $i
					sleep 0.2
				done
				flock -n 9`)
			work.WaitFor(t, "round 20\n", 3*time.Minute)
			vm.Kill()
			vm = guest.BootMicroVM(t, n, kind, params, disk)
			vm.WaitFor(t, "data disk vda")
			work.Wait(t, 5*time.Minute)
			g.Run(t, `[ "$(cat /mnt/1/before)" = before ]
				for i in $(seq 60); do echo line $i; done | cmp - /mnt/1/log
				umount /mnt/1`)

			vm.PressPower(t)
			if out, err := exec.Command("/sbin/e2fsck", "-fn", disk).CombinedOutput(); err != nil {
				t.Errorf("the data disk was not unmounted well: %v\n%s", err, out)
			}
		})
	}
}

// A microVM that is given nothing but a data disk serves its directory export,
// and asks for an address.
func TestMicroVMNeedsNoConfiguration(t *testing.T) {
	guest.RequireMicroVM(t)
	n := guest.NewNetwork(t)
	guest.ServeDHCP(t, n)
	vm := guest.BootMicroVM(t, n, "q35", "", image(t, "fsva-data", nil))
	vm.WaitFor(t, "fsva: ready nfs=[::]:2049 admin=[::]:9049")
	vm.WaitFor(t, "addresses: "+guest.MicroVMIP)
	g := guest.Boot(t, n)
	g.Run(t, mountMicroVM("data"))
	g.RunAs(t, 1000, "echo hello >/mnt/1/file")
	g.Run(t, "fails cat /mnt/1/../state/state.db; [ ! -e /mnt/1/state ]")
}

// The drivers of these are packed in the initramfs.
func TestMicroVMServesADataDiskOfXFSOrBtrfs(t *testing.T) {
	guest.RequireMicroVM(t)
	for kind, mkfs := range map[string]string{"xfs": "mkfs.xfs -q", "btrfs": "mkfs.btrfs -q"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			disk := filepath.Join(t.TempDir(), "disk")
			script := "truncate -s 512M " + disk + " && PATH=$PATH:/sbin " + mkfs + " -L fsva-data " + disk
			if out, err := exec.Command("/bin/sh", "-c", script).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			n := guest.NewNetwork(t)
			vm := guest.BootMicroVM(t, n, "microvm", static, disk)
			vm.WaitFor(t, "data disk vda: "+kind)
			vm.WaitFor(t, "fsva: ready ")
			g := guest.Boot(t, n)
			g.Run(t, mountMicroVM("data"))
			g.RunAs(t, 1000, "echo hello >/mnt/1/file && sync /mnt/1/file")
		})
	}
}

func TestMicroVMWithABrokenConfigurationServesNothing(t *testing.T) {
	guest.RequireMicroVM(t)
	const broken = "nfs: 0.0.0.0:2049\nexports:\n- name: data\n  url: host:/data/export\n  sqash: all\n"
	for _, c := range []struct{ name, params, want string }{
		{"in the configuration", "", `fsva.yaml:5: unknown key \"sqash\"`},
		{"on the command line", "fsva.exprt=a=mem:", "fsva.exprt=a=mem:: unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := guest.NewNetwork(t)
			vm := guest.BootMicroVM(t, n, "microvm", static+" "+c.params, image(t, "fsva-data", nil), image(t, "fsva-config", map[string]string{"fsva.yaml": broken}))
			if got := vm.Health(t, 503); !strings.Contains(got, c.want) {
				t.Errorf("the health address says %s", got)
			}
			vm.WaitFor(t, strings.ReplaceAll(c.want, `\`, ""))
			n.Run(t, "! timeout 5 bash -c 'exec 3<>/dev/tcp/"+guest.MicroVMIP+"/2049' 2>/dev/null")
			vm.PressPower(t)
		})
	}
}

// Whatever is asked for, a disk that holds something is not written to.
func TestMicroVMLeavesAStrangeDiskAlone(t *testing.T) {
	guest.RequireMicroVM(t)
	for _, c := range []struct{ name, params, want string }{
		{"when it is to be formatted", "fsva.format=vda", `holds ext4 labelled \"precious\", and is left alone`},
		{"when nothing is asked for", "", `none with the label fsva-data`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := guest.NewNetwork(t)
			disk := image(t, "precious", map[string]string{"file": "text"})
			before := sum(t, disk)
			vm := guest.BootMicroVM(t, n, "microvm", static+" "+c.params, disk)
			if got := vm.Health(t, 503); !strings.Contains(strings.ReplaceAll(got, "but ", ""), c.want) {
				t.Errorf("the health address says %s", got)
			}
			vm.WaitFor(t, `disk vda holds ext4 labelled "precious" and is left alone`)
			vm.PressPower(t)
			if !bytes.Equal(before, sum(t, disk)) {
				t.Error("the disk was written to")
			}
		})
	}
}

func sum(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := sha256.Sum256(b)
	return s[:]
}

// The same sources and packages give the same bytes, wherever and by whomever
// they are built.
func TestMicroVMIsReproducible(t *testing.T) {
	_, initramfs := guest.RequireMicroVM(t)
	out := t.TempDir()
	cmd := exec.Command("/bin/sh", "-c", `umask 077; export TMPDIR="$1" TZ=Asia/Tokyo; exec nice ../../images/microvm/build.sh "$1/microvm" ../../images/out/cache`, "sh", out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	for _, name := range []string{"vmlinuz", "initramfs.img"} {
		if !bytes.Equal(sum(t, filepath.Join(out, "microvm", name)), sum(t, filepath.Join(filepath.Dir(initramfs), name))) {
			t.Errorf("%s differs from that of make microvm", name)
		}
	}
}

// Prints how long a guest waits until it has mounted from a microVM that is
// started, beside how long the same kernel takes to a shell.
func TestMicroVMBootTime(t *testing.T) {
	guest.RequireMicroVM(t)
	n := guest.NewNetwork(t)
	g := guest.Boot(t, n)
	for _, kind := range []string{"q35", "microvm"} {
		var shell, mount time.Duration
		for range 7 {
			began := time.Now()
			s := guest.BootShell(t, n, kind)
			s.WaitFor(t, "shell")
			shell = least(shell, time.Since(began))
			s.Kill()

			began = time.Now()
			vm := guest.BootMicroVM(t, n, kind, static+" fsva.export=data=mem:")
			vm.WaitFor(t, "fsva: ready ") // to ask before, over and over, takes time from it
			g.Run(t, mountMicroVM("data"))
			mount = least(mount, time.Since(began))
			g.Run(t, "umount /mnt/1")
			vm.Kill()
		}
		t.Logf("%s: shell %.2fs, mounted %.2fs, ratio %.2f", kind, shell.Seconds(), mount.Seconds(), mount.Seconds()/shell.Seconds())
	}
}

func least(best, d time.Duration) time.Duration {
	if best == 0 {
		return d
	}
	return min(best, d)
}
