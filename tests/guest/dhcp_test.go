package guest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsva/fsva/tests/guest"
)

// bridgeFile describes a bridge with two guests. The IPv6 address of the first is
// the one that it makes from its MAC, so that a router advertisement is all that
// it needs; the second has to ask for its own.
const bridgeFile = `bridge: br-dhcp
subnet: 10.78.0.0/24
subnet6: fd78:1:2:3::/64
guests:
  - {name: one, mac: "52:54:00:00:00:11", address: 10.78.0.11}
  - {name: two, mac: "52:54:00:00:00:12", address: 10.78.0.12, address6: "fd78:1:2:3::beef"}
`

// serveBridge has host serve make the bridge and tell the guests their addresses,
// and an appliance serve them.
func serveBridge(t *testing.T) *guest.Network {
	t.Helper()
	n := guest.NewNetwork(t)
	n.Run(t, "mount -t tmpfs tmpfs /run") // where host serve keeps what it has made
	config := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(config, []byte(bridgeFile), 0o600); err != nil {
		t.Fatal(err)
	}
	guest.StartHost(t, n, config)
	// As on the other bridge: what the network driver of guests loses comes again
	// soon.
	n.Run(t, `ip route change 10.78.0.0/24 dev br-dhcp src 10.78.0.1 rto_min 5ms
		ip -6 route change fd78:1:2:3::/64 dev br-dhcp proto kernel metric 256 rto_min 5ms`)
	guest.StartApplianceOnAll(t, n, "--site", config, "--export", "one=mem:,squash=none,clients=@one", "--export", "two=mem:,squash=none,clients=@two")
	return n
}

// mountBy has the guest mount its export by each of its two addresses. They are
// what the export asks of it.
func mountBy(t *testing.T, g *guest.Guest, export string) {
	t.Helper()
	g.Run(t, `mkdir -p /mnt/4 /mnt/6
		mount -t nfs4 -o vers=4.2 10.78.0.1:/`+export+` /mnt/4
		mount -t nfs4 -o vers=4.2 '[fd78:1:2:3::1]:/`+export+`' /mnt/6`)
	writes(t, g)
	if routes := g.Run(t, "ip route show default; ip -6 route show default"); routes != "" {
		t.Errorf("it has a route elsewhere: %s", routes)
	}
}

// writes fails the test unless both mounts work.
func writes(t *testing.T, g *guest.Guest) {
	t.Helper()
	g.Run(t, "cd /mnt; date +%N >4/letter; cmp 4/letter 6/letter; date +%N >6/letter; cmp 6/letter 4/letter")
}

// noAddress takes all addresses from the guest.
const noAddress = `ip address flush dev vec1
	ip link set vec1 down
	ip link set vec1 up
	until ip -6 -o address show dev vec1 scope link -tentative | grep -q fe80; do sleep 0.1; done
`

// udhcpcScript notes what udhcpc is told, and does it.
const udhcpcScript = `#!/bin/sh
case $1 in
deconfig) exit ;;
bound) ip address add "$ip/$mask" dev "$interface" ;;
esac
env >/run/said
mv /run/said "/run/$1"
`

func TestGuestIsGivenItsAddressesByBusyboxAndItsKernel(t *testing.T) {
	t.Parallel()
	n := serveBridge(t)
	g := guest.BootOn(t, n, "tap-one", "52:54:00:00:00:11")
	g.Run(t, "cat >/run/script <<'END'\n"+udhcpcScript+"END\nchmod 755 /run/script\nip link set vec1 up")
	g.Start(t, "exec busybox udhcpc -f -i vec1 -p /run/pid -s /run/script -O hostname -O mtu -O lease -r 10.78.0.12")
	told := g.Run(t, "until [ -e /run/bound ]; do sleep 0.1; done; cat /run/bound")
	for _, want := range []string{"ip=10.78.0.11\n", "mask=24\n", "hostname=one\n", "mtu=1500\n", "lease=86400\n", "serverid=10.78.0.1\n"} {
		if !strings.Contains(told, want) {
			t.Errorf("udhcpc is not told %q:\n%s", want, told)
		}
	}
	for _, never := range []string{"router=", "dns="} {
		if strings.Contains(told, never) {
			t.Errorf("udhcpc is told %s of a network that leads nowhere:\n%s", never, told)
		}
	}
	g.Run(t, "until ip -6 -o address show dev vec1 scope global -tentative | grep 'fd78:1:2:3:5054:ff:fe00:11/64'; do sleep 0.1; done")
	mountBy(t, g, "one")
	g.Run(t, "kill -USR1 $(cat /run/pid); until [ -e /run/renew ]; do sleep 0.1; done; grep ip=10.78.0.11 /run/renew")
	writes(t, g)
}

func TestGuestIsGivenItsAddressesByDhclientAndDhcpcd(t *testing.T) {
	t.Parallel()
	n := serveBridge(t)
	g := guest.BootOn(t, n, "tap-two", "52:54:00:00:00:12")
	g.Run(t, "ip link set vec1 up; mount -t tmpfs tmpfs /var/lib")
	const own = "ip -o address show dev vec1 scope global | awk '{ print $4 }' | sort"

	// ISC's client. Started again it asks whether what it has noted still holds.
	t.Run("dhclient", func(t *testing.T) {
		for range 2 {
			g.Run(t, noAddress+`dhclient -4 -1 -v -lf /run/leases4 -pf /run/pid4 vec1
				dhclient -6 -1 -v -lf /run/leases6 -pf /run/pid6 vec1
				kill $(cat /run/pid4 /run/pid6)`)
			if got := g.Run(t, own); got != "10.78.0.12/24\nfd78:1:2:3::beef/128\n" {
				t.Errorf("it has %s", got)
			}
		}
		mountBy(t, g, "two")
		g.Run(t, "umount /mnt/4 /mnt/6")
	})
	t.Run("dhcpcd", func(t *testing.T) {
		g.Run(t, noAddress+`sed 's/^slaac private/slaac hwaddr/' /etc/dhcpcd.conf >/run/dhcpcd.conf
			dhcpcd -f /run/dhcpcd.conf -d -j /run/log -w vec1
			until [ "$(`+own+`)" = "10.78.0.12/24
fd78:1:2:3::beef/128" ]; do sleep 0.1; done`)
		mountBy(t, g, "two")
		g.Run(t, `: >/run/log
			dhcpcd -N vec1
			until grep 'vec1: REPLY6 received' /run/log && grep 'acknowledged 10.78.0.12' /run/log; do sleep 0.5; done`)
		writes(t, g)
	})
}
