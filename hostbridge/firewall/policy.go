package firewall

import (
	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// rule is a line of a chain: the conditions, what becomes of a frame that meets
// them all, and why.
type rule struct {
	why     string
	verdict verdict
	when    []match
}

// verdict is what becomes of a frame: it passes the hook, it ends, or another
// chain says.
type verdict struct {
	kind expr.VerdictKind
	to   string // of a goto
}

var (
	pass = verdict{kind: expr.VerdictAccept}
	drop = verdict{kind: expr.VerdictDrop}
)

func goTo(chain string) verdict { return verdict{expr.VerdictGoto, chain} }

// chain is a list of rules, and where the kernel enters it if it does.
type chain struct {
	name  string
	hook  *nftables.ChainHook
	rules []rule
}

// The sets of the bridge's table.
const (
	setPorts    = "ports"    // devices that are ours
	setGuests   = "guests"   // those of guests
	setMAC      = "mac"      // device and its MAC
	setIP       = "ip"       // device, its MAC and its IPv4 address
	setIP6      = "ip6"      // device, its MAC and each of its IPv6 addresses
	setServices = "services" // TCP ports of the appliance
	setManage   = "manage"   // TCP ports of it that the host alone may connect to
	setHost6    = "host6"    // the host's IPv6 addresses
	setApp6     = "app6"     // the appliance's
)

// Frames and packets, by what they say they are.
var (
	isARP  = etherType.named("arp", unix.ETH_P_ARP)
	isIP   = etherType.named("ip", unix.ETH_P_IP)
	isIP6  = etherType.named("ip6", unix.ETH_P_IPV6)
	isTCP  = ipProtocol.named("tcp", unix.IPPROTO_TCP)
	isUDP  = ipProtocol.named("udp", unix.IPPROTO_UDP)
	isTCP6 = ip6Next.named("tcp", unix.IPPROTO_TCP)
	isUDP6 = ip6Next.named("udp", unix.IPPROTO_UDP)
	isICMP = ip6Next.named("ipv6-icmp", unix.IPPROTO_ICMPV6)

	request = arpOperation.named("request", 1)
	reply   = arpOperation.named("reply", 2)

	solicitRouter   = icmp6Type.named("nd-router-solicit", 133)
	advertiseRouter = icmp6Type.named("nd-router-advert", 134)
	solicit         = icmp6Type.named("nd-neighbor-solicit", 135)
	advertise       = icmp6Type.named("nd-neighbor-advert", 136)

	// What bridges tell each other: spanning tree, pause, LLDP and more to come
	// (IEEE 802.1Q, table 8-1).
	toBridges = etherTarget.has([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xf0}, expr.CmpOpEq, []byte{0x01, 0x80, 0xc2, 0, 0, 0}, "ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00")

	// A SYN without ACK opens a connection.
	opens = tcpFlags.has([]byte{0x12}, expr.CmpOpEq, []byte{0x02}, "tcp flags & (syn | ack) == syn")
)

// bridgeChains is the whole policy of the bridge. Two questions are asked of a
// frame, each in a hook of its own. Is it from whom it says? prerouting and the
// chains from "source" on answer that, for whatever comes out of a device of
// ours. May it go there? forward, input and output answer that, by pairs of who
// sends and who receives. What no rule lets pass is dropped; devices of others
// are none of our business, but for what would reach ours. Of some frames to the
// bridge itself the kernel asks the second question alone, so that it has to drop
// all of those.
func bridgeChains(s *site.Site) []chain {
	chains := append(sourceChains(s.IPv6()), wayChains(s)...)
	return append(chains, pairChains(s)...)
}

// sourceChains hold everybody to the MAC and the addresses that are its own.
func sourceChains(ipv6 bool) []chain {
	own := in(setIP, iifname, etherSource, ipSource)
	ownARP := in(setIP, iifname, arpSourceMAC, arpSource)
	chains := []chain{
		{"prerouting", nftables.ChainHookPrerouting, []rule{
			{"", goTo("source"), []match{in(setPorts, iifname)}},
		}},
		{"source", nil, append([]rule{
			{"the MAC of somebody else", drop, []match{notIn(setMAC, iifname, etherSource)}},
			{"", goTo("source-arp"), []match{isARP}},
			{"", goTo("source-ip"), []match{isIP}},
		}, onlyIf(ipv6, rule{"", goTo("source-ip6"), []match{isIP6}},
			rule{"VLAN tags and all other protocols", drop, nil})...)},
		{"source-arp", nil, []rule{
			{"not IPv4 on Ethernet", drop, []match{arpFormat.isNot("0x000108000604", []byte{0, 1, 8, 0, 6, 4})}},
			{"", pass, []match{request, ownARP}},
			{"", pass, []match{reply, ownARP}},
			{"a probe, RFC 5227", pass, []match{request, in(setMAC, iifname, arpSourceMAC), arpSource.is("0.0.0.0", make([]byte, 4))}},
			{"the address of somebody else", drop, nil},
		}},
		{"source-ip", nil, []rule{
			{"options, which could route", drop, []match{ipVersionLength.isNot("0x45", []byte{0x45})}},
			{"fragments, whose ports are not seen", drop, []match{ipFragment.has([]byte{0x3f, 0xff}, expr.CmpOpNeq, []byte{0, 0}, "@nh,48,16 & 0x3fff != 0")}},
			{"", pass, []match{own}},
			{"DHCP before there is an address", pass, []match{isUDP, ipSource.is("0.0.0.0", make([]byte, 4)), ipTarget.is("255.255.255.255", []byte{255, 255, 255, 255}), sourcePort.number(68), targetPort.number(67)}},
			{"the address of somebody else", drop, nil},
		}},
	}
	if ipv6 {
		chains = append(chains, source6Chains()...)
	}
	return chains
}

// source6Chains do so for IPv6. No extension header passes, so that what is
// behind the first header is what it seems. Neighbour discovery (RFC 4861) may
// have one option, which says no other MAC than the sender's.
func source6Chains() []chain {
	own := in(setIP6, iifname, etherSource, ip6Source)
	notOwn := rule{"the address of somebody else", drop, []match{notIn(setIP6, iifname, etherSource, ip6Source)}}
	nobody := ip6Source.is("::", make([]byte, 16))
	option := func(f field, kind byte, text string) match { return f.is(text, []byte{kind, 1}) }
	return []chain{
		{"source-ip6", nil, []rule{
			{"", goTo("source-icmp6"), []match{isICMP}},
			{"", pass, []match{isTCP6, own}},
			{"", pass, []match{isUDP6, own}},
			{"extension headers, or the address of somebody else", drop, nil},
		}},
		{"source-icmp6", nil, []rule{
			{"from beyond the bridge", drop, []match{ip6HopLimit.isNot("255", []byte{255})}},
			{"no such message", drop, []match{icmp6Code.isNot("0", []byte{0})}},
			{"", goTo("source-ns"), []match{solicit}},
			{"", goTo("source-na"), []match{advertise}},
			{"", goTo("source-rs"), []match{solicitRouter}},
			{"routers, redirects, echoes", drop, nil},
		}},
		{"source-ns", nil, []rule{
			{"is my address free?", pass, []match{nobody, ip6Length.number(24)}},
			{"the same with a nonce, RFC 7527", pass, []match{nobody, ip6Length.number(32), option(ndOption, 14, "0x0e01")}},
			notOwn,
			{"", pass, []match{ip6Length.number(24)}},
			{"", pass, []match{ip6Length.number(32), option(ndOption, 1, "0x0101"), in(setMAC, iifname, ndOptionMAC)}},
			{"the MAC of somebody else, or more options", drop, nil},
		}},
		{"source-na", nil, []rule{
			notOwn,
			{"the target of somebody else", drop, []match{notIn(setIP6, iifname, etherSource, ndTarget)}},
			{"", pass, []match{ip6Length.number(24)}},
			{"", pass, []match{ip6Length.number(32), option(ndOption, 2, "0x0201"), in(setMAC, iifname, ndOptionMAC)}},
			{"the MAC of somebody else, or more options", drop, nil},
		}},
		{"source-rs", nil, []rule{
			{"before there is an address", pass, []match{nobody, ip6Length.number(8)}},
			notOwn,
			{"", pass, []match{ip6Length.number(8)}},
			{"", pass, []match{ip6Length.number(16), option(rsOption, 1, "0x0101"), in(setMAC, iifname, rsOptionMAC)}},
			{"the MAC of somebody else, or more options", drop, nil},
		}},
	}
}

// onlyIf puts a rule before the last one, if it is wanted.
func onlyIf(wanted bool, r, last rule) []rule {
	if wanted {
		return []rule{r, last}
	}
	return []rule{last}
}
