package guest_test

import (
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestGuestReadsAnImageAsTheTreeItWasMadeFrom(t *testing.T) {
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "tree")
	n.Run(t, `cd `+dir+`
		mkdir -m 755 -p deep/er/still empty
		chmod 755 deep deep/er
		head -c 9000000 /dev/urandom >large
		truncate -s 5000000 deep/sparse && echo end >>deep/sparse
		: >deep/er/none
		ln -s ../large deep/link
		ln large deep/again
		for i in $(seq 500); do echo $i >deep/er/still/file.$i; done
		chmod 600 deep/sparse; chmod 644 large deep/er/none deep/er/still/*`)
	img := filepath.Join(t.TempDir(), "disk.img")
	n.Run(t, "mke2fs -q -t ext4 -d "+dir+" "+img+" 64M && debugfs -w -R 'rmdir lost+found' "+img)
	srv := guest.StartAppliance(t, n, "disk=image:"+img+",squash=none")
	g := guest.Boot(t, n)
	want := n.Run(t, "cd "+dir+"\n"+treeSums)
	mounts := map[string]string{
		"nfs": g.Mount(t, srv, "vers=4.2", "/disk", "/mnt/nfs"),
		"9p":  mount9P(t, g, srv, "cache=none", "disk", "/mnt/9p"),
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
