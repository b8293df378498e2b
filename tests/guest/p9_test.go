package guest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// mount9P mounts an export over 9P with mount options such as "cache=none".
func mount9P(t *testing.T, g *guest.Guest, srv *guest.Appliance, options, export, dir string) string {
	t.Helper()
	g.Run(t, fmt.Sprintf(`modprobe -d /run/modules 9p
		mkdir -p %[1]s
		mount -t 9p -o trans=tcp,port=564,version=9p2000.L,msize=1048576,aname=%[2]s,%[3]s %[4]s %[1]s`,
		dir, export, options, srv.IP()))
	if got := g.Run(t, "findmnt -n -o FSTYPE "+dir); strings.TrimSpace(got) != "9p" {
		t.Fatalf("%s is mounted on %s instead of 9p", got, dir)
	}
	return dir
}

// A way9P is an export and the options to mount it with.
type way9P struct{ export, options string }

// everyWay9P has the cache modes that guests use: none, one that can map files
// for writing, and one that trusts its own memory.
var everyWay9P = []way9P{
	{"host", "access=user,cache=none"},
	{"host", "access=client,cache=mmap"},
	{"host", "access=user,cache=loose"},
	{"mem", "access=user,cache=mmap"},
}

// each9P runs f in a subtest for every way. They share one server and one
// guest.
func each9P(t *testing.T, ways []way9P, f func(t *testing.T, s site)) {
	t.Helper()
	n := guest.NewNetwork(t)
	dir, export := guest.Dir(t, "host")
	srv := guest.StartAppliance(t, n, export, "mem=mem:?size=512M,squash=none")
	g := guest.Boot(t, n)
	for i, w := range ways {
		t.Run(w.export+","+w.options, func(t *testing.T) {
			root := mount9P(t, g, srv, w.options, w.export, fmt.Sprintf("/mnt/%d", i))
			s := site{net: n, srv: srv, g: g, mnt: fmt.Sprintf("%s/way%d", root, i), vers: "9p"}
			if w.export == "host" {
				s.dir = filepath.Join(dir, filepath.Base(s.mnt))
			}
			g.Run(t, "mkdir "+s.mnt)
			f(t, s)
		})
	}
}

func Test9PWorkloads(t *testing.T) {
	mapped := []way9P{everyWay9P[1], everyWay9P[2], everyWay9P[3]} // cache=none cannot
	for _, w := range workloads {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			ways := everyWay9P
			switch w.name {
			case "mmap", "git":
				ways = mapped
			case "compile":
				ways = mapped[:2]
			// These take long: once where names are trusted, once where not, and both.
			case "directory":
				ways = everyWay9P[2:3]
			case "removal":
				ways = everyWay9P[:1]
			case "untar":
				ways = []way9P{everyWay9P[0], everyWay9P[2]}
			}
			each9P(t, ways, func(t *testing.T, s site) {
				s.g.Run(t, "touch "+doneFile)
				w.check(t, s, w.start(t, s).Wait(t, workLimit))
			})
		})
	}
}

func Test9PNamesOfEveryKind(t *testing.T) {
	t.Parallel()
	each9P(t, everyWay9P, func(t *testing.T, s site) {
		s.g.Run(t, "cd "+s.mnt+`
			echo 1 > file
			ln file hard
			test $(stat -c %h file) = 2
			test hard -ef file
			ln -s file soft
			test "$(readlink soft)" = file
			test "$(cat soft)" = 1
			mkfifo fifo
			test -p fifo
			mknod null c 1 3
			test "$(stat -c %t,%T null)" = 1,3
			echo x > null
			mkdir dir
			touch dir/file
			fails rmdir dir
			fails mv dir dir/below
			mv dir/file dir/FILE
			ls dir | grep -qx FILE
			touch "$(printf '%0255d' 0)"
			fails touch "$(printf '%0256d' 0)"
			touch "with space" ./-dash 'ünïcode' "new
line"
			touch -d 2001-02-03T04:05:06Z file # fractions get lost in the client
			test "$(stat -c %Y file)" = 981173106
			chmod 4711 file
			test $(stat -c %a file) = 4711
			chown 12:34 file
			test $(stat -c %u:%g file) = 12:34
			truncate -s 5G file
			test $(stat -c %s file) = 5368709120
			stat -f -c %T . | grep -q v9fs
			seq 1000 | xargs touch
			test $(ls | grep -c '^[0-9]*$') -ge 1000`)
	})
}

