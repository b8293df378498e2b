package guest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// An export goes away under guests that have files of it open and locked. They
// learn so, the directory is free to be unmounted, and the guests of the other
// export go on.
func TestRemovedExportIsStaleAndTheOthersAreUntouched(t *testing.T) {
	n := guest.NewNetwork(t)
	disk, exportDisk := guest.Dir(t, "disk")
	n.Run(t, "mount -t tmpfs -o mode=755 disk "+disk)
	_, exportOther := guest.Dir(t, "other")
	srv := guest.StartApplianceWith(t, n, "--admin", "127.0.0.1:9049", "--export", exportDisk, "--export", exportOther)
	g := guest.Boot(t, n)
	mounts := map[string]string{
		"nfs": g.Mount(t, srv, "vers=4.2", "/disk", "/mnt/nfs"),
		"9p":  mount9P(t, g, srv, "cache=none", "disk", "/mnt/9p"),
	}
	other := g.Mount(t, srv, "vers=4.2", "/other", "/mnt/other")
	var working []*guest.Command
	for name, dir := range mounts {
		work := g.Start(t, `cd `+dir+`
			exec 3>file.`+name+`
			flock 3
			echo locked
			while echo more >&3 && sync file.`+name+`; do sleep 0.05; done 2>/run/`+name+`.end`)
		work.WaitFor(t, "locked", time.Minute)
		working = append(working, work)
	}
	counting := g.Start(t, `for i in $(seq 100); do echo $i >>`+other+`/count; sleep 0.05; done`)

	if out := srv.Verb(t, "export", "rm", "disk"); strings.Contains(out, "disk") || !strings.Contains(out, "other") {
		t.Errorf("left are:\n%s", out)
	}
	for _, work := range working {
		work.Wait(t, time.Minute)
	}
	for name, dir := range mounts {
		if got := g.Run(t, "cat /run/"+name+".end; ls "+dir+" 2>&1 || :"); strings.Count(got, "Stale file handle") != 2 {
			t.Errorf("%s: the guest is told %q", name, got)
		}
	}
	n.Run(t, "for i in $(seq 100); do umount "+disk+" && exit; sleep 0.1; done; exit 1")
	counting.Wait(t, time.Minute)
	g.Run(t, `[ "$(tail -n 1 `+other+`/count)" = 100 ]`)

	srv.Verb(t, "export", "add", exportDisk)
	g.Run(t, "umount -l /mnt/nfs")
	again := g.Mount(t, srv, "vers=4.2", "/disk", "/mnt/again")
	g.Run(t, "echo back >"+again+"/file")
}
