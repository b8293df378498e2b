// Package posix runs go-fuse's POSIX conformance tests on a directory. The
// guest tests build it as a test binary and run it in a guest, on a mount.
package posix

import (
	"flag"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

var dir = flag.String("posix.dir", "", "directory to test; it gets a new directory for each test")

func TestPOSIX(t *testing.T) {
	if *dir == "" {
		t.Skip("no directory to test; the guest tests give one with -posix.dir")
	}
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			posixtest.All[name](t, mkdir(t))
		})
	}
}

// mkdir makes a new directory for one test.
func mkdir(t *testing.T) string {
	t.Helper()
	d, err := os.MkdirTemp(*dir, "posix")
	if err != nil {
		t.Fatal(err)
	}
	return d
}
