package guest_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// emulated is how long a domain may take for a step of its work. It needs a tenth
// of that where nothing else runs; where much does, most of the time of the emulated
// processor is the clock's.
const emulated = 10 * time.Minute

// slack goes before programs in Go, whose runtime looks every 20 µs whether a
// system call takes longer than that. Here each does, and to look takes longer than
// the call: so it is to sleep for 20 ms (PR_SET_TIMERSLACK in prctl(2)).
const slack = "echo 20000000 >/proc/self/timerslack_ns"

// xenSite is a hypervisor with an appliance domain, which serves what is in
// memory as data, and a mounted file system as disk: to the rings of other
// domains, and over the bridge of domain 0.
type xenSite struct {
	x         *guest.Xen
	appliance *guest.Guest
	log       *guest.Command
}

func newXenSite(t *testing.T) *xenSite {
	t.Helper()
	guest.RequireQEMU(t)
	n := guest.NewNetwork(t)
	programs := []string{"/etc/netconfig", "/etc/protocols"} // mount.nfs4 reads them
	for _, name := range []string{"setfattr", "getfattr", "mount.nfs4"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, path)
	}
	tree, err := filepath.Abs("prog")
	if err != nil {
		t.Fatal(err)
	}
	s := &xenSite{x: guest.BootXen(t, n, guest.XenHost{Programs: programs, Tree: tree})}
	s.appliance = s.x.Create(t, guest.ApplianceDomain("fsva"))
	s.log = s.appliance.Start(t, `mkdir /srv && mount -t tmpfs srv /srv
		`+slack+`
		exec /appliance serve --nfs 0.0.0.0:2049 --admin off --p9 xen: \
			--export data=mem:,squash=none --export disk=host:/srv,squash=none 2>&1`)
	s.log.WaitFor(t, "\nready", emulated)
	return s
}

// guest starts a domain that mounts an export at /mnt and its name.
func (s *xenSite) guest(t *testing.T, name, export string) *guest.Guest {
	t.Helper()
	g := s.x.Create(t, guest.GuestDomain(name, "fsva", export))
	g.Run(t, "insmod /modules/9pnet_xen.ko\n"+mountXen(export))
	return g
}

func mountXen(tag string) string {
	return fmt.Sprintf("mkdir -p /mnt/%[1]s\nmount -t 9p -o trans=xen,version=9p2000.L,msize=524288,cache=mmap %[1]s /mnt/%[1]s\n", tag)
}

// A guest writes a tree in the directory that it is in, and a file that is larger
// than a ring, by 16 processes at the same time; another one checks them.
const (
	// Each read is a request: md5sum's own have 4 KiB.
	xenSum = `
		sum() { dd if="$1" bs=64k 2>/dev/null | md5sum; }
`
	xenWrite = xenSum + `
		cp -r /tree copy
		(cd /tree && find . -type f | sort | xargs md5sum) >sums
		dd if=/dev/urandom of=big bs=256k count=12 2>/dev/null
		for i in $(seq 0 15); do dd if=big of=parts bs=192k count=1 skip=$i seek=$i conv=notrunc 2>/dev/null & done
		wait
		sum big >big.sum
`
	xenCheck = xenSum + `
		(cd copy && md5sum -c -s ../sums)
		[ $(find copy | wc -l) = $(find /tree | wc -l) ]
		[ "$(sum big)" = "$(cat big.sum)" ]
		[ "$(sum parts)" = "$(cat big.sum)" ]
`
	xenUse = slack + `
		openunlink check .
		mmapwriter -pages 20 mapped | tee /run/mapped
		[ "$(sha256sum <mapped | cut -d' ' -f1)" = "$(sed -n 's/^sum //p' /run/mapped)" ]
		rm -r mapped
`
)

