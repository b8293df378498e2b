// Package link is the bridge and the taps on it: how they should be, what of that
// is there, and the changes between.
//
// What it makes is marked with an alias (see ip-link(8), alias) that begins with
// "fsva:", so that it can be told from what is another's and found again without
// the file it was made from. Before something without its mark yet can be left by
// a crash, its name is in the journal.
package link

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/site"
)

// mark is the alias of what we made: of a bridge, or of the port of somebody.
func mark(bridge, name string) string {
	if name == "" {
		return "fsva:" + bridge
	}
	return "fsva:" + bridge + ":" + name
}

// ours says that a device bears the mark of a bridge.
func ours(l netlink.Link, bridge string) bool {
	alias := l.Attrs().Alias
	return alias == mark(bridge, "") || strings.HasPrefix(alias, mark(bridge, "")+":")
}

// Plan finds what has to change for a site, first what has to go. It fails if
// something of others is in the way, and then names it.
func Plan(s *site.Site, journal *Journal) (remove, rest []change.Change, err error) {
	h, err := observe(s.Bridge)
	if err != nil {
		return nil, nil, err
	}
	if err := h.admit(s, journal); err != nil {
		return nil, nil, err
	}
	wanted := make(map[string]bool)
	for _, p := range s.Ports() {
		wanted[p.Device] = !p.External
	}
	for _, l := range h.made(s.Bridge, journal) {
		if name := l.Attrs().Name; name != s.Bridge && !wanted[name] {
			remove = append(remove, removal(l))
		}
	}
	if c := h.planBridge(s); c != nil {
		rest = append(rest, *c)
	}
	for i := range s.Ports() {
		if c := h.planPort(s, &s.Ports()[i]); c != nil {
			rest = append(rest, *c)
		}
	}
	return remove, rest, nil
}

// Confine finds what has to change for the ports that others make. It needs no
// journal: it makes and removes no device, and another may do the same meanwhile.
func Confine(s *site.Site) (changes []change.Change, err error) {
	ports := slices.DeleteFunc(slices.Clone(s.Ports()), func(p site.Port) bool { return !p.External })
	if len(ports) == 0 {
		return nil, nil
	}
	h, err := observe(s.Bridge)
	if err != nil || h.bridge == nil || !ours(h.bridge, s.Bridge) {
		return nil, err
	}
	for i := range ports {
		if c := h.planPort(s, &ports[i]); c != nil {
			changes = append(changes, *c)
		}
	}
	return changes, nil
}

// Remove finds what is there of a bridge, and is to be removed: taps first. busy
// are the taps that somebody has open.
func Remove(bridge string, journal *Journal) (changes []change.Change, busy []string, err error) {
	h, err := observe(bridge)
	if err != nil {
		return nil, nil, err
	}
	for _, l := range h.made(bridge, journal) {
		if l.Type() == "tuntap" && l.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 {
			busy = append(busy, l.Attrs().Name)
		}
		changes = append(changes, removal(l))
	}
	return changes, busy, nil
}

