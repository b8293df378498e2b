package guest_test

import (
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestDirectoryOf10000Files(t *testing.T) {
	t.Parallel()
	each(t, newestV4, func(t *testing.T, s site) {
		s.g.Run(t, "mkdir "+s.mnt+"/big && cd "+s.mnt+"/big && seq -f file%g 10000 | xargs touch")
		s.same(t, "ls big | wc -l", "10000\n")
		s.same(t, "ls -f big | sort -u | wc -l", "10002\n") // with . and ..
		s.g.Run(t, "ls -l "+s.mnt+"/big | wc -l | grep -qx 10001")
		s.forget(t)
		if got := s.g.Run(t, guest.Program(t, "unlinkwalk")+" "+s.mnt+"/big"); got != "10000\n" {
			t.Errorf("listed and removed %s", got)
		}
		s.same(t, "ls | wc -l", "0\n")
	})
}
