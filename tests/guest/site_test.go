package guest_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// recovery is how long a guest may take to carry on after a crash of the
// server: it reconnects with a growing pause, and then waits for the end of
// grace.
const recovery = 2 * time.Minute

// site is a directory of a guest that the appliance serves.
type site struct {
	net  *guest.Network
	srv  *guest.Appliance
	g    *guest.Guest
	mnt  string // the directory in the guest
	dir  string // the directory of the server behind it, empty for one in memory
	vers string
}

// A way is an export and a version to mount it with.
type way struct {
	export, vers string
}

func (w way) String() string { return w.export + "-" + w.vers }

var (
	everyWay = []way{{"host", "4.1"}, {"host", "4.2"}, {"mem", "4.2"}}
	newestV4 = []way{{"host", "4.2"}, {"mem", "4.2"}}
	inMemory = []way{{"mem", "4.2"}}
	onDisk   = []way{{"host", "4.1"}, {"host", "4.2"}} // what survives the server
)

// each runs f in a subtest for every way. They share one server and one guest.
func each(t *testing.T, ways []way, f func(t *testing.T, s site)) {
	t.Helper()
	n := guest.NewNetwork(t)
	dir, export := guest.Dir(t, "host")
	srv := guest.StartAppliance(t, n, export, "mem=mem:?size=512M,squash=none")
	g := guest.Boot(t, n)
	for _, w := range ways {
		t.Run(w.String(), func(t *testing.T) {
			f(t, openSite(t, n, srv, g, dir, w))
		})
	}
}

// openSite mounts an export in a guest and makes a new directory there.
func openSite(t *testing.T, n *guest.Network, srv *guest.Appliance, g *guest.Guest, dir string, w way) site {
	t.Helper()
	root := g.Mount(t, srv, "vers="+w.vers, "/"+w.export, "/mnt/"+w.String())
	s := site{net: n, srv: srv, g: g, vers: w.vers, mnt: filepath.Join(root, "v"+w.vers)}
	if w.export == "host" {
		s.dir = filepath.Join(dir, filepath.Base(s.mnt))
	}
	g.Run(t, "mkdir "+s.mnt)
	return s
}

// forget makes the guest drop what it has cached of files.
func (s site) forget(t *testing.T) {
	t.Helper()
	s.g.Run(t, "sync && echo 3 > /proc/sys/vm/drop_caches")
}

// same fails the test unless a script prints want in the guest's directory,
// after its caches are dropped, and in the server's.
func (s site) same(t *testing.T, script, want string) {
	t.Helper()
	s.forget(t)
	if got := s.g.Run(t, "cd "+s.mnt+"\n"+script); got != want {
		t.Errorf("%s in the guest: %s", script, firstDifference(got, want))
	}
	if s.dir == "" {
		return
	}
	if got := s.net.Run(t, "cd "+s.dir+"\n"+script); got != want {
		t.Errorf("%s on the server: %s", script, firstDifference(got, want))
	}
}
