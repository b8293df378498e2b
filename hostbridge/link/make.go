package link

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/site"
)

// setting is a sysctl of an interface.
type setting struct{ family, key, value string }

// bridgeSettings keep the host's network to itself: nothing is routed from the
// bridge, ARP is answered for the bridge's own address only, and nobody on it
// can make the host a client of a router.
func bridgeSettings(s *site.Site) []setting {
	list := []setting{
		{"ipv4", "forwarding", "0"},
		{"ipv4", "arp_ignore", "1"},
		{"ipv4", "send_redirects", "0"},
		{"ipv4", "accept_redirects", "0"},
	}
	if s.IPv6() {
		// The address is given and not made, so that it is the one that the
		// firewall knows.
		return append(list, setting{"ipv6", "disable_ipv6", "0"}, setting{"ipv6", "addr_gen_mode", "1"},
			setting{"ipv6", "accept_ra", "0"}, setting{"ipv6", "accept_redirects", "0"}, setting{"ipv6", "accept_dad", "0"})
	}
	return append(list, setting{"ipv6", "disable_ipv6", "1"})
}

// portSettings keep the host from being reached by a port itself: it has no IPv6
// there, answers no ARP, and takes IPv4 from nobody, since no route leads there.
var portSettings = []setting{
	{"ipv6", "disable_ipv6", "1"},
	{"ipv4", "arp_ignore", "8"},
	{"ipv4", "rp_filter", "1"},
}

// differ lists the settings that are not as they should be. A host without IPv6
// has none of its settings.
func differ(device string, list []setting) (wrong []string) {
	for _, s := range list {
		if is := sysctl(s.family, device, s.key); is != s.value && is != "" {
			wrong = append(wrong, s.family+"."+s.key)
		}
	}
	return wrong
}

func apply(device string, list []setting) error {
	for _, s := range list {
		if sysctl(s.family, device, s.key) == "" {
			continue
		}
		if err := setSysctl(s.family, device, s.key, s.value); err != nil {
			return err
		}
	}
	return nil
}

// bridgeAddresses are those that the bridge should have.
func bridgeAddresses(s *site.Site) []netip.Prefix {
	list := []netip.Prefix{netip.PrefixFrom(s.Host.IP4, s.Subnet.Bits())}
	if s.IPv6() {
		list = append(list, netip.PrefixFrom(s.Host.IP6, 64), netip.PrefixFrom(s.Host.LinkLocal, 64))
	}
	return list
}

// planBridge finds what has to change of the bridge itself.
func (h *host) planBridge(s *site.Site) *change.Change {
	thing := "bridge " + s.Bridge
	if h.bridge == nil {
		var with []string
		for _, p := range bridgeAddresses(s) {
			with = append(with, p.String())
		}
		return &change.Change{Verb: change.Make, Thing: thing, Detail: strings.Join(with, ", "), Do: func() error { return h.makeBridge(s) }}
	}
	wrong := differ(s.Bridge, bridgeSettings(s))
	a := h.bridge.Attrs()
	note := func(differs bool, what string) {
		if differs {
			wrong = append(wrong, what)
		}
	}
	note(a.Alias != mark(s.Bridge, ""), "mark")
	note(!bytes.Equal(a.HardwareAddr, s.Host.MAC), "MAC")
	note(a.MTU != s.MTU, "mtu")
	note(a.Flags&net.FlagUp == 0, "down")
	if b, ok := h.bridge.(*netlink.Bridge); ok {
		note(snoops(b), "multicast snooping")
		note(keepsControl(b), "group forwarding")
	}
	note(!sameElements(h.addrs, bridgeAddresses(s)), "addresses")
	note(len(h.surplusNeighbours(s)) > 0, "neighbours")
	if len(wrong) == 0 {
		return nil
	}
	return &change.Change{Verb: change.Alter, Thing: thing, Detail: strings.Join(wrong, ", "), Do: func() error { return h.configureBridge(s) }}
}

func sameElements[T comparable](a, b []T) bool {
	return len(a) == len(b) && !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}

