package hostbridge

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// port is a guest whose frames the test makes itself.
type port struct {
	t    *testing.T
	file *os.File
	site.Port
	sourcePort uint16
}

// plug opens a tap as a machine's monitor does.
func plug(t *testing.T, device string) *os.File {
	t.Helper()
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	req, err := unix.NewIfreq(device)
	if err != nil {
		t.Fatal(err)
	}
	req.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
		t.Fatalf("open %s: %v", device, err)
	}
	f := os.NewFile(uintptr(fd), device)
	t.Cleanup(func() { f.Close() })
	return f
}

// stage is a site with two guests, whose host listens on a port that guests may
// reach and on one that they may not.
type stage struct {
	*site.Site
	one, two *port
}

const closedPort = 2222

func newStage(t *testing.T) *stage {
	t.Helper()
	enter(t)
	s := read(t, twoGuests)
	up(t, s)
	for _, network := range []string{"tcp4", "tcp6"} {
		for _, p := range []string{":2049", ":2222"} {
			l, err := net.Listen(network, p)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
		}
	}
	st := &stage{Site: s}
	for i, p := range []**port{&st.one, &st.two} {
		*p = &port{t: t, file: plug(t, s.Guests[i].Device), Port: s.Guests[i], sourcePort: 40000}
	}
	// A port of the bridge forwards when the bridge has seen that it is up.
	for _, p := range []*port{st.one, st.two} {
		p.untilAnswered(st)
	}
	return st
}

func (p *port) send(frame []byte) {
	p.t.Helper()
	if _, err := p.file.Write(frame); err != nil {
		p.t.Fatalf("%s sends: %v", p.Name, err)
	}
}

// receive returns the next frame, or nil if none comes in time.
func (p *port) receive(limit time.Duration) []byte {
	p.t.Helper()
	p.file.SetReadDeadline(time.Now().Add(limit))
	b := make([]byte, 2048)
	n, err := p.file.Read(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// untilAnswered sends what is answered, again and again until it is.
func (p *port) untilAnswered(st *stage) {
	p.t.Helper()
	for range 300 {
		p.sourcePort++
		p.send(p.syn(st, netip.Addr{}, 2049))
		for f := p.receive(100 * time.Millisecond); f != nil; f = p.receive(100 * time.Millisecond) {
			if answers(f, p.sourcePort) {
				return
			}
		}
	}
	p.t.Fatalf("the bridge carries nothing for %s", p.Name)
}

// others returns the frames that come to a guest besides the answer to a
// connection that it opens now: what was sent before would have come by then.
func (p *port) others(st *stage) (frames [][]byte) {
	p.t.Helper()
	p.sourcePort++
	p.send(p.syn(st, netip.Addr{}, 2049))
	for {
		f := p.receive(30 * time.Second)
		switch {
		case f == nil:
			p.t.Fatalf("%s is no longer answered", p.Name)
		case answers(f, p.sourcePort):
			return frames
		case !answers(f, 0):
			frames = append(frames, f)
		}
	}
}

// answers says that a frame is TCP over IPv4 to a port, or with 0 to any, from
// the port that is open: the host sends some more than once.
func answers(f []byte, to uint16) bool {
	return len(f) >= 54 && f[12] == 8 && f[13] == 0 && f[23] == unix.IPPROTO_TCP && binary.BigEndian.Uint16(f[34:]) == 2049 &&
		(to == 0 || binary.BigEndian.Uint16(f[36:]) == to)
}

func ethernet(to, from net.HardwareAddr, kind uint16, payload []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(append([]byte{}, to...), from...), kind), payload...)
}

// syn opens a connection to the host from an address, by default the guest's.
func (p *port) syn(st *stage, from netip.Addr, to uint16) []byte {
	if !from.IsValid() {
		from = p.IP4
	}
	return ethernet(st.Host.MAC, p.MAC, unix.ETH_P_IP, ip4(from, st.Host.IP4, unix.IPPROTO_TCP, tcp(from, st.Host.IP4, p.sourcePort, to)))
}

