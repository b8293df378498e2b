package dhcp

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Sizes of headers, in bytes.
const (
	etherHeader = 14
	ip4Header   = 20
	ip6Header   = 40
	udpHeader   = 8
)

// datagram is what a frame carries: UDP, or a message of ICMPv6.
type datagram struct {
	from, to               net.HardwareAddr
	source, target         netip.Addr
	protocol, hops         byte
	sourcePort, targetPort uint16 // of UDP
	payload                []byte // behind the header of UDP, or all of ICMPv6
}

// parse takes a frame apart. It accepts what the firewall lets pass and no more:
// no options, no fragments, no extension headers. Checksums are not looked at,
// since a machine on this host need not have made them: the frame was never on a
// wire. The result lies in the frame.
func parse(f []byte) (d datagram, ok bool) {
	if len(f) < etherHeader {
		return d, false
	}
	d.to, d.from = f[:6], f[6:12]
	switch kind, f := binary.BigEndian.Uint16(f[12:]), f[etherHeader:]; kind {
	case unix.ETH_P_IP:
		ok = d.parse4(f)
	case unix.ETH_P_IPV6:
		ok = d.parse6(f)
	}
	if ok && d.protocol == unix.IPPROTO_UDP {
		ok = d.parseUDP()
	}
	return d, ok
}

// parse4 reads a packet of IPv4 (RFC 791 §3.1).
func (d *datagram) parse4(f []byte) bool {
	if len(f) < ip4Header || f[0] != 0x45 || binary.BigEndian.Uint16(f[6:])&0x3fff != 0 {
		return false
	}
	length := int(binary.BigEndian.Uint16(f[2:]))
	if length < ip4Header || length > len(f) {
		return false
	}
	d.hops, d.protocol = f[8], f[9]
	d.source, d.target = netip.AddrFrom4([4]byte(f[12:16])), netip.AddrFrom4([4]byte(f[16:20]))
	d.payload = f[ip4Header:length]
	return d.protocol == unix.IPPROTO_UDP
}

// parse6 reads a packet of IPv6 (RFC 8200 §3).
func (d *datagram) parse6(f []byte) bool {
	if len(f) < ip6Header || f[0]>>4 != 6 {
		return false
	}
	length := int(binary.BigEndian.Uint16(f[4:]))
	if length > len(f)-ip6Header {
		return false
	}
	d.protocol, d.hops = f[6], f[7]
	d.source, d.target = netip.AddrFrom16([16]byte(f[8:24])), netip.AddrFrom16([16]byte(f[24:40]))
	d.payload = f[ip6Header : ip6Header+length]
	return d.protocol == unix.IPPROTO_UDP || d.protocol == unix.IPPROTO_ICMPV6
}

func (d *datagram) parseUDP() bool {
	p := d.payload
	if len(p) < udpHeader {
		return false
	}
	length := int(binary.BigEndian.Uint16(p[4:]))
	if length < udpHeader || length > len(p) {
		return false
	}
	d.sourcePort, d.targetPort = binary.BigEndian.Uint16(p), binary.BigEndian.Uint16(p[2:])
	d.payload = p[udpHeader:length]
	return true
}

// frame is the opposite of parse. The checksum of ICMPv6 is in the payload
// already.
func (d *datagram) frame() []byte {
	body := d.payload
	if d.protocol == unix.IPPROTO_UDP {
		body = d.udp()
	}
	f := append(append(make([]byte, 0, etherHeader+ip6Header+len(body)), d.to...), d.from...)
	if d.source.Is4() {
		f = binary.BigEndian.AppendUint16(f, unix.ETH_P_IP)
		h := [ip4Header]byte{0: 0x45, 8: d.hops, 9: d.protocol}
		binary.BigEndian.PutUint16(h[2:], uint16(ip4Header+len(body)))
		copy(h[12:], d.source.AsSlice())
		copy(h[16:], d.target.AsSlice())
		binary.BigEndian.PutUint16(h[10:], ^sum(0, h[:]))
		return append(append(f, h[:]...), body...)
	}
	f = binary.BigEndian.AppendUint16(f, unix.ETH_P_IPV6)
	h := [ip6Header]byte{0: 0x60, 6: d.protocol, 7: d.hops}
	binary.BigEndian.PutUint16(h[4:], uint16(len(body)))
	copy(h[8:], d.source.AsSlice())
	copy(h[24:], d.target.AsSlice())
	return append(append(f, h[:]...), body...)
}

// udp is the payload with its header (RFC 768).
func (d *datagram) udp() []byte {
	b := make([]byte, udpHeader, udpHeader+len(d.payload))
	length := uint16(udpHeader + len(d.payload))
	binary.BigEndian.PutUint16(b, d.sourcePort)
	binary.BigEndian.PutUint16(b[2:], d.targetPort)
	binary.BigEndian.PutUint16(b[4:], length)
	b = append(b, d.payload...)
	pseudo := append(d.source.AsSlice(), d.target.AsSlice()...)
	pseudo = append(pseudo, 0, d.protocol, byte(length>>8), byte(length))
	check := ^sum(sum(0, pseudo), b)
	if check == 0 { // which would mean that there is none
		check = 0xffff
	}
	binary.BigEndian.PutUint16(b[6:], check)
	return b
}

// sum adds in ones' complement (RFC 1071).
func sum(start uint16, b []byte) uint16 {
	n := uint32(start)
	for ; len(b) > 1; b = b[2:] {
		n += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		n += uint32(b[0]) << 8
	}
	for n > 0xffff {
		n = n&0xffff + n>>16
	}
	return uint16(n)
}