// One machine takes long to boot, so that all is one test. Steps go on from
// those before: the first that fails is the last.
func TestXenDomainsMountWhatAnotherServes(t *testing.T) {
	s := newXenSite(t)
	a, b := s.guest(t, "a", "data"), s.guest(t, "b", "data")
	for _, step := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"what one guest writes the other reads", func(t *testing.T) { s.share(t, a, b) }},
		{"a byte-range lock of one guest refuses the other", func(t *testing.T) { s.lock(t, a, b) }},
		{"extended attributes of one guest are seen by the other", func(t *testing.T) { s.attributes(t, a, b) }},
		{"devices are added to a guest that runs, and taken away", func(t *testing.T) { s.devices(t, a, b) }},
		{"NFSv4.2 over the bridge of domain 0 has the same files and locks", func(t *testing.T) { s.nfs(t, a, b) }},
		{"a guest that is destroyed while it writes leaves nothing behind", func(t *testing.T) { s.destroy(t, a, b) }},
	} {
		began := time.Now()
		if !t.Run(step.name, step.run) {
			return
		}
		t.Logf("%s: %.0f s", step.name, time.Since(began).Seconds())
	}
}

func (s *xenSite) share(t *testing.T, a, b *guest.Guest) {
	writes := []*guest.Command{
		a.Start(t, "mkdir /mnt/data/a && cd /mnt/data/a\n"+xenWrite),
		b.Start(t, "mkdir /mnt/data/b && cd /mnt/data/b\n"+xenWrite),
	}
	for _, w := range writes {
		w.Wait(t, emulated)
	}
	reads := []*guest.Command{
		a.Start(t, "cd /mnt/data/b\n"+xenCheck+xenUse),
		b.Start(t, "cd /mnt/data/a\n"+xenCheck),
	}
	for _, r := range reads {
		r.Wait(t, emulated)
	}
}

func (s *xenSite) lock(t *testing.T, a, b *guest.Guest) {
	held := holdXenLock(t, a)
	if got := b.Run(t, "locker try /mnt/data/lock 50 10; locker try /mnt/data/lock 100 10"); got != "busy\nlocked\n" {
		t.Errorf("the other guest finds a byte of the lock, and the one behind it, %q", got)
	}
	waiting := b.Start(t, "exec locker hold /mnt/data/lock")
	held.Kill()
	waiting.WaitFor(t, "locked", emulated)
	waiting.Kill()
}

// holdXenLock returns when the guest has the first 100 bytes.
func holdXenLock(t *testing.T, g *guest.Guest) *guest.Command {
	t.Helper()
	c := g.Start(t, "exec locker hold /mnt/data/lock 0 100")
	c.WaitFor(t, "locked", emulated)
	return c
}

func (s *xenSite) attributes(t *testing.T, a, b *guest.Guest) {
	a.Run(t, "cd /mnt/data && echo hello >file && setfattr -n user.one -v first file && setfattr -n user.two -v second file")
	if got := b.Run(t, "cd /mnt/data && getfattr --only-values -n user.one file"); got != "first" {
		t.Errorf("the other guest reads %q", got)
	}
	b.Run(t, "cd /mnt/data && setfattr -x user.one file")
	if got := a.Run(t, "cd /mnt/data && getfattr file"); !strings.Contains(got, "user.two") || strings.Contains(got, "user.one") {
		t.Errorf("the attributes that are left: %q", got)
	}
}

func (s *xenSite) devices(t *testing.T, a, b *guest.Guest) {
	s.attach(t, "a", 1, "disk", "disk")
	s.attach(t, "b", 1, "disk", "late")
	b.Run(t, mountXen("late")+"echo late >/mnt/late/file\numount /mnt/late")
	if got := a.Run(t, mountXen("disk")+"cat /mnt/disk/file"); got != "late\n" {
		t.Errorf("the other guest reads %q", got)
	}
	s.detach(t, "b", 1)
	b.Run(t, "while [ -e /sys/bus/xen/devices/9pfs-1 ]; do sleep 0.1; done\nfails mount -t 9p -o trans=xen,version=9p2000.L late /mnt/late\ntest -e /mnt/data/file")
}