func (h *host) makeBridge(s *site.Site) error {
	b := carrier(s.Bridge)
	b.HardwareAddr = s.Host.MAC
	if err := netlink.LinkAdd(b); err != nil {
		return err
	}
	l, err := netlink.LinkByName(s.Bridge)
	if err != nil {
		return err
	}
	h.bridge = l
	return h.configureBridge(s)
}

// configureBridge makes all of the bridge as it should be.
func (h *host) configureBridge(s *site.Site) error {
	b := h.bridge
	if err := netlink.LinkSetAlias(b, mark(s.Bridge, "")); err != nil {
		return fmt.Errorf("mark: %w", err)
	}
	if err := apply(s.Bridge, bridgeSettings(s)); err != nil {
		return err
	}
	forgets := !bytes.Equal(b.Attrs().HardwareAddr, s.Host.MAC)
	if forgets { // all neighbours, even if it is given the MAC it has
		if err := netlink.LinkSetHardwareAddr(b, s.Host.MAC); err != nil {
			return fmt.Errorf("MAC: %w", err)
		}
		clear(h.neigh)
	}
	if err := netlink.LinkSetMTU(b, s.MTU); err != nil {
		return fmt.Errorf("mtu: %w", err)
	}
	if br, ok := b.(*netlink.Bridge); ok && (snoops(br) || keepsControl(br)) {
		if err := netlink.LinkModify(carrier(s.Bridge)); err != nil {
			return fmt.Errorf("multicast snooping, group forwarding: %w", err)
		}
	}
	if err := netlink.LinkSetUp(b); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	if err := h.setAddresses(bridgeAddresses(s)); err != nil {
		return err
	}
	for i := range s.Ports() {
		if p := &s.Ports()[i]; forgets {
			if err := h.setNeighbours(p); err != nil {
				return err
			}
		}
	}
	for _, a := range h.surplusNeighbours(s) {
		if err := netlink.NeighDel(neighbour(b.Attrs().Index, a, h.neigh[a])); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("neighbour %v: %w", a, err)
		}
	}
	return nil
}

// controlForward has frames to 01:80:c2:00:00:03 to 0f, a bit each, treated as
// those to others, which come by the whole firewall. Without, the kernel hands
// those to 0e, LLDP, to the host past all hooks, and asks only the hook input of
// the rest, as it does of 02, for which it takes no bit.
const controlForward uint16 = 0xfff8

// carrier is a bridge that sends multicasts to all ports, as neighbour discovery
// needs, and knows no frames that are for itself. It has nothing else of the
// bridge that is there: a kernel may refuse what it tells of itself.
func carrier(name string) *netlink.Bridge {
	snooping, forward := false, controlForward
	b := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &snooping, GroupFwdMask: &forward}
	b.Name = name
	return b
}

func snoops(b *netlink.Bridge) bool { return b.MulticastSnooping == nil || *b.MulticastSnooping }

func keepsControl(b *netlink.Bridge) bool {
	return b.GroupFwdMask == nil || *b.GroupFwdMask != controlForward
}

