package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const siteText = `subnet: 10.77.0.0/24
subnet6: fd77:1:2:3::/64
owner: no-such-user-here
guests:
  - {name: web1, address: 10.77.0.20, address6: "fd77:1:2:3::20"}
  - {name: web2, address: 10.77.0.21}
`

// An appliance in a machine of its own reads the host's file, whose users it
// need not have.
func TestGuestsAreClientsByName(t *testing.T) {
	file := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(file, []byte(siteText), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Site = file
	c.Exports = []Export{ExportFlag("a=mem:,clients=@web1+192.0.2.0/24")}
	if errs := c.Check(); errs != nil {
		t.Fatal(errs)
	}
	spec, err := c.Spec(0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range spec.Clients {
		got = append(got, p.String())
	}
	slices.Sort(got)
	if want := []string{"10.77.0.20/32", "192.0.2.0/24", "fd77:1:2:3::20/128"}; !slices.Equal(got, want) {
		t.Errorf("clients are %v, want %v", got, want)
	}
}

func TestGuestThatIsNotKnownIsRefused(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good.yaml"), filepath.Join(dir, "bad.yaml")
	for path, text := range map[string]string{good: siteText, bad: "subnet: 10.77.0.0/24\nguest: []\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		site, says string
	}{
		{"", "name its file with --site"},
		{good, good + " has no guest of that name"},
		{bad, bad + ":2"},
		{filepath.Join(dir, "none.yaml"), "none.yaml"},
	} {
		c := Default()
		c.Site = tt.site
		c.Exports = []Export{ExportFlag("a=mem:,clients=@web9")}
		errs := c.Check()
		if errs == nil || !strings.Contains(errs.Error(), tt.says) || !strings.Contains(errs.Error(), "@web9") {
			t.Errorf("site %q: %v; want it to say %q", tt.site, errs, tt.says)
		}
		if spec, _ := c.Spec(0); len(spec.Clients) != 0 || len(spec.Guests) != 1 {
			t.Errorf("site %q: %v and %v may come", tt.site, spec.Clients, spec.Guests)
		}
	}
}

func TestDeviceIsAtTheAddressOfItsGuest(t *testing.T) {
	file := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(file, []byte(siteText), 0o600); err != nil {
		t.Fatal(err)
	}
	c := Default()
	c.Site = file
	c.P9 = []string{"virtio:///run/v?guest=web2"}
	if errs := c.Check(); errs != nil {
		t.Fatal(errs)
	}
	if addr, err := c.GuestAddr("web2"); err != nil || addr.String() != "10.77.0.21" {
		t.Errorf("web2 is at %v, %v", addr, err)
	}
	c.P9 = []string{"virtio:///run/v?guest=web3"}
	if errs := c.Check(); errs == nil || !strings.Contains(errs.Error(), "web3: the site file "+file+" has no guest of that name") {
		t.Errorf("a guest that is not in the file: %v", errs)
	}
}
