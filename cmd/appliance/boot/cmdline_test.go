package boot

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCommandLineGivesTheNetwork(t *testing.T) {
	for _, c := range []struct{ line, want string }{
		{"", "[] [] [] dhcp=true dev= fsva"},
		{"quiet fsva.ip=10.77.0.2/24,fd77::2/64 fsva.gw=10.77.0.1,fd77::1 fsva.dns=10.77.0.1", "[10.77.0.2/24 fd77::2/64] [10.77.0.1 fd77::1] [10.77.0.1] dhcp=false dev= fsva"},
		{"fsva.ip=dhcp,fd77::2/64 fsva.dev=eth1 fsva.hostname=files", "[fd77::2/64] [] [] dhcp=true dev=eth1 files"},
		{"fsva.ip=off", "[] [] [] dhcp=false dev= fsva"},
		{"ip=dhcp", "[] [] [] dhcp=true dev= fsva"},
		{"ip=10.77.0.2::10.77.0.1:255.255.255.0:files:eth0:off:10.77.0.1", "[10.77.0.2/24] [10.77.0.1] [10.77.0.1] dhcp=false dev=eth0 files"},
		{"ip=10.77.0.2:::25::eth0", "[10.77.0.2/25] [] [] dhcp=false dev=eth0 fsva"},
	} {
		p, errs := parseParams(c.line + "\n")
		if errs != nil {
			t.Errorf("%s: %v", c.line, errs)
		}
		if got := fmt.Sprintf("%v %v %v dhcp=%v dev=%s %s", p.addresses, p.gateways, p.dns, p.dhcp, p.device, p.hostname); got != c.want {
			t.Errorf("%s\ngot  %s\nwant %s", c.line, got, c.want)
		}
	}
}

func TestCommandLineGivesFlagsOfServe(t *testing.T) {
	p, errs := parseParams(`console=ttyS0 "fsva.export=a=host:/data/a b,ro" fsva.export=b=mem: fsva.log-level=debug fsva.format=/dev/vda fsva.yaml=bmZzOiB4Cg== other.thing=1`)
	if errs != nil {
		t.Fatal(errs)
	}
	if want := []string{"--export=a=host:/data/a b,ro", "--export=b=mem:", "--log-level=debug"}; !slices.Equal(p.serve, want) {
		t.Errorf("got %q, want %q", p.serve, want)
	}
	if p.format != "vda" || string(p.yaml) != "nfs: x\n" || !p.gives("export") || p.gives("nfs") || p.value("export") != "b=mem:" {
		t.Errorf("%+v", p)
	}
}

func TestWrongParametersAreNamed(t *testing.T) {
	for line, want := range map[string]string{
		"fsva.exprt=a=mem:":           "fsva.exprt=a=mem:: unknown; known are fsva.ip",
		"fsva.ip=10.77.0.2":           `"10.77.0.2" is not an address with its network's length`,
		"fsva.gw=router":              `"router" is no address`,
		"fsva.nfs":                    "needs a value",
		"fsva.format=/dev/disk/x":     "is not a disk such as vda",
		"fsva.yaml=%":                 "is not a configuration in base64",
		"ip=10.77.0.2":                `"10.77.0.2" is neither dhcp nor off`,
		"ip=10.77.0.2:::255.0.255.0:": `"255.0.255.0" is no network mask`,
		"ip=x:::24:":                  `"x" is no address`,
		"ip=10.77.0.2:::33:":          `"33" is no network mask`,
	} {
		_, errs := parseParams(line + " fsva.admin=off")
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), want) {
			t.Errorf("%s: %v", line, errs)
		}
	}
}

func FuzzParseParams(f *testing.F) {
	f.Add(`ip=1:2:3:4:5:6:7:8:9:10:11 fsva.ip=::/0 "fsva.export=a b`)
	f.Fuzz(func(_ *testing.T, line string) { parseParams(line) })
}