func ip4(from, to netip.Addr, protocol byte, payload []byte) []byte {
	h := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	h = append(append(h, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(h[2:], uint16(len(h)+len(payload)))
	binary.BigEndian.PutUint16(h[10:], checksum(h))
	return append(h, payload...)
}

func ip6(from, to netip.Addr, next, hops byte, payload []byte) []byte {
	h := []byte{0x60, 0, 0, 0, 0, 0, next, hops}
	binary.BigEndian.PutUint16(h[4:], uint16(len(payload)))
	return append(append(append(h, from.AsSlice()...), to.AsSlice()...), payload...)
}

// tcp is a segment that opens a connection.
func tcp(from, to netip.Addr, sourcePort, port uint16) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, sourcePort)
	binary.BigEndian.PutUint16(b[2:], port)
	b[12], b[13], b[14] = 5<<4, 2, 16 // length, SYN, window
	binary.BigEndian.PutUint16(b[16:], checksum(pseudo(from, to, unix.IPPROTO_TCP, b)))
	return b
}

func udp(from, to netip.Addr, sourcePort, port uint16, payload []byte) []byte {
	b := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(b, sourcePort)
	binary.BigEndian.PutUint16(b[2:], port)
	binary.BigEndian.PutUint16(b[4:], uint16(8+len(payload)))
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[6:], checksum(pseudo(from, to, unix.IPPROTO_UDP, b)))
	return b
}

// icmp6 is a message of neighbour discovery about a target, with a link-layer
// address as its option.
func icmp6(from, to netip.Addr, kind byte, target netip.Addr, option byte, mac net.HardwareAddr) []byte {
	b := append([]byte{kind, 0, 0, 0, 0x20, 0, 0, 0}, target.AsSlice()...)
	b = append(append(b, option, 1), mac...)
	binary.BigEndian.PutUint16(b[2:], checksum(pseudo(from, to, unix.IPPROTO_ICMPV6, b)))
	return b
}

