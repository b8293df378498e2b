package guest_test

import (
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// treeSums prints what a tree is: names, kinds, modes and the sums of files.
const treeSums = `find . -mindepth 1 -printf '%P %y %m %l\n' | sort; find . -type f -exec sha256sum {} + | sort -k2`

// expectTree compares what a guest sees of a read-only file system with the tree
// dir that it was made from, as the script sums prints both.
func expectTree(t *testing.T, n *guest.Network, g *guest.Guest, dir, sums, mnt string) {
	t.Helper()
	want := n.Run(t, "cd "+dir+"\n"+sums)
	if got := g.Run(t, "echo 3 >/proc/sys/vm/drop_caches; cd "+mnt+"\n"+sums); got != want {
		t.Errorf("%s: %s", mnt, firstDifference(got, want))
	}
	g.Run(t, "! touch "+mnt+"/new 2>/run/why && grep -q 'Read-only' /run/why")
}

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
	nfs := g.Mount(t, srv, "vers=4.2", "/zip", "/mnt/nfs")
	expectTree(t, n, g, dir, treeSums, nfs)
	expectTree(t, n, g, dir, treeSums, mount9P(t, g, srv, "cache=none", "zip", "/mnt/9p"))
	srv.Crash(t)
	expectTree(t, n, g, dir, treeSums, nfs)
}

func TestGuestReadsTarArchivesOfEveryPacking(t *testing.T) {
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "tree")
	n.Run(t, `cd `+dir+`
		mkdir -m 755 -p deep/er empty
		chmod 755 deep
		head -c 1000000 /dev/urandom | od -An -tx1 >large
		ln -s ../large deep/link
		ln large deep/same
		mkfifo deep/pipe
		mknod deep/null c 1 3
		: >deep/er/none
		truncate -s 3M deep/holes; echo data | dd of=deep/holes conv=notrunc bs=1 seek=2000000 status=none
		for i in $(seq 50); do echo $i >deep/er/file.$i; done
		setfattr -n user.note -v kept large
		chmod 600 deep/holes; chmod 644 large deep/pipe deep/null deep/er/*; chown 1234:5678 large`)
	archives := t.TempDir()
	n.Run(t, `cd `+dir+`
		tar -cf `+archives+`/plain.tar --format=posix --xattrs -S .
		gzip -k `+archives+`/plain.tar
		split -b 1M --filter='zstd -q' `+archives+`/plain.tar >`+archives+`/frames.tar.zst
		cat `+archives+`/plain.tar /dev/zero | head -c 40M | zstd -q >`+archives+`/one.tar.zst`)
	exports := map[string]string{"plain": "plain.tar", "gzip": "plain.tar.gz", "frames": "frames.tar.zst", "one": "one.tar.zst"}
	var served []string
	for name, file := range exports {
		served = append(served, name+"=tar:"+archives+"/"+file+",squash=none")
	}
	srv := guest.StartAppliance(t, n, served...)
	g := guest.Boot(t, n)
	sums := treeSums + `; stat -c '%u %g %h %t %T' large deep/same deep/null`
	mounts := map[string]string{"9p": mount9P(t, g, srv, "cache=none", "gzip", "/mnt/9p")}
	for name := range exports {
		mounts[name] = g.Mount(t, srv, "vers=4.2", "/"+name, "/mnt/"+name)
	}
	for _, mnt := range mounts {
		expectTree(t, n, g, dir, sums, mnt)
	}
	holes := guest.Program(t, "sparse") + " "
	if want, got := n.Run(t, holes+dir+"/deep/holes"), g.Run(t, holes+mounts["gzip"]+"/deep/holes"); got != want {
		t.Errorf("data is at\n%s and was at\n%s", got, want)
	}
	g.Run(t, "[ \"$(getfattr --only-values -n user.note "+mounts["plain"]+"/large)\" = kept ]")
	srv.Crash(t)
	expectTree(t, n, g, dir, sums, mounts["gzip"])
	expectTree(t, n, g, dir, sums, mounts["one"])
}
