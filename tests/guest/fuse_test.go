package guest_test

import (
	"archive/zip"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// TestGuestUsesFileSystemsOfTheFuseLibrary mounts two of the library's own, which
// run in the server's process.
func TestGuestUsesFileSystemsOfTheFuseLibrary(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	archive := zipFile(t, "docs/motd", "Welcome aboard.")
	n.Daemon(t, fmt.Sprintf("exec %s %s:2049 %s %s", guest.Program(t, "fuseserver"), guest.ServerIP, dir, archive))
	n.Run(t, "timeout 60 bash -c 'until : </dev/tcp/"+guest.ServerIP+"/2049; do sleep 0.1; done' 2>/dev/null")
	g := guest.Boot(t, n)
	g.Run(t, `for e in loopback zip; do
			mkdir -p /mnt/$e
			mount -t nfs4 -o vers=4.2 `+guest.ServerIP+`:/$e /mnt/$e
		done
		test "$(cat /mnt/zip/docs/motd)" = "Welcome aboard."
		test "$(find /mnt/zip -type f | wc -l)" = 1
		fails touch /mnt/zip/new`)
	g.Run(t, fmt.Sprintf(treeOfWork, "/mnt/loopback", 1))
	g.Run(t, guest.Program(t, "openunlink")+" check /mnt/loopback")
	g.Run(t, `cd /mnt/loopback
		chmod 777 .
		echo 1 >file
		ln file hard && test $(stat -c %h file) = 2
		chown 12:34 file && chmod 4711 file && test "$(stat -c %u:%g:%a file)" = 12:34:4711
		mkfifo fifo && mknod null c 1 3 && test "$(stat -c %t,%T null)" = 1,3
		touch -d 2001-02-03T04:05:06.123456789Z hard && test $(stat -c %.9Y file) = 981173106.123456789
		mkdir many && cd many && seq 2000 | xargs touch && test $(ls | wc -l) = 2000
		rm -r ../many && test ! -e ../many`)
	g.RunAs(t, alice, `cd /mnt/loopback
		echo mine >alice && chmod 600 alice && test "$(stat -c %u:%g alice)" = 1000:1000`)
	g.RunAs(t, bob, "fails cat /mnt/loopback/alice")
	n.Run(t, `cd `+dir+` && test "$(cat alice)" = mine && test "$(stat -c %u alice)" = 1000 && echo theirs >alice`)
	g.Run(t, `until [ "$(cat /mnt/loopback/alice)" = theirs ]; do sleep 1; done # the guest's own timeout`)
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