func pseudo(from, to netip.Addr, protocol byte, payload []byte) []byte {
	b := append(append([]byte{}, from.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	return append(append(b, 0, 0, 0, protocol), payload...)
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

func arp(operation byte, fromMAC net.HardwareAddr, from netip.Addr, to netip.Addr) []byte {
	b := append([]byte{0, 1, 8, 0, 6, 4, 0, operation}, fromMAC...)
	b = append(append(b, from.AsSlice()...), make([]byte, 6)...)
	return append(b, to.AsSlice()...)
}

var broadcast = net.HardwareAddr{255, 255, 255, 255, 255, 255}

func TestGuestReachesTheServicesOfTheAppliance(t *testing.T) {
	st := newStage(t)
	if got := st.one.others(st); len(got) > 0 {
		t.Errorf("unasked: %x", got)
	}
	st.one.send(ethernet(broadcast, st.one.MAC, unix.ETH_P_ARP, arp(1, st.one.MAC, st.one.IP4, st.Host.IP4)))
	if got := st.one.others(st); len(got) != 1 || got[0][12] != 8 || got[0][13] != 6 || !bytes.Equal(got[0][22:28], st.Host.MAC) {
		t.Errorf("ARP is answered %x", got)
	}
	target := st.Host.IP6
	group := netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 15: 1})
	st.one.send(ethernet(net.HardwareAddr{0x33, 0x33, 0xff, 0, 0, 1}, st.one.MAC, unix.ETH_P_IPV6,
		ip6(st.one.IP6, group, unix.IPPROTO_ICMPV6, 255, icmp6(st.one.IP6, group, 135, target, 1, st.one.MAC))))
	if got := st.one.others(st); len(got) != 1 || got[0][54] != 136 {
		t.Errorf("neighbour solicitation is answered %x", got)
	}
	st.one.sourcePort++
	st.one.send(ethernet(st.Host.MAC, st.one.MAC, unix.ETH_P_IPV6, ip6(st.one.IP6, target, unix.IPPROTO_TCP, 64, tcp(st.one.IP6, target, st.one.sourcePort, 2049))))
	if got := st.one.others(st); len(got) == 0 || got[0][20] != unix.IPPROTO_TCP || got[0][54+13]&0x12 != 0x12 {
		t.Errorf("a connection over IPv6 is answered %x", got)
	}
}

// lies are frames of guest one that must not arrive, wherever they claim to be
// from and whomever they are for.
func lies(st *stage) map[string][]byte {
	one, two, host := st.one, st.two, &st.Host
	data := []byte("secret")
	to2 := ip4(one.IP4, two.IP4, unix.IPPROTO_UDP, udp(one.IP4, two.IP4, 9, 9, data))
	tagged := append([]byte{0, 5, 8, 0}, one.syn(st, netip.Addr{}, 2049)[14:]...)
	all := netip.MustParseAddr("ff02::1")
	fragment := ip4(one.IP4, host.IP4, unix.IPPROTO_TCP, tcp(one.IP4, host.IP4, 9, 2049))
	fragment[6] = 0x20 // more fragments follow
	binary.BigEndian.PutUint16(fragment[10:], 0)
	binary.BigEndian.PutUint16(fragment[10:], checksum(fragment[:20]))
	elsewhere := netip.MustParseAddr("192.0.2.1")
	list := map[string][]byte{
		"to the other guest":                ethernet(two.MAC, one.MAC, unix.ETH_P_IP, to2),
		"to the other guest by broadcast":   ethernet(broadcast, one.MAC, unix.ETH_P_IP, to2),
		"to the other guest by multicast":   ethernet(net.HardwareAddr{1, 0, 0x5e, 0, 0, 251}, one.MAC, unix.ETH_P_IP, to2),
		"to an unknown MAC":                 ethernet(net.HardwareAddr{2, 9, 9, 9, 9, 9}, one.MAC, unix.ETH_P_IP, to2),
		"to the other guest over IPv6":      ethernet(two.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.IP6, two.IP6, unix.IPPROTO_UDP, 64, udp(one.IP6, two.IP6, 9, 9, data))),
		"to the other guest, link-local":    ethernet(two.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, two.LinkLocal, unix.IPPROTO_UDP, 64, udp(one.LinkLocal, two.LinkLocal, 9, 9, data))),
		"to the other guest by the host":    ethernet(host.MAC, one.MAC, unix.ETH_P_IP, to2),
		"to elsewhere by the host":          ethernet(host.MAC, one.MAC, unix.ETH_P_IP, ip4(one.IP4, elsewhere, unix.IPPROTO_UDP, udp(one.IP4, elsewhere, 9, 9, data))),
		"to another port of the host":       one.syn(st, netip.Addr{}, closedPort),
		"ping of the host":                  ethernet(host.MAC, one.MAC, unix.ETH_P_IP, ip4(one.IP4, host.IP4, unix.IPPROTO_ICMP, []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0})),
		"a UDP service of the host":         ethernet(host.MAC, one.MAC, unix.ETH_P_IP, ip4(one.IP4, host.IP4, unix.IPPROTO_UDP, udp(one.IP4, host.IP4, 9, 111, data))),
		"the other guest's MAC":             ethernet(host.MAC, two.MAC, unix.ETH_P_IP, one.syn(st, netip.Addr{}, 2049)[14:]),
		"the host's MAC":                    ethernet(two.MAC, host.MAC, unix.ETH_P_IP, to2),
		"the other guest's address":         one.syn(st, two.IP4, 2049),
		"the host's address":                one.syn(st, host.IP4, 2049),
		"an address from elsewhere":         one.syn(st, elsewhere, 2049),
		"the other guest's IPv6 address":    ethernet(host.MAC, one.MAC, unix.ETH_P_IPV6, ip6(two.IP6, host.IP6, unix.IPPROTO_TCP, 64, tcp(two.IP6, host.IP6, 9, 2049))),
		"ARP: I am the other guest":         ethernet(broadcast, one.MAC, unix.ETH_P_ARP, arp(2, one.MAC, two.IP4, host.IP4)),
		"ARP: I am the host":                ethernet(two.MAC, one.MAC, unix.ETH_P_ARP, arp(2, one.MAC, host.IP4, two.IP4)),
		"ARP: the other guest's MAC inside": ethernet(broadcast, one.MAC, unix.ETH_P_ARP, arp(1, two.MAC, one.IP4, host.IP4)),
		"ARP: who is the other guest":       ethernet(broadcast, one.MAC, unix.ETH_P_ARP, arp(1, one.MAC, one.IP4, two.IP4)),
		"NDP: I am the other guest":         ethernet(host.MAC, one.MAC, unix.ETH_P_IPV6, ip6(two.IP6, host.IP6, unix.IPPROTO_ICMPV6, 255, icmp6(two.IP6, host.IP6, 136, two.IP6, 2, one.MAC))),
		"NDP: the other guest is here":      ethernet(host.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.IP6, host.IP6, unix.IPPROTO_ICMPV6, 255, icmp6(one.IP6, host.IP6, 136, two.IP6, 2, one.MAC))),
		"NDP: I have the other MAC":         ethernet(host.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.IP6, host.IP6, unix.IPPROTO_ICMPV6, 255, icmp6(one.IP6, host.IP6, 135, host.IP6, 1, two.MAC))),
		"NDP: I am a router":                ethernet(net.HardwareAddr{0x33, 0x33, 0, 0, 0, 1}, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, all, unix.IPPROTO_ICMPV6, 255, icmp6(one.LinkLocal, all, 134, host.IP6, 1, one.MAC))),
		"NDP: redirect":                     ethernet(two.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, two.LinkLocal, unix.IPPROTO_ICMPV6, 255, icmp6(one.LinkLocal, two.LinkLocal, 137, host.IP6, 2, one.MAC))),
		"an extension header":               ethernet(host.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.IP6, host.IP6, 0, 64, append([]byte{unix.IPPROTO_TCP, 0, 1, 4, 0, 0, 0, 0}, tcp(one.IP6, host.IP6, 9, 2049)...))),
		"a VLAN tag":                        ethernet(host.MAC, one.MAC, unix.ETH_P_8021Q, tagged),
		"a VLAN tag to the other guest":     ethernet(two.MAC, one.MAC, unix.ETH_P_8021Q, append([]byte{0, 5, 8, 0}, to2...)),
		"two VLAN tags":                     ethernet(host.MAC, one.MAC, unix.ETH_P_8021AD, append([]byte{0, 5, 0x81, 0}, tagged...)),
		"spanning tree":                     ethernet(reserved(0), one.MAC, 38, make([]byte, 46)),
		"LLDP":                              ethernet(reserved(14), one.MAC, unix.ETH_P_LLDP, make([]byte, 46)),
		"another protocol":                  ethernet(two.MAC, one.MAC, 0x88b5, data),
		"a fragment":                        ethernet(host.MAC, one.MAC, unix.ETH_P_IP, fragment),
		"DHCP: I am the server":             ethernet(broadcast, one.MAC, unix.ETH_P_IP, ip4(one.IP4, netip.MustParseAddr("255.255.255.255"), unix.IPPROTO_UDP, udp(one.IP4, netip.MustParseAddr("255.255.255.255"), 67, 68, data))),
		"DHCP: an offer to the other guest": ethernet(two.MAC, one.MAC, unix.ETH_P_IP, ip4(one.IP4, two.IP4, unix.IPPROTO_UDP, udp(one.IP4, two.IP4, 67, 68, data))),
		"DHCP: an offer of the host's":      ethernet(two.MAC, one.MAC, unix.ETH_P_IP, ip4(host.IP4, two.IP4, unix.IPPROTO_UDP, udp(host.IP4, two.IP4, 67, 68, data))),
		"DHCP: a question to all":           ethernet(broadcast, one.MAC, unix.ETH_P_IP, ip4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), unix.IPPROTO_UDP, udp(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 68, 67, data))),
		"DHCP: a question as the other":     ethernet(broadcast, two.MAC, unix.ETH_P_IP, ip4(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), unix.IPPROTO_UDP, udp(netip.IPv4Unspecified(), netip.MustParseAddr("255.255.255.255"), 68, 67, data))),
		"DHCPv6: I am the server":           ethernet(two.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, two.LinkLocal, unix.IPPROTO_UDP, 64, udp(one.LinkLocal, two.LinkLocal, 547, 546, data))),
		"NDP: I am a router of the other's": ethernet(two.MAC, one.MAC, unix.ETH_P_IPV6, ip6(one.LinkLocal, two.LinkLocal, unix.IPPROTO_ICMPV6, 255, icmp6(one.LinkLocal, two.LinkLocal, 134, host.IP6, 1, one.MAC))),
		"NDP: the host is a router":         ethernet(two.MAC, one.MAC, unix.ETH_P_IPV6, ip6(host.LinkLocal, all, unix.IPPROTO_ICMPV6, 255, icmp6(host.LinkLocal, all, 134, host.IP6, 1, one.MAC))),
		"mDNS":                              ethernet(net.HardwareAddr{1, 0, 0x5e, 0, 0, 251}, one.MAC, unix.ETH_P_IP, ip4(one.IP4, netip.MustParseAddr("224.0.0.251"), unix.IPPROTO_UDP, udp(one.IP4, netip.MustParseAddr("224.0.0.251"), 5353, 5353, data))),
		"nothing but a header":              ethernet(host.MAC, one.MAC, unix.ETH_P_IP, nil),
		"half a header":                     ethernet(host.MAC, one.MAC, unix.ETH_P_IP, ip4(one.IP4, host.IP4, unix.IPPROTO_TCP, nil)[:17]),
	}
	for n := range byte(16) {
		to := reserved(n)
		list["ARP: who is the host, to "+to.String()] = ethernet(to, one.MAC, unix.ETH_P_ARP, arp(1, one.MAC, one.IP4, host.IP4))
		list["ARP: a probe of the other's, to "+to.String()] = ethernet(to, two.MAC, unix.ETH_P_ARP, arp(1, two.MAC, nobody4, host.IP4))
	}
	return list
}