// setAddresses gives the bridge the addresses and takes others from it. Those of
// IPv6 can be used at once: nobody else on the bridge can have them.
func (h *host) setAddresses(want []netip.Prefix) error {
	for _, p := range h.addrs {
		if !slices.Contains(want, p) {
			if err := netlink.AddrDel(h.bridge, &netlink.Addr{IPNet: ipNet(p)}); err != nil {
				return fmt.Errorf("address %v: %w", p, err)
			}
		}
	}
	for _, p := range want {
		a := &netlink.Addr{IPNet: ipNet(p)}
		if p.Addr().Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(h.bridge, a); err != nil {
			return fmt.Errorf("address %v: %w", p, err)
		}
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// surplusNeighbours are the addresses of nobody on the site, of which the host
// is told a MAC.
func (h *host) surplusNeighbours(s *site.Site) (list []netip.Addr) {
	known := make(map[netip.Addr]bool)
	for _, p := range s.Ports() {
		for _, a := range p.Addresses() {
			known[a] = true
		}
	}
	for a := range h.neigh {
		if !known[a] && !a.IsMulticast() {
			list = append(list, a)
		}
	}
	return list
}

func neighbour(index int, a netip.Addr, mac net.HardwareAddr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, State: netlink.NUD_PERMANENT, IP: a.AsSlice(), HardwareAddr: mac}
}

// wantedFlags are how the bridge should treat a port.
func wantedFlags(s *site.Site, p *site.Port) flags {
	return flags{isolated: p.Device != s.Appliance.Device}
}

// planPort finds what has to change of a port.
func (h *host) planPort(s *site.Site, p *site.Port) *change.Change {
	l := h.links[p.Device]
	who := fmt.Sprintf("%s %v %v", p.Name, p.MAC, p.IP4)
	if p.IP6.IsValid() {
		who += " " + p.IP6.String()
	}
	switch {
	case l == nil && p.External:
		return h.planExternal(s, p, who)
	case l == nil:
		return &change.Change{Verb: change.Make, Thing: "tap " + p.Device, Detail: who, Do: func() error { return h.makeTap(s, p) }}
	case p.External && (h.bridge == nil || l.Attrs().MasterIndex != h.bridge.Attrs().Index):
		return h.planExternal(s, p, who)
	}
	wrong := h.portDiffers(s, p, l)
	if len(wrong) == 0 {
		return nil
	}
	return &change.Change{Verb: change.Alter, Thing: kind(l) + " " + p.Device, Detail: p.Name + ": " + strings.Join(wrong, ", "), Do: func() error { return h.configurePort(s, p, l) }}
}

// planExternal is for a port that others have not put on the bridge yet.
func (h *host) planExternal(s *site.Site, p *site.Port, who string) *change.Change {
	if h.bridge != nil && len(h.missingNeighbours(p)) == 0 {
		return nil
	}
	return &change.Change{Verb: change.Make, Thing: "neighbour " + p.Name, Detail: who, Do: func() error { return h.setNeighbours(p) }}
}

func (h *host) portDiffers(s *site.Site, p *site.Port, l netlink.Link) (wrong []string) {
	a := l.Attrs()
	note := func(differs bool, what string) {
		if differs {
			wrong = append(wrong, what)
		}
	}
	if !p.External {
		wrong = differ(p.Device, portSettings)
		note(a.Alias != mark(s.Bridge, p.Name), "mark")
		note(a.MTU != s.MTU, "mtu")
		note(a.Flags&net.FlagUp == 0, "down")
		note(h.bridge == nil || a.MasterIndex != h.bridge.Attrs().Index, "not on the bridge")
		if t, ok := l.(*netlink.Tuntap); ok {
			note(t.Owner != s.Owner, "owner")
		}
	}
	note(h.ports[a.Index] != wantedFlags(s, p), "flags of the port")
	note(!h.forwards(a.Index, p.MAC), "forwarding table")
	note(len(h.missingNeighbours(p)) > 0, "neighbours")
	return wrong
}

// forwards says that the bridge knows a MAC to be behind a port, for good, and no
// other. It has an entry for each VLAN of the port, too, if it knows of VLANs.
func (h *host) forwards(index int, mac net.HardwareAddr) bool {
	other := func(e entry) bool { return !e.sticky || !bytes.Equal(e.mac, mac) }
	return len(h.fdb[index]) > 0 && !slices.ContainsFunc(h.fdb[index], other)
}

// missingNeighbours are the addresses of a port of which the host is not told
// the MAC.
func (h *host) missingNeighbours(p *site.Port) (list []netip.Addr) {
	for _, a := range p.Addresses() {
		if !bytes.Equal(h.neigh[a], p.MAC) {
			list = append(list, a)
		}
	}
	return list
}

func (h *host) setNeighbours(p *site.Port) error {
	for _, a := range h.missingNeighbours(p) {
		if err := netlink.NeighSet(neighbour(h.bridge.Attrs().Index, a, p.MAC)); err != nil {
			return fmt.Errorf("neighbour %v: %w", a, err)
		}
	}
	return nil
}
