package site

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func mustParse(t *testing.T, text string) *Site {
	t.Helper()
	s, err := parse("host.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatTheFileLeavesOutIsWorkedOut(t *testing.T) {
	s := mustParse(t, `
subnet: 10.77.0.0/24
subnet6: fd77:1:2:3::/64
guests:
  - name: web1
  - name: a-name-that-no-interface-can-have
    mac: 52:54:00:12:34:56
`)
	if s.Bridge != "fsva0" || s.MTU != 1500 || !s.ApplianceOnHost() || s.Owner != 0 || fmt.Sprint(s.Services) != "[564 2049]" {
		t.Errorf("defaults: %+v", s)
	}
	if s.Host.IP4 != netip.MustParseAddr("10.77.0.1") || s.Appliance.IP4 != s.Host.IP4 || s.Appliance.IP6 != netip.MustParseAddr("fd77:1:2:3::1") {
		t.Errorf("the appliance is at %v %v", s.Appliance.IP4, s.Appliance.IP6)
	}
	g := s.Guests[0]
	if g.Device != "tap-web1" || !s.Subnet.Contains(g.IP4) || g.MAC[0] != 2 || !g.FromMAC() {
		t.Errorf("web1: %+v", g)
	}
	g = s.Guests[1]
	if !strings.HasPrefix(g.Device, "tap-a-na-") || len(g.Device) > maxDevice {
		t.Errorf("interface %q", g.Device)
	}
	if want := netip.MustParseAddr("fd77:1:2:3:5054:ff:fe12:3456"); g.IP6 != want {
		t.Errorf("IPv6 address %v, Linux makes %v of its MAC", g.IP6, want)
	}
}

func TestApplianceInAMachineHasATapOfItsOwn(t *testing.T) {
	s := mustParse(t, "subnet: 10.77.0.0/24\nappliance: {run: machine, manage: [9049]}\nguests: [{name: web1}]\n")
	if s.ApplianceOnHost() || s.Appliance.Device != "tap-appliance" || s.Appliance.IP4 != netip.MustParseAddr("10.77.0.2") || len(s.Ports()) != 2 {
		t.Errorf("appliance: %+v", s.Appliance)
	}
}

func TestPathsOfAMachineBeginWhereTheFileIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(path, []byte("subnet: 10.77.0.0/24\nqemu: bin/qemu\nguests: [{name: web1, machine: {kernel: vmlinuz, initrd: /boot/initrd}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	m, dir := s.Guests[0].Machine, filepath.Dir(path)
	if s.QEMU != filepath.Join(dir, "bin/qemu") || m.Kernel != filepath.Join(dir, "vmlinuz") || m.Initrd != "/boot/initrd" || m.Disk != "" || m.Memory != 512 || m.CPUs != 1 {
		t.Errorf("qemu %s, machine %+v", s.QEMU, m)
	}
}

// Guests that come and go, before a guest in the file or after it, leave it its
// address.
func TestGuestKeepsItsAddressWhoeverElseComes(t *testing.T) {
	const head = "subnet: 10.77.0.0/16\nguests:\n"
	alone := mustParse(t, head+"  - name: web1\n").Guests[0]
	var text strings.Builder
	text.WriteString(head)
	for i := range 200 {
		fmt.Fprintf(&text, "  - name: other%d\n", i)
	}
	text.WriteString("  - name: web1\n")
	many := mustParse(t, text.String())
	among, ok := many.Guest("web1")
	if !ok || among.IP4 != alone.IP4 || among.MAC.String() != alone.MAC.String() {
		t.Errorf("alone %v, among others %v", alone, among)
	}
	seen := make(map[netip.Addr]string)
	for _, g := range many.Guests {
		if other := seen[g.IP4]; other != "" {
			t.Errorf("%s and %s both have %v", g.Name, other, g.IP4)
		}
		seen[g.IP4] = g.Name
	}
}

func TestSubnetThatIsFullIsSaid(t *testing.T) {
	text := "subnet: 10.77.0.0/29\nguests:\n"
	for i := range 5 { // of 6 addresses, the bridge has one
		text += fmt.Sprintf("  - name: g%d\n", i)
	}
	mustParse(t, text)
	if _, err := parse("host.yaml", []byte(text+"  - name: g5\n")); err == nil || !strings.Contains(err.Error(), "host.yaml:8: guests[5]: 10.77.0.0/29 has no address left for g5") {
		t.Errorf("one too many: %v", err)
	}
}

func TestWrongFilesAreRefusedByLineAndKey(t *testing.T) {
	guest := func(what string) string { return "subnet: 10.77.0.0/24\nguests:\n  - " + what + "\n" }
	for text, want := range map[string]string{
		"":                       "subnet: missing",
		"subnet: 10.77.0.5/24\n": "host.yaml:1: subnet: 10.77.0.5/24 has bits set beyond its length; the network is 10.77.0.0/24",
		"subnet: 10.77.0.0/31\n": "host.yaml:1: subnet: 10.77.0.0/31 is no IPv4 network of 8 to 30 bits",
		"subnet: fd00::/64\n":    "is no IPv4 network",
		"subnet: 10.77.0.0/24\nsubnet6: 2001:db8::/64\n":                               "host.yaml:2: subnet6: 2001:db8::/64 is no /64 of unique local addresses",
		"subnet: 10.77.0.0/24\nsubnet6: fd00::/48\n":                                   "host.yaml:2: subnet6",
		"subnet: 10.77.0.0/24\nbrige: x\n":                                             `host.yaml:2: unknown key "brige"; did you mean "bridge"?`,
		"subnet: 10.77.0.0/24\nbridge: a/b\n":                                          "host.yaml:2: bridge",
		"subnet: 10.77.0.0/24\nservices: []\n":                                         "host.yaml:2: services: empty",
		"subnet: 10.77.0.0/24\nservices: [70000]\n":                                    "host.yaml:2: services[0]: 70000 is no TCP port",
		"subnet: 10.77.0.0/24\nmtu: 100\n":                                             "host.yaml:2: mtu",
		"subnet: 10.77.0.0/24\nowner: nobody-here\n":                                   `host.yaml:2: owner: this host has no user "nobody-here"`,
		"subnet: 10.77.0.0/24\naddress: 10.78.0.1\n":                                   "host.yaml:2: address: 10.78.0.1 is not in 10.77.0.0/24",
		"subnet: 10.77.0.0/24\naddress: 10.77.0.255\n":                                 "names the whole of",
		"subnet: 10.77.0.0/24\nappliance: {run: vm}\n":                                 `host.yaml:2: appliance.run: "vm" is neither process nor machine`,
		"subnet: 10.77.0.0/24\nappliance: {mac: '52:54:00:12:34:56'}\n":                "host.yaml:2: appliance.mac: an appliance that is a process has the address of the bridge",
		guest("{name: Web}"):                                                           `host.yaml:3: guests[0].name: "Web" cannot name a guest`,
		guest("{name: appliance}"):                                                     "is the name of the appliance",
		guest("{name: a, mac: 53:54:00:12:34:56}"):                                     "host.yaml:3: guests[0].mac: 53:54:00:12:34:56 is a group of machines",
		guest("{name: a, mac: wrong}"):                                                 "is no MAC such as",
		guest("{name: a, address: 10.77.0.1}"):                                         "address 10.77.0.1 is that of address already",
		guest("{name: a, address6: 'fd00::1'}"):                                        "the site has no IPv6",
		guest("{name: a, tap: fsva0}"):                                                 "interface fsva0 is that of bridge already",
		guest("{name: a, p9: [a/b]}"):                                                  `host.yaml:3: guests[0].p9[0]: export name "a/b" has '/' in it`,
		guest("{name: a, p9: [b, b]}"):                                                 "host.yaml:3: guests[0].p9[1]: b is there twice",
		"services: [2049]\n" + guest("{name: a, p9: [b]}"):                             "guests[0].p9: the devices are relayed to TCP port 564",
		guest("{name: a, machine: {memory: 100}}"):                                     "host.yaml:3: guests[0].machine: nothing to boot",
		guest("{name: a, machine: {disk: x, append: y}}"):                              "initrd and append are for a kernel",
		guest("{name: a, machine: {disk: x, memory: 1}}"):                              "guests[0].machine.memory: 1 MiB are not between",
		guest("{name: a, machine: {disk: x, cpus: 999}}"):                              "guests[0].machine.cpus: 999 are more",
		guest("{name: a, machine: {disk: x, accel: hax}}"):                             `"hax" is neither kvm nor tcg`,
		guest("{name: a, external: true, machine: {disk: x}}"):                         "others make this machine",
		"subnet: 10.77.0.0/24\nappliance: {machine: {disk: x}}\n":                      "host.yaml:2: appliance.machine: an appliance that is a process has none",
		guest("{name: a}") + "  - {name: a}\n":                                         "host.yaml:4: guests[1].name: name a is that of guests[0].name already",
		guest("{name: a}") + "  - {name: b, colour: 1}\n":                              `host.yaml:4: unknown key "colour"`,
		guest("{name: a, address: 10.77.0.9}") + "  - {name: b, address: 10.77.0.9}\n": "host.yaml:4: guests[1]: address 10.77.0.9 is that of guests[0] already",
	} {
		if _, err := parse("host.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, without %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("subnet: 10.77.0.0/24\nsubnet6: fd77::/64\nguests: [{name: a}, {name: b, mac: 52:54:00:12:34:56}]\n"))
	f.Add([]byte("subnet: 10.77.0.0/30\nappliance: {run: machine}\nservices: [1]\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := parse("host.yaml", text)
		if err != nil {
			return
		}
		seen := make(map[any]bool)
		for _, p := range s.Ports() {
			for _, one := range []any{p.Device, p.MAC.String(), p.IP4} {
				if seen[one] {
					t.Errorf("%v twice", one)
				}
				seen[one] = true
			}
			if !s.Subnet.Contains(p.IP4) {
				t.Errorf("%s is not in %v", p.IP4, s.Subnet)
			}
		}
	})
}