func (s *xenSite) nfs(t *testing.T, a, b *guest.Guest) {
	b.Run(t, fmt.Sprintf("mkdir -p /mnt/nfs && mount.nfs4 %s:/data /mnt/nfs -o vers=4.2 && grep -q ' /mnt/nfs nfs4 ' /proc/mounts", s.appliance.IP()))
	b.Start(t, "cd /mnt/nfs/a\n"+xenCheck).Wait(t, emulated)
	b.Run(t, "echo over NFS >/mnt/nfs/letter")
	if got := a.Run(t, "cat /mnt/data/letter"); got != "over NFS\n" {
		t.Errorf("the other guest reads %q", got)
	}
	held := holdXenLock(t, a)
	if got := b.Run(t, "locker try /mnt/nfs/lock 50 10; locker try /mnt/nfs/lock 100 10"); got != "busy\nlocked\n" {
		t.Errorf("over NFS, a byte of the lock and the one behind it are %q", got)
	}
	held.Kill()
	b.Run(t, "umount /mnt/nfs")
}

func (s *xenSite) destroy(t *testing.T, a, b *guest.Guest) {
	held := holdXenLock(t, a)
	waiting := b.Start(t, "exec locker hold /mnt/data/lock 50 10")
	writing := a.Start(t, "for i in $(seq 100000); do dd if=/dev/zero of=/mnt/disk/endless bs=256k count=4 2>/dev/null; echo round; done")
	writing.WaitFor(t, "round", emulated)
	meanwhile := b.Start(t, "mkdir /mnt/data/c && cd /mnt/data/c\n"+xenWrite)
	s.x.Destroy(t, a)
	waiting.WaitFor(t, "locked", emulated)
	meanwhile.Wait(t, emulated)
	held.Kill()
	if got := s.x.Run(t, "xenstore-ls -f /local/domain | grep backend/9pfs/.*/frontend-id || :"); strings.Count(got, "\n") != 1 {
		t.Errorf("devices that are left:\n%s", got)
	}
	if got := s.log.Output(); strings.Contains(got, `"level":"error"`) {
		t.Errorf("the appliance has complained:\n%s", got)
	}
	again := s.guest(t, "again", "disk")
	again.Run(t, "test -e /mnt/disk/endless && echo here >/mnt/disk/new && [ $(cat /mnt/disk/new) = here ]")
}

// attach gives a domain that runs a device. xl knows of none but those that a
// domain has from the beginning.
func (s *xenSite) attach(t *testing.T, domain string, index int, export, tag string) {
	t.Helper()
	s.x.Run(t, s.paths(domain, index)+fmt.Sprintf(`
		xenstore-write $back "" $front ""
		xenstore-chmod $back n$fsva r$guest
		xenstore-chmod $front n$guest r$fsva
		xenstore-write $back/frontend $front $back/frontend-id $guest $back/online 1 $back/path /%s $back/security_model none $back/state 1 \
			$front/backend $back $front/backend-id $fsva $front/tag %s $front/state 1 \
			$libxl/frontend $front $libxl/backend $back
		for i in $(seq 600); do
			[ "$(xenstore-read $front/state)" != 4 ] || exit 0
			sleep 0.1
		done
		xenstore-ls -f $back; xenstore-ls -f $front; exit 1`, export, tag))
}

// detach takes it away, as the toolstack does.
func (s *xenSite) detach(t *testing.T, domain string, index int) {
	t.Helper()
	s.x.Run(t, s.paths(domain, index)+`
		xenstore-write $back/online 0 $back/state 5
		for i in $(seq 600); do
			xenstore-exists $back || break
			sleep 0.1
		done
		if xenstore-exists $back; then xenstore-ls -f $back; exit 1; fi
		xenstore-rm $front $libxl`)
}

func (s *xenSite) paths(domain string, index int) string {
	return fmt.Sprintf(`fsva=$(xl domid fsva) guest=$(xl domid %[1]s)
		front=/local/domain/$guest/device/9pfs/%[2]d back=/local/domain/$fsva/backend/9pfs/$guest/%[2]d
		libxl=/libxl/$guest/device/9pfs/%[2]d`, domain, index)
}
