package guest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// networkConfig gives the image's machine the address that the harness knows. A
// network card under QEMU has this address if no other is given.
const networkConfig = `version: 2
ethernets:
  eth0:
    match: {macaddress: "52:54:00:12:34:56"}
    set-name: eth0
    addresses: [` + guest.MicroVMIP + `/24]
`

// makeDataDisk has cloud-init make the data disk of a blank one.
const makeDataDisk = "#cloud-config\nfs_setup:\n- {label: fsva-data, filesystem: ext4, device: /dev/vdb, overwrite: false}\n"

// drive makes a CD for NoCloud with those files.
func drive(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	iso := filepath.Join(t.TempDir(), "drive.iso")
	shell(t, "xorriso -as mkisofs -quiet -V cidata -J -r -o "+iso+" "+dir)
	return iso
}

// shell runs a script of a test's own preparations.
func shell(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("/bin/sh", "-ec", "PATH=$PATH:/sbin:/usr/sbin\n"+script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}

// The image with a CD for cloud-init, that has the configuration, too, and with
// a partition for its data: guests mount, and go on over a hang, which the watchdog
// ends, and over a restart, when the partition grows with its disk. Its owner comes
// in by key, and nobody by password, even if cloud-init was told to set one.
func TestDiskImageServesAGrowingDiskAndLetsNobodyInByPassword(t *testing.T) {
	guest.RequireImage(t)
	n := guest.NewNetwork(t)
	dir := t.TempDir()
	key, data := filepath.Join(dir, "key"), filepath.Join(dir, "data")
	shell(t, fmt.Sprintf(`ssh-keygen -q -t ed25519 -N '' -f %[1]s
		mkdir -p %[3]s/files/export && echo before >%[3]s/files/export/keep
		truncate -s 202M %[2]s
		echo 'start=1MiB, size=200MiB' | sfdisk -q -X gpt %[2]s
		mkfs.ext4 -q -L fsva-data -d %[3]s/files -E offset=1048576 %[2]s 200M
		truncate -s 600M %[2]s`, key, data, dir))
	public, err := os.ReadFile(key + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	cd := drive(t, map[string]string{
		"meta-data":      "instance-id: one\nlocal-hostname: files\n",
		"network-config": networkConfig,
		"user-data": fmt.Sprintf("#cloud-config\nssh_authorized_keys: [%q]\nssh_pwauth: true\npassword: secret\nchpasswd: {expire: false}\n",
			strings.TrimSpace(string(public))),
		"fsva.yaml": "nfs: \"[::]:2049\"\np9: [\"tcp://[::]:564\"]\nadmin: \"[::]:9049\"\nlease: 10s\nexports:\n- name: data\n  url: host:/data/export\n  squash: none\n",
	})
	system := guest.NewImageDisk(t)
	began := time.Now()
	vm := guest.BootImage(t, n, system, cd, data)
	vm.WaitFor(t, "fsva: ready nfs=[::]:2049")
	t.Logf("ready %.0f s after power on", time.Since(began).Seconds())
	vm.Health(t, 200)
	g := guest.Boot(t, n)
	g.Run(t, mountMicroVM("data")+`[ "$(cat /mnt/1/keep)" = before ]
		[ $(df -m --output=size /mnt/1 | tail -1) -gt 500 ]
		mkdir /mnt/1/user && chown 1000 /mnt/1/user && mknod /mnt/1/null c 1 3 && chmod 6755 /mnt/1/keep
		[ "$(stat -c %a /mnt/1/keep)" = 6755 ]
		modprobe -d /run/modules 9p && mkdir /mnt/2
		mount -t 9p -o trans=tcp,port=564,version=9p2000.L,aname=data,access=user `+guest.MicroVMIP+` /mnt/2
		[ "$(cat /mnt/2/keep)" = before ] && umount /mnt/2`)
	g.RunAs(t, 1000, "echo kept >/mnt/1/user/new && sync /mnt/1/user/new")

	options := "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=60 -o BatchMode=yes debian@" + guest.MicroVMIP
	for _, user := range []string{"root", "debian"} {
		out := n.Run(t, "! ssh -l "+user+" -o PubkeyAuthentication=no "+options+" true 2>&1")
		if !strings.Contains(out, "Permission denied (publickey).") {
			t.Errorf("who has no key as %s is told %s", user, out)
		}
	}
	inMachine := func(script string) string { return n.Run(t, "ssh -i "+key+" "+options+" '"+script+"' 2>&1") }
	out := inMachine(`systemctl is-active fsva fsva-disks
		systemctl show -P StatusText -P NRestarts fsva
		hostname
		[ $(df -m --output=size / | tail -1) -gt 3000 ] && echo the root has grown
		cat /proc/[0-9]*/comm | grep getty || echo no getty
		sudo cat /root/.ssh/authorized_keys /home/*/.ssh/authorized_keys | grep "build of the image" || echo no key of the build
		sudo cat /proc/$(systemctl show -P MainPID fsva)/status`)
	for _, want := range []string{"active\nactive\n", "health ok", "\n0\n", "files\n", "the root has grown", "no getty", "no key of the build",
		"CapBnd:\t00000000080004df", "CapEff:\t00000000080004df", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in the machine, but:\n%s", want, out)
		}
	}

	work := g.Start(t, `for i in $(seq 60); do echo line $i >>/mnt/1/log; sync /mnt/1/log; echo round $i; sleep 0.2; done`)
	work.WaitFor(t, "round 10\n", 2*time.Minute)
	inMachine(`sudo kill -STOP $(cat /proc/$(systemctl show -P MainPID fsva)/task/*/children)
		until [ $(systemctl show -P NRestarts fsva) -ge 1 ]; do sleep 1; done
		sudo journalctl -u fsva | grep -q "Watchdog timeout"`)
	work.WaitFor(t, "round 30\n", 2*time.Minute)
	vm.PressPower(t)
	if err := os.Truncate(data, 900<<20); err != nil {
		t.Fatal(err)
	}
	vm = guest.BootImage(t, n, system, cd, data)
	vm.Health(t, 200)
	work.Wait(t, 3*time.Minute)
	g.Run(t, `[ "$(cat /mnt/1/keep /mnt/1/user/new)" = "$(printf 'before\nkept')" ]
		for i in $(seq 60); do echo line $i; done | cmp - /mnt/1/log
		[ $(df -m --output=size /mnt/1 | tail -1) -gt 800 ]
		umount /mnt/1`)
	vm.PressPower(t)
	shell(t, "dd if="+data+" of="+data+".1 bs=1M skip=1 status=none && e2fsck -fn "+data+".1")
}

// A configuration that is wrong is told of with its line, on the console and at
// the health address, and nothing is served. A disk that is not the appliance's
// is not written to, though cloud-init is told to make a blank one its data disk.
func TestDiskImageWithABrokenConfigurationServesNothing(t *testing.T) {
	guest.RequireImage(t)
	t.Parallel()
	n := guest.NewNetwork(t)
	cd := drive(t, map[string]string{
		"meta-data": "instance-id: one\n", "user-data": makeDataDisk, "network-config": networkConfig,
		"fsva.yaml": "nfs: 0.0.0.0:2049\nexports:\n- name: data\n  url: host:/data/export\n  sqash: all\n",
	})
	precious := image(t, "precious", map[string]string{"file": "text"})
	before := sum(t, precious)
	vm := guest.BootImage(t, n, guest.NewImageDisk(t), cd, precious)
	if got := vm.Health(t, 503); !strings.Contains(got, `fsva.yaml:5: unknown key \"sqash\"`) {
		t.Errorf("the health address says %s", got)
	}
	vm.WaitFor(t, `fsva.yaml:5: unknown key "sqash"`)
	n.Run(t, "! timeout 5 bash -c 'exec 3<>/dev/tcp/"+guest.MicroVMIP+"/2049' 2>/dev/null")
	vm.PressPower(t)
	if !bytes.Equal(before, sum(t, precious)) {
		t.Error("the disk was written to")
	}
}

// Told nothing, it asks for an address by DHCP, and refuses to take a disk for
// its own that has another label.
func TestDiskImageRefusesAStrangeDisk(t *testing.T) {
	guest.RequireImage(t)
	t.Parallel()
	n := guest.NewNetwork(t)
	guest.ServeDHCP(t, n)
	precious := image(t, "precious", map[string]string{"file": "text"})
	before := sum(t, precious)
	vm := guest.BootImage(t, n, guest.NewImageDisk(t), precious)
	if got := vm.Health(t, 503); !strings.Contains(got, "none with the label fsva-data") {
		t.Errorf("the health address says %s", got)
	}
	vm.WaitFor(t, `holds ext4 labelled "precious" and is left alone`)
	vm.PressPower(t)
	if !bytes.Equal(before, sum(t, precious)) {
		t.Error("the disk was written to")
	}
}

// cloud-init makes a data disk of a blank one if it is asked to, and there may be
// no configuration then. The machine is started by UEFI.
func TestDiskImageServesADiskThatCloudInitHasMade(t *testing.T) {
	guest.RequireImage(t)
	t.Parallel()
	n := guest.NewNetwork(t)
	cd := drive(t, map[string]string{
		"meta-data": "instance-id: one\n", "network-config": networkConfig,
		"user-data": makeDataDisk,
	})
	vm := guest.BootImage(t, n, guest.NewImageDisk(t), cd, image(t, "", nil), "/usr/share/ovmf/OVMF.fd")
	vm.Health(t, 200)
	g := guest.Boot(t, n)
	g.Run(t, mountMicroVM("data"))
	g.RunAs(t, 1000, "echo hello >/mnt/1/file")
	vm.PressPower(t)
}