func Test9POpenFilesOutliveTheirNames(t *testing.T) {
	t.Parallel()
	each9P(t, everyWay9P, func(t *testing.T, s site) {
		s.g.Run(t, guest.Program(t, "openunlink")+" check "+s.mnt)
	})
}

func Test9PExtendedAttributes(t *testing.T) {
	t.Parallel()
	each9P(t, []way9P{everyWay9P[1], everyWay9P[3]}, func(t *testing.T, s site) {
		s.g.Run(t, "cd "+s.mnt+`
			touch file
			setfattr -n user.one -v first file
			setfattr -n user.two -v second file
			test "$(getfattr --only-values -n user.one file)" = first
			setfattr -n user.one -v changed file
			fails getfattr -n user.none file
			setfattr -x user.two file`)
		s.same(t, "getfattr -d file", "# file: file\nuser.one=\"changed\"\n\n")
	})
}

// Test9PUsers serves a directory as it is served without options: a user of
// the guest is that user of the server, and root is nobody.
func Test9PUsers(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	srv := guest.StartAppliance(t, n, "data=host:"+dir)
	g := guest.Boot(t, n)
	n.Run(t, fmt.Sprintf("mkdir -m 777 %[1]s/public && chmod 1777 %[1]s/public && install -d -o %[2]d -g %[2]d -m 700 %[1]s/home", dir, alice))
	mnt := mount9P(t, g, srv, "access=user,cache=none", "data", "/mnt/1")
	g.RunAs(t, alice, "cd "+mnt+`
		echo mine > home/file
		test $(stat -c %u:%g home/file) = 1000:1000
		echo public > public/alice`)
	g.RunAs(t, bob, "cd "+mnt+`
		fails cat home/file
		fails rm -f public/alice
		test "$(cat public/alice)" = public`)
	g.Run(t, "cd "+mnt+`
		fails cat home/file
		touch public/root
		test $(stat -c %u public/root) = 65534`)
}

// mixed is a file that a guest over NFS, a, and one over 9P, b, lock.
func mixed(t *testing.T) pair {
	t.Helper()
	n := guest.NewNetwork(t)
	_, export := guest.Dir(t, "data")
	srv := guest.StartAppliance(t, n, export)
	a, b := guest.Boot(t, n), guest.Boot(t, n)
	a.Mount(t, srv, "vers=4.2", "/data", "/mnt/1")
	mount9P(t, b, srv, "access=user,cache=none", "data", "/mnt/1")
	return pair{srv: srv, a: a, b: b, file: "/mnt/1/file"}
}

func Test9PAndNFSLocksExcludeEachOther(t *testing.T) {
	t.Parallel()
	p := mixed(t)
	for _, order := range []struct{ first, second *guest.Guest }{{p.a, p.b}, {p.b, p.a}} {
		held := p.hold(t, order.first)
		if got := p.try(t, order.second); got != "busy\n" {
			t.Fatalf("the other guest finds the lock %q", got)
		}
		waiting := p.wait(t, order.second)
		held.Kill()
		waiting.WaitFor(t, "locked", 90*time.Second)
		if got := p.try(t, order.first); got != "busy\n" {
			t.Errorf("the first guest finds the lock %q", got)
		}
		waiting.Kill()
	}
}

func Test9PLockOfADeadGuestGoesToTheOneThatWaits(t *testing.T) {
	t.Parallel()
	p := mixed(t)
	p.hold(t, p.b)
	waiting := p.wait(t, p.a)
	p.b.Kill() // which says nothing: its silence tells
	waiting.WaitFor(t, "locked", 90*time.Second)
}

// Test9PWaitForALockCanBeKilled: the client waits in a way that only a signal
// which ends the process interrupts, and flushes the request then.
func Test9PWaitForALockCanBeKilled(t *testing.T) {
	t.Parallel()
	p := mixed(t)
	held := p.hold(t, p.a)
	p.b.Run(t, `set +e
		timeout -s KILL 2 `+guest.Program(t, "locker")+` hold `+p.file+`
		test $? = 137`)
	held.Kill()
	if got := p.try(t, p.a); got != "locked\n" {
		t.Errorf("the lock is %q after the wait was given up", got)
	}
}
