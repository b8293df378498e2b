package guest_test

import (
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// treeSums prints what a tree is: names, kinds, modes and the sums of files.
const treeSums = `find . -mindepth 1 -printf '%P %y %m %l\n' | sort; find . -type f -exec sha256sum {} + | sort -k2`

func TestGuestReadsAnArchiveAsTheTreeItWasMadeFrom(t *testing.T) {
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "tree")
	n.Run(t, `cd `+dir+`
		mkdir -m 755 -p deep/er/still empty
		chmod 755 deep deep/er
		head -c 9000000 /dev/urandom | od -An -tx1 >large
		head -c 3000000 /dev/urandom >deep/random
		: >deep/er/none
		ln -s ../large deep/link
		for i in $(seq 500); do echo $i >deep/er/still/file.$i; done
		chmod 600 deep/random; chmod 644 large deep/er/none deep/er/still/*`)
	archive := filepath.Join(t.TempDir(), "tree.zip")
	n.Run(t, "cd "+dir+" && zip -q -r -y "+archive+" .")
	srv := guest.StartAppliance(t, n, "zip=zip:"+archive+",squash=none")
	g := guest.Boot(t, n)
	want := n.Run(t, "cd "+dir+"\n"+treeSums)
	mounts := map[string]string{
		"nfs": g.Mount(t, srv, "vers=4.2", "/zip", "/mnt/nfs"),
		"9p":  mount9P(t, g, srv, "cache=none", "zip", "/mnt/9p"),
	}
	for name, mnt := range mounts {
		if got := g.Run(t, "cd "+mnt+"\n"+treeSums); got != want {
			t.Errorf("%s: %s", name, firstDifference(got, want))
		}
		g.Run(t, "! touch "+mnt+"/new 2>/run/why && grep -q 'Read-only' /run/why")
	}
	srv.Crash(t)
	if got := g.Run(t, "echo 3 >/proc/sys/vm/drop_caches; cd "+mounts["nfs"]+"\n"+treeSums); got != want {
		t.Errorf("after a restart: %s", firstDifference(got, want))
	}
}