// Bridges lists the bridges of which we have made something that is still there,
// by mark or by journal, sorted.
func Bridges(dir string) ([]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	list := Journaled(dir)
	for _, l := range links {
		if bridge, ok := strings.CutPrefix(l.Attrs().Alias, mark("", "")); ok {
			bridge, _, _ = strings.Cut(bridge, ":")
			list = append(list, bridge)
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}

// Foreign says that there is an interface of that name that we have not made.
func Foreign(bridge string, journal *Journal) (bool, error) {
	h, err := observe(bridge)
	if err != nil || h.bridge == nil {
		return false, err
	}
	return !slices.Contains(h.made(bridge, journal), h.bridge), nil
}

func removal(l netlink.Link) change.Change {
	return change.Change{Verb: change.Remove, Thing: kind(l) + " " + l.Attrs().Name, Do: func() error { return netlink.LinkDel(l) }}
}

// kind is what a user calls a device.
func kind(l netlink.Link) string {
	switch l.Type() {
	case "bridge":
		return "bridge"
	case "tuntap", "tun":
		return "tap"
	}
	return l.Type() + " interface"
}

// host is what is there now.
type host struct {
	links  map[string]netlink.Link
	bridge netlink.Link // nil if there is none of that name
	ports  map[int]flags
	fdb    map[int][]entry // static entries of each port
	neigh  map[netip.Addr]net.HardwareAddr
	addrs  []netip.Prefix // of the bridge
}

// entry is a MAC that the bridge knows to be behind a port. If it is sticky, no
// frame from elsewhere moves it there: an entry that is merely static is moved.
type entry struct {
	mac    net.HardwareAddr
	sticky bool
}

func observe(bridge string) (*host, error) {
	h := &host{links: make(map[string]netlink.Link), fdb: make(map[int][]entry), neigh: make(map[netip.Addr]net.HardwareAddr)}
	links, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	for _, l := range links {
		h.links[l.Attrs().Name] = l
	}
	if h.ports, err = portFlags(); err != nil {
		return nil, fmt.Errorf("list bridge ports: %w", err)
	}
	if h.bridge = h.links[bridge]; h.bridge == nil {
		return h, nil
	}
	return h, h.observeBridge()
}

// observeBridge reads what belongs to the bridge.
func (h *host) observeBridge() error {
	index := h.bridge.Attrs().Index
	addrs, err := netlink.AddrList(h.bridge, netlink.FAMILY_ALL)
	if err != nil {
		return fmt.Errorf("list the addresses of %s: %w", h.bridge.Attrs().Name, err)
	}
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok {
			h.addrs = append(h.addrs, p)
		}
	}
	fdb, err := netlink.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		return fmt.Errorf("list the forwarding table: %w", err)
	}
	for _, n := range fdb {
		if n.MasterIndex == index && n.State&netlink.NUD_NOARP != 0 {
			h.fdb[n.LinkIndex] = append(h.fdb[n.LinkIndex], entry{n.HardwareAddr, n.Flags&netlink.NTF_STICKY != 0})
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		list, err := netlink.NeighList(index, family)
		if err != nil {
			return fmt.Errorf("list the neighbours of %s: %w", h.bridge.Attrs().Name, err)
		}
		for _, n := range list {
			if a, ok := netip.AddrFromSlice(n.IP); ok && n.State&netlink.NUD_PERMANENT != 0 {
				h.neigh[a.Unmap()] = n.HardwareAddr
			}
		}
	}
	return nil
}

// made lists the devices that we made: taps, then the bridge.
func (h *host) made(bridge string, journal *Journal) (list []netlink.Link) {
	for name, l := range h.links {
		if ours(l, bridge) || l.Attrs().Alias == "" && journal.has(name) && (l.Type() == "bridge" || l.Type() == "tuntap") {
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(a, b netlink.Link) int {
		if (a.Type() == "bridge") != (b.Type() == "bridge") {
			if a.Type() == "bridge" {
				return 1
			}
			return -1
		}
		return strings.Compare(a.Attrs().Name, b.Attrs().Name)
	})
	return list
}

// flags are how the bridge treats a port. Guests are isolated: they reach ports
// that are not, and no other. Nothing is learnt, so that no guest becomes
// another by sending from its MAC; what is known is in the static table.
type flags struct{ isolated, learning, flood bool }

// portFlags reads the flags of all ports of all bridges, by index.
func portFlags() (map[int]flags, error) {
	req := nl.NewNetlinkRequest(unix.RTM_GETLINK, unix.NLM_F_DUMP)
	req.AddData(nl.NewIfInfomsg(unix.AF_BRIDGE))
	msgs, err := req.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
	if err != nil {
		return nil, err
	}
	ports := make(map[int]flags)
	for _, m := range msgs {
		info := nl.DeserializeIfInfomsg(m)
		attrs, err := nl.ParseRouteAttr(m[info.Len():])
		if err != nil {
			return nil, err
		}
		for _, a := range attrs {
			if a.Attr.Type&^unix.NLA_F_NESTED != unix.IFLA_PROTINFO {
				continue
			}
			values, err := nl.ParseRouteAttr(a.Value)
			if err != nil {
				return nil, err
			}
			var f flags
			for _, v := range values {
				on := len(v.Value) > 0 && v.Value[0] != 0
				switch v.Attr.Type {
				case nl.IFLA_BRPORT_ISOLATED:
					f.isolated = on
				case nl.IFLA_BRPORT_LEARNING:
					f.learning = on
				case nl.IFLA_BRPORT_UNICAST_FLOOD:
					f.flood = on
				}
			}
			ports[int(info.Index)] = f
		}
	}
	return ports, nil
}

// set makes flags those of a port.
func (f flags) set(index int) error {
	req := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
	msg := nl.NewIfInfomsg(unix.AF_BRIDGE)
	msg.Index = int32(index)
	req.AddData(msg)
	info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
	for attr, on := range map[int]bool{
		nl.IFLA_BRPORT_ISOLATED: f.isolated, nl.IFLA_BRPORT_LEARNING: f.learning, nl.IFLA_BRPORT_UNICAST_FLOOD: f.flood,
	} {
		value := byte(0)
		if on {
			value = 1
		}
		info.AddRtAttr(attr, []byte{value})
	}
	req.AddData(info)
	_, err := req.Execute(unix.NETLINK_ROUTE, 0)
	return err
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), bits), ok
}

// sysctl reads a setting of an interface; empty if there is none.
func sysctl(family, device, key string) string {
	text, err := os.ReadFile("/proc/sys/net/" + family + "/conf/" + device + "/" + key)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

func setSysctl(family, device, key, value string) error {
	if sysctl(family, device, key) == value {
		return nil
	}
	return os.WriteFile("/proc/sys/net/"+family+"/conf/"+device+"/"+key, []byte(value), 0)
}
