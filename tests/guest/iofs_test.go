package guest_test

import (
	"fmt"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// TestGuestReadsFileSystemsOfIOFS mounts an os.Root and an archive/zip.Reader, of
// which the latter's files have nothing but Read.
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
	n.Daemon(t, fmt.Sprintf("exec %s %s:2049 %s %s", guest.Program(t, "iofsserver"), guest.ServerIP, dir, archive))
	n.Run(t, "timeout 60 bash -c 'until : </dev/tcp/"+guest.ServerIP+"/2049; do sleep 0.1; done' 2>/dev/null")
	g := guest.Boot(t, n)
	g.Run(t, `for e in dir zip; do
			mkdir -p /mnt/$e
			mount -t nfs4 -o vers=4.2 `+guest.ServerIP+`:/$e /mnt/$e
		done
		test "$(cat /mnt/zip/docs/motd)" = "Welcome aboard."
		fails touch /mnt/dir/new
		test $(stat -c %u:%g:%a /mnt/dir/large) = 1234:5678:600`)
	want := n.Run(t, "cd "+dir+"\n"+treeSums)
	if got := g.Run(t, "cd /mnt/dir\n"+treeSums); got != want {
		t.Error(firstDifference(got, want))
	}
}
