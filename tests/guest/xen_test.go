package guest_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// emulated is how long a domain may take for a step of its work.
const emulated = 5 * time.Minute

// xenSite is a hypervisor with an appliance domain, which serves what is in
// memory as data, and a mounted file system as disk.
type xenSite struct {
	x         *guest.Xen
	appliance *guest.Guest
	log       *guest.Command
}

func newXenSite(t *testing.T) *xenSite {
	t.Helper()
	n := guest.NewNetwork(t)
	var programs []string
	for _, name := range []string{"setfattr", "getfattr"} {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, path)
	}
	s := &xenSite{x: guest.BootXen(t, n, programs...)}
	s.appliance = s.x.Create(t, guest.ApplianceDomain("fsva"))
	s.log = s.appliance.Start(t, `mkdir /srv && mount -t tmpfs srv /srv
		exec /appliance serve --nfs 127.0.0.1:2049 --admin off --p9 xen: \
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
	return fmt.Sprintf("mkdir -p /mnt/%[1]s\nmount -t 9p -o trans=xen,version=9p2000.L,msize=262144,cache=mmap %[1]s /mnt/%[1]s\n", tag)
}

// xenWork is what a guest does in the directory that it is in.
const xenWork = `
	cp -r /tree copy
	(cd /tree && find . -type f | sort | xargs md5sum) >sums
	(cd copy && md5sum -c -s ../sums)
	[ $(find copy | wc -l) = $(find /tree | wc -l) ]
	dd if=/dev/urandom of=big bs=1M count=8 2>/dev/null
	cp big big.copy
	cmp big big.copy
	for i in 1 2 3 4; do dd if=big of=/dev/null bs=64k skip=$i 2>/dev/null & done
	wait
	openunlink check .
	mmapwriter -pages 200 mapped | tee /run/mapped
	[ "$(sha256sum <mapped | cut -d' ' -f1)" = "$(sed -n 's/^sum //p' /run/mapped)" ]
	rm -r copy sums big big.copy mapped
`

// One machine takes long to boot, so that all is one test. Steps go on from
// those before.
func TestXenDomainsMountWhatAnotherServes(t *testing.T) {
	s := newXenSite(t)
	a, b := s.guest(t, "a", "data"), s.guest(t, "b", "data")
	s.attach(t, "a", 1, "disk", "disk")
	a.Run(t, mountXen("disk"))

	t.Run("two guests work at the same time", func(t *testing.T) {
		var work []*guest.Command
		for _, in := range []struct {
			g   *guest.Guest
			dir string
		}{{a, "/mnt/data/a"}, {a, "/mnt/disk/a"}, {b, "/mnt/data/b"}} {
			work = append(work, in.g.Start(t, "mkdir "+in.dir+"\ncd "+in.dir+"\n"+xenWork))
		}
		for _, w := range work {
			w.Wait(t, emulated)
		}
		a.Run(t, "echo hello >/mnt/data/file")
		if got := b.Run(t, "cat /mnt/data/file"); got != "hello\n" {
			t.Errorf("the other guest reads %q", got)
		}
	})

	t.Run("extended attributes", func(t *testing.T) {
		a.Run(t, "cd /mnt/data && setfattr -n user.one -v first file")
		if got := b.Run(t, "cd /mnt/data && getfattr --only-values -n user.one file"); got != "first" {
			t.Errorf("the other guest reads %q", got)
		}
	})

	t.Run("locks", func(t *testing.T) {
		held := holdXenLock(t, a)
		if got := b.Run(t, "locker try /mnt/data/lock"); got != "busy\n" {
			t.Errorf("the other guest finds the lock %q", got)
		}
		waiting := b.Start(t, "exec locker hold /mnt/data/lock")
		held.Kill()
		waiting.WaitFor(t, "locked", emulated)
		waiting.Kill()
	})

	t.Run("devices come and go", func(t *testing.T) {
		s.attach(t, "b", 1, "disk", "late")
		b.Run(t, mountXen("late")+"echo late >/mnt/late/late\numount /mnt/late")
		if got := a.Run(t, "cat /mnt/disk/late"); got != "late\n" {
			t.Errorf("the other guest reads %q", got)
		}
		s.detach(t, "b", 1)
		b.Run(t, "fails mount -t 9p -o trans=xen,version=9p2000.L late /mnt/late\ntest -e /mnt/data/file")
	})

	t.Run("a guest is destroyed in the middle of a write", func(t *testing.T) {
		held := holdXenLock(t, a)
		waiting := b.Start(t, "exec locker hold /mnt/data/lock")
		writing := a.Start(t, "for i in $(seq 100000); do dd if=/dev/zero of=/mnt/disk/endless bs=256k count=8 2>/dev/null; echo round; done")
		writing.WaitFor(t, "round", emulated)
		meanwhile := b.Start(t, "mkdir /mnt/data/c\ncd /mnt/data/c\n"+xenWork)
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
		again.Run(t, "test -e /mnt/disk/endless\nmkdir /mnt/disk/d\ncd /mnt/disk/d\n"+xenWork)
	})
}

// holdXenLock returns when the guest has the lock.
func holdXenLock(t *testing.T, g *guest.Guest) *guest.Command {
	t.Helper()
	c := g.Start(t, "exec locker hold /mnt/data/lock")
	c.WaitFor(t, "locked", emulated)
	return c
}

// attach gives a domain that runs a device. xl knows of none but those that a
// domain has from the beginning.
func (s *xenSite) attach(t *testing.T, domain string, index int, export, tag string) {
	t.Helper()
	s.x.Run(t, s.paths(domain, index)+fmt.Sprintf(`
		xenstore-write $back/frontend $front $back/frontend-id $guest $back/online 1 $back/path /%s $back/security_model none $back/state 1 \
			$front/backend $back $front/backend-id $fsva $front/tag %s $front/state 1
		xenstore-chmod -r $back n$fsva r$guest
		xenstore-chmod -r $front n$guest r$fsva
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
		xenstore-rm $front`)
}

func (s *xenSite) paths(domain string, index int) string {
	return fmt.Sprintf(`fsva=$(xl domid fsva) guest=$(xl domid %[1]s)
		front=/local/domain/$guest/device/9pfs/%[2]d back=/local/domain/$fsva/backend/9pfs/$guest/%[2]d`, domain, index)
}
