package guest_test

import (
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

func TestGuestsBootAndSeeEachOther(t *testing.T) {
	n := guest.NewNetwork(t)
	a, b := guest.Boot(t, n), guest.Boot(t, n)
	if got := strings.TrimSpace(a.Run(t, "hostname")); got != "guest1" {
		t.Errorf("the first guest is named %q", got)
	}
	b.Run(t, "bash -c ': < /dev/tcp/10.77.0.2/1023'")
	if got := strings.TrimSpace(b.RunAs(t, 1000, "id -u")); got != "1000" {
		t.Errorf("a script as user 1000 ran as %q", got)
	}
}
