package guest_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

const (
	alice = 1000
	bob   = 1001
)

// TestRootSquash serves a directory as it is served without options.
func TestRootSquash(t *testing.T) {
	t.Parallel()
	n := guest.NewNetwork(t)
	dir, _ := guest.Dir(t, "data")
	srv := guest.StartAppliance(t, n, "data=host:"+dir)
	g := guest.Boot(t, n)
	for _, vers := range []string{"4.1", "4.2"} {
		t.Run(vers, func(t *testing.T) {
			home := filepath.Join(dir, "v"+vers)
			public := filepath.Join(home, "public")
			err := errors.Join(os.MkdirAll(public, 0o700), os.Chmod(home, 0o755), os.Chmod(public, 0o777|os.ModeSticky), os.Chown(home, alice, alice))
			if err != nil {
				t.Fatal(err)
			}
			mnt := g.Mount(t, srv, "vers="+vers, "/data", "/mnt/"+vers) + "/v" + vers
			owners(t, g, mnt)
			squashed(t, g, mnt)
			groups(t, g, mnt, home)
		})
	}
}

// owners checks what two users may do to each other.
func owners(t *testing.T, g *guest.Guest, dir string) {
	t.Helper()
	g.RunAs(t, alice, "cd "+dir+`
		echo mine > file
		chmod 600 file
		echo shared > public/alice
		test $(stat -c %u file) = 1000
		fails chown 1001 file
		mkdir -m 700 private
		touch private/file`)
	g.RunAs(t, bob, "cd "+dir+`
		fails cat file
		fails touch new
		fails rm -f file
		fails chmod 666 file
		fails ls private
		fails cat private/file
		fails rm -f public/alice
		test "$(cat public/alice)" = shared
		touch public/bob`)
}

// squashed checks that a guest's root is nobody.
func squashed(t *testing.T, g *guest.Guest, dir string) {
	t.Helper()
	g.Run(t, "cd "+dir+`
		fails cat file
		fails touch new
		fails chown 0 public/alice
		touch public/root`)
	if got := strings.TrimSpace(g.Run(t, "stat -c %u:%g "+dir+"/public/root")); got != "65534:65534" {
		t.Errorf("a file of the guest's root belongs to %s", got)
	}
}

// groups checks that a user's other groups count. The server has dir as served.
func groups(t *testing.T, g *guest.Guest, dir, served string) {
	t.Helper()
	as := func(groups string) string {
		return "setpriv --reuid 1001 --regid 1001 --groups " + groups + " cat " + dir + "/team/file"
	}
	g.Run(t, "cd "+dir+"/public\nsetpriv --reuid 1000 --regid 1000 --groups 2000 sh -ec '"+
		"mkdir ../team && chgrp 2000 ../team && chmod 2750 ../team && echo ours > ../team/file && chmod 640 ../team/file'")
	if got := g.Run(t, as("1999,2000")); got != "ours\n" {
		t.Errorf("a member of the group read %q", got)
	}
	g.Run(t, "fails "+as("1999"))
	info, err := os.Stat(served + "/team/file")
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != 2000 {
		t.Errorf("a file in a setgid directory belongs to group %d", got)
	}
}
