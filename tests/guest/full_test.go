package guest_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

func TestFullDiskIsToldAndLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	image := filepath.Join(t.TempDir(), "image")
	dir, export := guest.Dir(t, "host")
	n.Run(t, "truncate -s 24M "+image+" && mkfs.ext4 -q "+image+" && mount -o loop "+image+" "+dir)
	srv := guest.StartAppliance(t, n, export, "mem=mem:?size=16M,squash=none")
	g := guest.Boot(t, n)
	for _, name := range []string{"host", "mem"} {
		t.Run(name, func(t *testing.T) {
			s := site{net: n, srv: srv, g: g, mnt: g.Mount(t, srv, "vers=4.2", "/"+name, "/mnt/"+name)}
			fillWithRecords(t, s)
			fillWithPages(t, s)
			g.Run(t, "cd "+s.mnt+" && rm log pages && echo room > again && test $(cat again) = room")
		})
	}
}

// fillWithRecords writes and fsyncs until the disk is full, and finds what was
// acknowledged in the file.
func fillWithRecords(t *testing.T, s site) {
	t.Helper()
	w := guest.Program(t, "appendwriter")
	c := s.g.Start(t, "cd "+s.mnt+"\n"+w+" -fsync -size 65536 -n 1000000 log")
	printed, err := c.Result(t, 2*time.Minute)
	if err == nil || !strings.Contains(printed, "no space left on device") {
		t.Fatalf("a writer on a full disk ended with %v:\n%s", err, printed)
	}
	acknowledged := strings.Count(printed, "acknowledged")
	if acknowledged == 0 {
		t.Fatal("not one record fitted")
	}
	s.forget(t)
	names := strings.Split(s.g.Run(t, "cut -d ' ' -f 2 "+s.mnt+"/log"), "\n")
	for i := range acknowledged {
		if i >= len(names) || names[i] != fmt.Sprint(i) {
			t.Fatalf("%d records were acknowledged, number %d is not in the file", acknowledged, i)
		}
	}
}

// fillWithPages writes through the guest's cache, which tells at the latest
// when the file is closed.
func fillWithPages(t *testing.T, s site) {
	t.Helper()
	out, err := s.g.Start(t, "dd if=/dev/zero of="+s.mnt+"/pages bs=1M count=64").Result(t, 2*time.Minute)
	if err == nil || !strings.Contains(out, "No space left on device") {
		t.Errorf("dd on a full disk ended with %v:\n%s", err, out)
	}
}
