package link

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
	"github.com/fsva/fsva/internal/strictyaml"
)

// admit says what of others is in the way of a site.
func (h *host) admit(s *site.Site, journal *Journal) error {
	var errs strictyaml.Errors
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		bad("this host makes no taps: %w; modprobe tun", err)
	}
	if s.IPv6() && sysctl("ipv6", "all", "disable_ipv6") != "0" {
		bad("%s has a subnet6, but IPv6 is off on this host; turn it on with sysctl net.ipv6.conf.all.disable_ipv6=0, or leave subnet6 out", s.Path)
	}
	mine := make(map[int]bool)
	for _, l := range h.made(s.Bridge, journal) {
		mine[l.Attrs().Index] = true
	}
	if h.bridge != nil && (!mine[h.bridge.Attrs().Index] || h.bridge.Type() != "bridge") {
		bad("interface %s is there and was not made by appliance host up; name another as bridge: in %s, or remove it with ip link delete %[1]s", s.Bridge, s.Path)
	}
	for _, p := range s.Ports() {
		l := h.links[p.Device]
		switch {
		case l == nil:
		case p.External && mine[l.Attrs().Index]:
		case p.External && l.Attrs().MasterIndex != 0 && (h.bridge == nil || l.Attrs().MasterIndex != h.bridge.Attrs().Index):
			bad("interface %s of guest %s is on another bridge; take it off with ip link set %[1]s nomaster", p.Device, p.Name)
		case !p.External && !mine[l.Attrs().Index]:
			bad("interface %s is there and was not made by appliance host up; give %s another name with tap: in %s, or remove it with ip link delete %[1]s", p.Device, p.Name, s.Path)
		}
	}
	if err := h.clashes(s, bad); err != nil {
		return err
	}
	if len(errs) > 0 {
		return errs
	}
	return nil
}

// clashes looks for addresses and routes of others that overlap the site's
// networks.
func (h *host) clashes(s *site.Site, bad func(string, ...any)) error {
	names := make(map[int]string)
	for name, l := range h.links {
		names[l.Attrs().Index] = name
	}
	subnets := []netip.Prefix{s.Subnet}
	if s.IPv6() {
		subnets = append(subnets, s.Subnet6)
	}
	said := make(map[string]bool)
	overlaps := func(index int, p netip.Prefix, format string) {
		for _, subnet := range subnets {
			if h.bridge != nil && index == h.bridge.Attrs().Index || p.Bits() == 0 || !subnet.Overlaps(p) {
				continue
			}
			if text := fmt.Sprintf(format, p, names[index]); !said[names[index]] {
				said[names[index]] = true
				bad("%v of %s is also %s; choose another subnet", subnet, s.Path, text)
			}
		}
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list addresses: %w", err)
	}
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok && !p.Addr().IsLinkLocalUnicast() {
			overlaps(a.LinkIndex, p, "the address %v of interface %s")
		}
	}
	routes, err := netlink.RouteList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list routes: %w", err)
	}
	for _, r := range routes {
		if p, ok := prefix(r.Dst); ok && r.Type == unix.RTN_UNICAST {
			overlaps(r.LinkIndex, p, "the route to %v by interface %s")
		}
	}
	return nil
}
