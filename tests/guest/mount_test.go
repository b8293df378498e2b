package guest_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestMountOptions(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, export := guest.Dir(t, "data")
	srv := guest.StartAppliance(t, n, export)
	for _, c := range []struct {
		options     string
		connections int
	}{
		{"vers=4.1", 1},
		{"vers=4.2", 1},
		{"vers=4.2,nconnect=4", 4},
		{"vers=4.2,sync,noac,rsize=4096,wsize=4096", 1},
	} {
		t.Run(c.options, func(t *testing.T) {
			g := guest.Boot(t, n)
			g.Mount(t, srv, c.options, "/data", "/mnt/1")
			g.Run(t, `cd /mnt/1
				seq 100000 > numbers
				seq 100000 | cmp numbers
				mkdir -p a/b
				mv numbers a/b
				rm -r a
				echo last > left`)
			if got := n.Run(t, "cat "+dir+"/left"); got != "last\n" {
				t.Errorf("the server has %q", got)
			}
			// State 01 is established, 0801 is port 2049.
			count := strings.TrimSpace(g.Run(t, "grep -c ' [0-9A-F]*:0801 01 ' /proc/net/tcp"))
			if count != fmt.Sprint(c.connections) {
				t.Errorf("%s connections to the server, want %d", count, c.connections)
			}
			g.Run(t, "umount /mnt/1")
		})
	}
}

func TestExportsAreSeparateDirectoriesOfOneTree(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	_, one := guest.Dir(t, "one")
	_, two := guest.Dir(t, "two")
	srv := guest.StartAppliance(t, n, one, two)
	g := guest.Boot(t, n)
	root := g.Mount(t, srv, "vers=4.2", "/", "/mnt/1")
	if got := g.Run(t, "ls "+root); got != "one\ntwo\n" {
		t.Errorf("the root lists %q", got)
	}
	g.Run(t, `cd /mnt/1
		echo 1 > one/file
		test ! -e two/file
		fails ln one/file two/file
		test $(stat -c %d one/) != $(stat -c %d two/)
		fails touch new`)
}
