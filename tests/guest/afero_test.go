package guest_test

import (
	"fmt"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// TestGuestUsesAFileSystemOfAfero writes through afero's OsFs, and finds there what
// was on the disk before.
func TestGuestUsesAFileSystemOfAfero(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	n.Run(t, "echo before >"+dir+"/before")
	n.Daemon(t, fmt.Sprintf("exec %s %s:2049 %s %s", guest.Program(t, "aferoserver"), guest.ServerIP, dir, t.TempDir()))
	n.Run(t, "timeout 60 bash -c 'until : </dev/tcp/"+guest.ServerIP+"/2049; do sleep 0.1; done' 2>/dev/null")
	g := guest.Boot(t, n)
	g.Run(t, `mkdir -p /mnt/data
		mount -t nfs4 -o vers=4.2 `+guest.ServerIP+`:/data /mnt/data
		cd /mnt/data
		test "$(cat before)" = before
		chmod 777 .
		mkdir dir && seq 1000 >dir/file && mv dir/file dir/moved && ln -s dir/moved link
		chmod 640 dir/moved && chown 12:34 dir/moved && test "$(stat -c %u:%g:%a dir/moved)" = 12:34:640
		truncate -s 10 dir/moved && test $(stat -c %s link -L) = 10
		exec 3<before; rm before; test "$(cat <&3)" = before; exec 3<&-
		fails rmdir dir
		sync`)
	g.Run(t, guest.Program(t, "openunlink")+" check /mnt/data")
	n.Run(t, `cd `+dir+` && test ! -e before && test $(stat -c %s dir/moved) = 10 && test "$(readlink link)" = dir/moved`)
}
