package guest_test

import (
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestPOSIX(t *testing.T) {
	t.Parallel()
	each(t, everyWay, func(t *testing.T, s site) {
		t.Log(s.g.Run(t, guest.TestBinary(t, "posix")+" -test.v -posix.dir "+s.mnt))
	})
}