// reserved is an address at which bridges reach each other (IEEE 802.1Q, table
// 8-1). Linux does not carry most of them from port to port, and not all of what
// it takes in itself comes by the firewall.
func reserved(n byte) net.HardwareAddr { return net.HardwareAddr{1, 0x80, 0xc2, 0, 0, n} }

// TestGuestCannotLie has each lie neither arrive at the other guest nor be
// answered, and change nothing in what the host knows.
func TestGuestCannotLie(t *testing.T) {
	st := newStage(t)
	// The host does what it can to be reached: the firewall is what is tested.
	restore := weaken(t, map[string]string{
		"ipv4/conf/all/forwarding": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/all/arp_accept": "1",
		"ipv4/conf/tap-one/arp_ignore": "0", "ipv4/conf/tap-one/rp_filter": "0",
	})
	for name, frame := range lies(st) {
		t.Run(name, func(t *testing.T) {
			st.one.send(frame)
			if got := st.two.others(st); len(got) > 0 {
				t.Errorf("the other guest received %x", got)
			}
			if got := st.one.others(st); len(got) > 0 {
				t.Errorf("it was answered %x", got)
			}
		})
	}
	restore()
	if did := up(t, st.Site); did != "" {
		t.Errorf("the host was changed:\n%s", did)
	}
}

