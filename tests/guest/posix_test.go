package guest_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// notPOSIX are the tests of posixtest that no NFS server passes with this
// client, and why.
var notPOSIX = map[string]string{
	"DirSeek":             "after a seek the client lists without attributes, so that entries have no type",
	"FallocateKeepSize":   "the client has no way to ask for it, and says so",
	"FcntlFlockLocksFile": "expects that POSIX locks of one process conflict; no file system passes",
	"FstatDeleted":        "the client renames open files instead of removing them, so that they keep their link",
	"NlinkZero":           "the client renames open files instead of removing them, so that they keep their link",
}

// newIn42 are the tests of what version 4.2 brought.
var newIn42 = []string{"Fallocate", "XAttr", "XAttrLarge"}

func TestPOSIX(t *testing.T) {
	t.Parallel()
	each(t, everyWay, func(t *testing.T, s site) {
		skip := newIn42
		if s.vers == "4.2" {
			skip = nil
		}
		for name, why := range notPOSIX {
			t.Logf("without %s: %s", name, why)
			skip = append(slices.Clip(skip), name)
		}
		out := s.g.Run(t, guest.TestBinary(t, "posix")+" -test.v -posix.dir "+s.mnt+
			" -test.skip '^TestPOSIX$/^("+strings.Join(skip, "|")+")$'")
		if passed := strings.Count(out, "--- PASS: TestPOSIX/"); passed < 20 {
			t.Errorf("only %d tests ran and passed:\n%s", passed, out)
		}
	})
}
