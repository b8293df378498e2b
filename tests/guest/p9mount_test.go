package guest_test

import (
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// The guests of these tests have no vsock. What mount does there it does for
// every connection with trans=fd.
func TestMountVerbMounts9P(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	_, export := guest.Dir(t, "data")
	srv := guest.StartAppliance(t, n, export, "mem=mem:,squash=none")
	g := guest.Boot(t, n)
	verb := guest.Binary(t) + " mount "
	url := " tcp://" + srv.IP() + ":564 "

	g.Run(t, "mkdir -p /mnt/fd /mnt/tcp\necho /bin/false >/proc/sys/kernel/modprobe")
	if got := g.Run(t, verb+url+"/mnt/fd 2>&1 || :"); !strings.Contains(got, "the module 9p is missing") {
		t.Errorf("without modules: %q", got)
	}
	g.Run(t, "modprobe -d /run/modules 9p")
	if got := g.Run(t, verb+url+"/mnt/fd 2>&1 || :"); !strings.Contains(got, "the module 9pnet_fd is missing") {
		t.Errorf("without the transport's module: %q", got)
	}
	g.Run(t, "modprobe -d /run/modules 9pnet_fd")
	for options, want := range map[string]string{
		"":                "name one with --export",
		"--export none":   "the server has no export none",
		"-o nonsense=1,x": "name one with --export",
	} {
		if got := g.Run(t, verb+"-o trans=fd "+options+url+"/mnt/fd 2>&1 || :"); !strings.Contains(got, want) {
			t.Errorf("%q: %q", options, got)
		}
	}
	g.Run(t, verb+"--export data -o trans=fd,cache=mmap,nosuid"+url+"/mnt/fd\n"+
		verb+"--export /data -o ro"+url+`/mnt/tcp
		findmnt -n -o OPTIONS /mnt/fd | grep -q nosuid.*trans=fd
		findmnt -n -o OPTIONS /mnt/tcp | grep -q ^ro.*trans=tcp
		dd if=/dev/urandom of=/mnt/fd/file bs=1M count=20 2>/dev/null
		test "$(md5sum </mnt/fd/file)" = "$(md5sum </mnt/tcp/file)"
		fails touch /mnt/tcp/other
		umount /mnt/fd /mnt/tcp`)
}