// weaken changes settings of the network, until they are restored.
func weaken(t *testing.T, settings map[string]string) (restore func()) {
	t.Helper()
	write := func(path, value string) {
		if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	before := make(map[string]string)
	for path, value := range settings {
		was, err := os.ReadFile("/proc/sys/net/" + path)
		if err != nil {
			t.Fatal(err)
		}
		before[path] = string(was)
		write(path, value)
	}
	return func() {
		for path, was := range before {
			write(path, was)
		}
	}
}

// A service of the host that listens everywhere hears nothing that a guest sends
// to an address reserved for bridges, and all that it may send by broadcast.
func TestHostHearsNothingThatIsForBridges(t *testing.T) {
	st := newStage(t)
	l, err := net.ListenPacket("udp4", ":67")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	question := func(to, from net.HardwareAddr, text string) {
		st.one.send(ethernet(to, from, unix.ETH_P_IP, ip4(nobody4, everybody4, unix.IPPROTO_UDP, udp(nobody4, everybody4, 68, 67, []byte(text)))))
	}
	for n := range byte(16) {
		question(reserved(n), st.two.MAC, "as the other to "+reserved(n).String())
		question(reserved(n), st.one.MAC, "as itself to "+reserved(n).String())
	}
	question(broadcast, st.one.MAC, "to all")
	l.SetReadDeadline(time.Now().Add(30 * time.Second))
	for b := make([]byte, 64); ; {
		n, _, err := l.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		if string(b[:n]) == "to all" {
			return
		}
		t.Errorf("the host hears the question %s", b[:n])
	}
}

func TestHostCannotBeMadeToConnectToGuests(t *testing.T) {
	st := newStage(t)
	d := net.Dialer{Timeout: 100 * time.Millisecond}
	if c, err := d.Dial("tcp", net.JoinHostPort(st.one.IP4.String(), "22")); err == nil {
		c.Close()
		t.Error("connected")
	}
	if got := st.one.others(st); len(got) > 0 {
		t.Errorf("the guest received %x", got)
	}
}
