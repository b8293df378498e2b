package guest_test

import (
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// makeFiles prints "made" for each 500 of 10,000 files.
const makeFiles = "mkdir big && seq -f big/file%g 10000 | xargs -n 500 sh -c 'touch \"$@\" && echo made' -\n"

func directoryScript(*testing.T) string { return makeFiles }

func checkDirectory(t *testing.T, s site, _ string) {
	s.same(t, "ls big | wc -l", "10000\n")
	s.same(t, "ls -f big | sort -u | wc -l", "10002\n") // with . and ..
	s.g.Run(t, "ls -l "+s.mnt+"/big | wc -l | grep -qx 10001")
}

// removalScript lists a directory and removes what it finds meanwhile.
func removalScript(t *testing.T) string {
	return makeFiles + `sync
		echo 3 > /proc/sys/vm/drop_caches
		unset maybe
		test -e $DONE || maybe=-crash
		` + guest.Program(t, "unlinkwalk") + " $maybe big"
}

func checkRemoval(t *testing.T, s site, printed string) {
	if !strings.HasSuffix(printed, "\n10000\n") {
		t.Errorf("listed and removed some names only:\n%s", printed)
	}
	s.same(t, "ls | wc -l", "0\n")
}
