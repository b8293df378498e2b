package guest_test

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// mountLibrary serves a directory by a library for Go, and with it what the last
// argument is to the program libraryserver, and mounts all in a guest below /mnt.
func mountLibrary(t *testing.T, n *guest.Network, library, dir, other string) *guest.Guest {
	t.Helper()
	n.Daemon(t, fmt.Sprintf("exec %s %s:2049 %s %s %s", guest.Program(t, "libraryserver"), guest.ServerIP, library, dir, other))
	n.Run(t, "timeout 60 bash -c 'until : </dev/tcp/"+guest.ServerIP+"/2049; do sleep 0.1; done' 2>/dev/null")
	g := guest.Boot(t, n)
	g.Run(t, `mkdir -p /mnt/all
		mount -t nfs4 -o vers=4.2 `+guest.ServerIP+`:/ /mnt/all
		for e in $(ls /mnt/all); do
			mkdir -p /mnt/$e
			mount -t nfs4 -o vers=4.2 `+guest.ServerIP+`:/$e /mnt/$e
		done`)
	return g
}

// TestGuestUsesFileSystemsOfTheFuseLibrary mounts two of the library's own, which
// run in the server's process.
func TestGuestUsesFileSystemsOfTheFuseLibrary(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	archive := zipFile(t, "docs/motd", "Welcome aboard.")
	g := mountLibrary(t, n, "fuse", dir, archive)
	g.Run(t, `test "$(cat /mnt/zip/docs/motd)" = "Welcome aboard."
		test "$(find /mnt/zip -type f | wc -l)" = 1
		fails touch /mnt/zip/new`)
	g.Run(t, fmt.Sprintf(treeOfWork, "/mnt/dir", 1))
	g.Run(t, guest.Program(t, "openunlink")+" check /mnt/dir")
	g.Run(t, `cd /mnt/dir
		chmod 777 .
		echo 1 >file
		ln file hard && test $(stat -c %h file) = 2
		chown 12:34 file && chmod 4711 file && test "$(stat -c %u:%g:%a file)" = 12:34:4711
		mkfifo fifo && mknod null c 1 3 && test "$(stat -c %t,%T null)" = 1,3
		touch -d 2001-02-03T04:05:06.123456789Z hard && test $(stat -c %.9Y file) = 981173106.123456789
		mkdir many && cd many && seq 2000 | xargs touch && test $(ls | wc -l) = 2000
		rm -r ../many && test ! -e ../many`)
	g.RunAs(t, alice, `cd /mnt/dir
		echo mine >alice && chmod 600 alice && test "$(stat -c %u:%g alice)" = 1000:1000`)
	g.RunAs(t, bob, "fails cat /mnt/dir/alice")
	n.Run(t, `cd `+dir+` && test "$(cat alice)" = mine && test "$(stat -c %u alice)" = 1000 && echo theirs >alice`)
	g.Run(t, `until [ "$(cat /mnt/dir/alice)" = theirs ]; do sleep 1; done # the guest's own timeout`)
}

// TestGuestReadsFileSystemsOfIOFS mounts an os.Root and an archive/zip.Reader, of
// which the latter's files have nothing but Read; and an os.Root that others change.
func TestGuestReadsFileSystemsOfIOFS(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	n.Run(t, `cd `+dir+`
		mkdir -m 755 -p deep/er empty
		chmod 755 deep
		head -c 2000000 /dev/urandom >large
		ln -s ../large deep/link
		mkfifo deep/pipe
		: >deep/er/none
		for i in $(seq 200); do echo $i >deep/er/file.$i; done
		chmod 600 large; chmod 644 deep/pipe deep/er/*; chown 1234:5678 large`)
	archive := zipFile(t, "docs/motd", "Welcome aboard.")
	g := mountLibrary(t, n, "iofs", dir, archive)
	g.Run(t, `test "$(cat /mnt/zip/docs/motd)" = "Welcome aboard."
		test $(stat -c %u:%g:%a /mnt/dir/large) = 1234:5678:600`)
	expectTree(t, n, g, dir, treeSums, "/mnt/dir")
	expectTree(t, n, g, dir, treeSums, "/mnt/live")
	n.Run(t, `cd `+dir+` && rm deep/er/file.1 && echo new >deep/er/late && echo other >deep/er/file.2`)
	g.Run(t, `cd /mnt/live/deep/er
		until [ "$(cat late)" = new ] && [ "$(cat file.2)" = other ] && [ ! -e file.1 ]; do sleep 1; done # the guest's own timeout`)
	g.Run(t, "cd /mnt/dir/deep/er && test ! -e late && test -e file.1")
}

// TestGuestUsesAFileSystemOfAfero writes through afero's OsFs, and finds there what
// was on the disk before.
func TestGuestUsesAFileSystemOfAfero(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	n.Run(t, "echo before >"+dir+"/before")
	g := mountLibrary(t, n, "afero", dir, t.TempDir())
	g.Run(t, `cd /mnt/dir
		test "$(cat before)" = before
		chmod 777 .
		mkdir dir && seq 1000 >dir/file && mv dir/file dir/moved && ln -s dir/moved link
		chmod 640 dir/moved && chown 12:34 dir/moved && test "$(stat -c %u:%g:%a dir/moved)" = 12:34:640
		truncate -s 10 dir/moved && test $(stat -c %s link -L) = 10
		exec 3<before; rm before; test "$(cat <&3)" = before; exec 3<&-
		fails rmdir dir
		sync`)
	g.Run(t, guest.Program(t, "openunlink")+" check /mnt/dir")
	n.Run(t, `cd `+dir+` && test ! -e before && test $(stat -c %s dir/moved) = 10 && test "$(readlink link)" = dir/moved`)
}

// zipFile makes an archive of one file.
func zipFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.zip")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	part, err := w.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := part.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
