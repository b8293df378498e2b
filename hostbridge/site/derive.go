package site

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
)

// ula are the unique local addresses that anybody may use (RFC 4193 §3.1).
var ula = netip.MustParsePrefix("fd00::/8")

// deriveMAC makes the MAC of a guest, or with no name that of the bridge. It is
// of the kind that nobody sells: locally administered, of one machine.
func deriveMAC(bridge, name string) net.HardwareAddr {
	sum := sha256.Sum256([]byte("mac\x00" + bridge + "\x00" + name))
	return append(net.HardwareAddr{0x02}, sum[:5]...)
}

// fromMAC is the address that Linux makes from a MAC and a /64, if it is not
// told to make another (RFC 4862 §5.5.3, RFC 4291 appendix A).
func fromMAC(p netip.Prefix, mac net.HardwareAddr) netip.Addr {
	a := p.Addr().As16()
	copy(a[8:], []byte{mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]})
	return netip.AddrFrom16(a)
}

func linkLocal(mac net.HardwareAddr) netip.Addr {
	return fromMAC(netip.MustParsePrefix("fe80::/64"), mac)
}

// FromMAC says that somebody's IPv6 address is what Linux makes of itself.
func (i *Identity) FromMAC() bool {
	return i.IP6.IsValid() && i.IP6 == fromMAC(netip.PrefixFrom(i.IP6, 64).Masked(), i.MAC)
}

// nth is the address n after the network's own.
func nth(p netip.Prefix, n uint32) netip.Addr {
	if p.Addr().Is4() {
		a := p.Addr().As4()
		binary.BigEndian.PutUint32(a[:], binary.BigEndian.Uint32(a[:])+n)
		return netip.AddrFrom4(a)
	}
	a := p.Addr().As16()
	binary.BigEndian.PutUint32(a[12:], n)
	return netip.AddrFrom16(a)
}

// last is the address of an IPv4 network that means all of it.
func last(p netip.Prefix) netip.Addr { return nth(p, 1<<(32-p.Bits())-1) }

// allot finds an address for a name: where its hash says, or the next that is
// free. Names seldom meet, so that most keep theirs whoever else comes or goes.
func allot(p netip.Prefix, name string, taken func(netip.Addr) bool) (a netip.Addr, free bool) {
	sum := sha256.Sum256([]byte("address\x00" + name))
	count := uint32(1)<<(32-p.Bits()) - 2 // all but the network's own and the last
	at := binary.BigEndian.Uint32(sum[:]) % count
	for range count {
		if a = nth(p, 1+at); !taken(a) {
			return a, true
		}
		at = (at + 1) % count
	}
	return a, false
}

// maxDevice is the longest name of an interface, in bytes (IFNAMSIZ).
const maxDevice = 15

// deviceName is the name of a guest's tap. A long one is shortened, and told
// from others by a hash.
func deviceName(name string) string {
	const prefix = "tap-"
	if len(prefix+name) <= maxDevice {
		return prefix + name
	}
	sum := sha256.Sum256([]byte("tap\x00" + name))
	return prefix + name[:4] + "-" + hex.EncodeToString(sum[:3])
}

// checkDevice says what is wrong with the name of an interface, if anything.
func checkDevice(name string) error {
	if name == "" || len(name) > maxDevice || name == "." || name == ".." || name == "all" || name == "default" {
		return fmt.Errorf("%q cannot name an interface: 1 to %d bytes are needed", name, maxDevice)
	}
	for _, c := range []byte(name) {
		if !lower(c) && (c < 'A' || c > 'Z') && c != '.' && c != '_' {
			return fmt.Errorf("%q cannot name an interface: letters, digits, dots, underscores and hyphens are allowed", name)
		}
	}
	return nil
}

// checkName says what is wrong with the name of a guest, if anything. It can be
// a label of a host name (RFC 1123 §2.1).
func checkName(name string) error {
	if name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return fmt.Errorf("%q cannot name a guest: 1 to 63 bytes are needed, with no hyphen at the ends", name)
	}
	for _, c := range []byte(name) {
		if !lower(c) {
			return fmt.Errorf("%q cannot name a guest: lower-case letters, digits and hyphens are allowed", name)
		}
	}
	return nil
}

// lower accepts lower-case letters, digits and hyphens.
func lower(c byte) bool {
	return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-'
}

func parseNetwork(text string) (netip.Prefix, error) {
	p, err := netip.ParsePrefix(text)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is no network such as 10.77.0.0/24", text)
	case p != p.Masked():
		return p, fmt.Errorf("%s has bits set beyond its length; the network is %v", text, p.Masked())
	}
	return p, nil
}
