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
	nfs := g.Mount(t, srv, "vers=4.2", "/disk", "/mnt/nfs")
	expectTree(t, n, g, dir, treeSums, nfs)
	expectTree(t, n, g, dir, treeSums, mount9P(t, g, srv, "cache=none", "disk", "/mnt/9p"))
	srv.Crash(t)
	expectTree(t, n, g, dir, treeSums, nfs)
}
