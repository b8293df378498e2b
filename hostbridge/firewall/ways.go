package firewall

import (
	"net/netip"

	"github.com/google/nftables"

	"github.com/fsva/fsva/hostbridge/site"
)

// wayChains send a frame to the chain of who sends it and who receives it.
func wayChains(s *site.Site) []chain {
	guest, toGuest, ours, toOurs := in(setGuests, iifname), in(setGuests, oifname), in(setPorts, iifname), in(setPorts, oifname)
	control := rule{"to bridges themselves, as LLDP is", drop, []match{ours, toBridges}}
	forward := []rule{control, {"guest to guest", drop, []match{guest, toGuest}}}
	input := []rule{control, {"", goTo("guest-host"), []match{guest}}}
	output := []rule{{"", goTo("host-guest"), []match{toGuest}}}
	if !s.ApplianceOnHost() {
		device := s.Appliance.Device
		forward = append(forward,
			rule{"", goTo("guest-appliance"), []match{guest, oifname.device(device)}},
			rule{"", goTo("appliance-guest"), []match{iifname.device(device), toGuest}})
		input = append(input, rule{"", goTo("appliance-host"), []match{iifname.device(device)}})
		output = append(output, rule{"", goTo("host-appliance"), []match{oifname.device(device)}})
	}
	forward = append(forward,
		rule{"to a device that is not ours", drop, []match{ours}},
		rule{"from a device that is not ours", drop, []match{toOurs}})
	return []chain{
		{"forward", nftables.ChainHookForward, forward},
		{"input", nftables.ChainHookInput, input},
		{"output", nftables.ChainHookOutput, output},
	}
}

// end is one end of a way.
type end struct {
	ip, ip6 netip.Addr
	six     string // set of all its IPv6 addresses
}

// pairChains say what may go between two, one way each.
func pairChains(s *site.Site) []chain {
	host := end{s.Host.IP4, s.Host.IP6, setHost6}
	six := s.IPv6()
	if s.ApplianceOnHost() {
		return []chain{
			{"guest-host", nil, join(resolving(host, six), asking(host, six), connecting(host, six, setServices), nothingElse)},
			{"host-guest", nil, join(resolvedBy(host, six), answering(host, six), answers(host, six, setServices), nothingElse)},
		}
	}
	app := end{s.Appliance.IP4, s.Appliance.IP6, setApp6}
	return []chain{
		{"guest-host", nil, join(resolving(host, six), asking(host, six), nothingElse)},
		{"host-guest", nil, join(resolvedBy(host, six), answering(host, six), nothingElse)},
		{"guest-appliance", nil, join(resolving(app, six), connecting(app, six, setServices), nothingElse)},
		{"appliance-guest", nil, join(resolvedBy(app, six), answers(app, six, setServices), nothingElse)},
		{"host-appliance", nil, join(resolvedBy(host, six), answering(host, six), connecting(app, six, setServices), connecting(app, six, setManage), nothingElse)},
		{"appliance-host", nil, join(resolving(host, six), asking(host, six), answers(app, six, setServices), answers(app, six, setManage), nothingElse)},
	}
}

// groups of rules; those of IPv6 are left out where there is none.

func join(groups ...[]rule) (all []rule) {
	for _, g := range groups {
		all = append(all, g...)
	}
	return all
}

var nothingElse = []rule{{"nothing else", drop, nil}}

func group(four []rule, ipv6 bool, six ...rule) []rule {
	if !ipv6 {
		return four
	}
	return append(four, six...)
}

// resolving lets others ask for the MAC of an end, and answer it.
func resolving(e end, ipv6 bool) []rule {
	return group([]rule{{"", pass, []match{isARP, arpTarget.address(e.ip)}}}, ipv6,
		rule{"", pass, []match{isIP6, isICMP, solicit, in(e.six, ndTarget)}},
		rule{"", pass, []match{isIP6, isICMP, advertise, in(e.six, ip6Target)}})
}

// resolvedBy lets an end ask and answer others.
func resolvedBy(e end, ipv6 bool) []rule {
	return group([]rule{{"", pass, []match{isARP, arpSource.address(e.ip)}}}, ipv6,
		rule{"", pass, []match{isIP6, isICMP, solicit, in(e.six, ip6Source)}},
		rule{"", pass, []match{isIP6, isICMP, advertise, in(e.six, ip6Source)}})
}

// asking lets others ask the host for their addresses.
func asking(host end, ipv6 bool) []rule {
	return group([]rule{
		{"DHCP", pass, []match{isIP, isUDP, ipTarget.is("255.255.255.255", []byte{255, 255, 255, 255}), sourcePort.number(68), targetPort.number(67)}},
		{"DHCP", pass, []match{isIP, isUDP, ipTarget.address(host.ip), sourcePort.number(68), targetPort.number(67)}},
	}, ipv6,
		rule{"", pass, []match{isIP6, isICMP, solicitRouter}},
		rule{"DHCPv6", pass, []match{isIP6, isUDP6, ip6Target.address(dhcpServers), sourcePort.number(546), targetPort.number(547)}})
}

// dhcpServers is the group that DHCPv6 is asked at (RFC 8415 §7.1).
var dhcpServers = netip.MustParseAddr("ff02::1:2")

// answering lets the host answer that.
func answering(host end, ipv6 bool) []rule {
	return group([]rule{
		{"DHCP", pass, []match{isIP, isUDP, ipSource.address(host.ip), sourcePort.number(67), targetPort.number(68)}},
	}, ipv6,
		rule{"", pass, []match{isIP6, isICMP, advertiseRouter, in(host.six, ip6Source)}},
		rule{"DHCPv6", pass, []match{isIP6, isUDP6, in(host.six, ip6Source), sourcePort.number(547), targetPort.number(546)}})
}

// connecting lets others connect to ports of an end.
func connecting(e end, ipv6 bool, ports string) []rule {
	return group([]rule{{"", pass, []match{isIP, isTCP, ipTarget.address(e.ip), in(ports, targetPort)}}}, ipv6,
		rule{"", pass, []match{isIP6, isTCP6, ip6Target.address(e.ip6), in(ports, targetPort)}})
}

// answers lets an end answer who connected, and not connect itself.
func answers(e end, ipv6 bool, ports string) []rule {
	return group([]rule{
		{"opens a connection itself", drop, []match{isIP, isTCP, opens}},
		{"", pass, []match{isIP, isTCP, ipSource.address(e.ip), in(ports, sourcePort)}},
	}, ipv6,
		rule{"opens a connection itself", drop, []match{isIP6, isTCP6, opens}},
		rule{"", pass, []match{isIP6, isTCP6, ip6Source.address(e.ip6), in(ports, sourcePort)}})
}

// routeChains keep the host from routing into the bridge or out of it. A frame
// that the bridge carries from port to port comes by here as well where
// br_netfilter is on, in and out by the bridge.
func routeChains(s *site.Site) []chain {
	return []chain{{"forward", nftables.ChainHookForward, []rule{
		{"no way out", drop, []match{iifname.device(s.Bridge), oifname.notDevice(s.Bridge)}},
		{"no way in", drop, []match{iifname.notDevice(s.Bridge), oifname.device(s.Bridge)}},
	}}}
}
