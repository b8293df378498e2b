package dhcp

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// newTestTable has one guest whose IPv6 address comes from its MAC and one whose
// does not.
func newTestTable(t testing.TB) *table {
	t.Helper()
	path := filepath.Join(t.TempDir(), "host.yaml")
	text := `
bridge: br-t
subnet: 10.77.0.0/24
subnet6: fd77:1:2:3::/64
mtu: 1400
guests:
  - {name: one, address: 10.77.0.11}
  - {name: two, address: 10.77.0.12, address6: "fd77:1:2:3::12"}
`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return newTable(s)
}

func (t *table) guest(name string) *client {
	p, _ := t.Guest(name)
	return t.clients[[6]byte(p.MAC)]
}

var noAddress = netip.IPv4Unspecified()

// ask4 sends a message of DHCP from a guest and reads the answer, if any.
func ask4(t *testing.T, tab *table, from *client, with ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, *datagram) {
	t.Helper()
	m, err := dhcpv4.New(append([]dhcpv4.Modifier{dhcpv4.WithHwAddr(from.MAC)}, with...)...)
	if err != nil {
		t.Fatal(err)
	}
	q := datagram{
		from: from.MAC, to: net.HardwareAddr{255, 255, 255, 255, 255, 255}, source: noAddress, target: everybody4,
		protocol: unix.IPPROTO_UDP, hops: 64, sourcePort: clientPort, targetPort: serverPort, payload: m.ToBytes(),
	}
	d, _ := tab.answer(q.frame(), time.Now())
	if d == nil {
		return nil, nil
	}
	checkFrame(t, d)
	reply, err := dhcpv4.FromBytes(d.payload)
	if err != nil {
		t.Fatal(err)
	}
	if reply.TransactionID != m.TransactionID || !bytes.Equal(d.to, from.MAC) || !bytes.Equal(reply.ClientHWAddr, from.MAC) {
		t.Errorf("the answer is not for who asked: %v to %v", reply, d.to)
	}
	return reply, d
}

// checkFrame has what is sent be what is meant.
func checkFrame(t *testing.T, d *datagram) {
	t.Helper()
	back, ok := parse(d.frame())
	if !ok || back.source != d.source || back.target != d.target || !bytes.Equal(back.payload, d.payload) || back.targetPort != d.targetPort {
		t.Errorf("%+v is read as %+v", d, back)
	}
}

func kind(k dhcpv4.MessageType) dhcpv4.Modifier { return dhcpv4.WithMessageType(k) }

func wants(ip string) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(net.ParseIP(ip)))
}

func TestEachGuestIsOfferedItsOwnAddressWhateverItAsksFor(t *testing.T) {
	tab := newTestTable(t)
	for name, own := range map[string]string{"one": "10.77.0.11", "two": "10.77.0.12"} {
		reply, d := ask4(t, tab, tab.guest(name), kind(dhcpv4.MessageTypeDiscover), wants("10.77.0.99"),
			dhcpv4.WithOption(dhcpv4.OptClientIdentifier([]byte("somebody else"))))
		if reply == nil || reply.MessageType() != dhcpv4.MessageTypeOffer || !reply.YourIPAddr.Equal(net.ParseIP(own)) {
			t.Fatalf("%s is offered %v", name, reply)
		}
		if d.target.String() != own || !bytes.Equal(reply.Options.Get(dhcpv4.OptionClientIdentifier), []byte("somebody else")) {
			t.Errorf("sent to %v with %v", d.target, reply)
		}
		ones, _ := reply.SubnetMask().Size()
		if ones != 24 || reply.HostName() != name || len(reply.Router()) > 0 || len(reply.DNS()) > 0 || reply.IPAddressLeaseTime(0) != lifetime {
			t.Errorf("%s is told %v", name, reply.Summary())
		}
		if mtu := reply.Options.Get(dhcpv4.OptionInterfaceMTU); !bytes.Equal(mtu, []byte{1400 >> 8, 1400 & 0xff}) {
			t.Errorf("mtu %x", mtu)
		}
	}
}

func TestRequestForAnotherAddressIsRefused(t *testing.T) {
	tab := newTestTable(t)
	one, server := tab.guest("one"), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP("10.77.0.1")))
	for name, test := range map[string]struct {
		want dhcpv4.MessageType // none: no answer
		with []dhcpv4.Modifier
	}{
		"its own, as offered":          {dhcpv4.MessageTypeAck, []dhcpv4.Modifier{server, wants("10.77.0.11")}},
		"its own, after a boot":        {dhcpv4.MessageTypeAck, []dhcpv4.Modifier{wants("10.77.0.11")}},
		"its own, once more":           {dhcpv4.MessageTypeAck, []dhcpv4.Modifier{dhcpv4.WithClientIP(net.ParseIP("10.77.0.11"))}},
		"another, as offered":          {dhcpv4.MessageTypeNak, []dhcpv4.Modifier{server, wants("10.77.0.12")}},
		"another, after a boot":        {dhcpv4.MessageTypeNak, []dhcpv4.Modifier{wants("192.168.1.7")}},
		"another, once more":           {dhcpv4.MessageTypeNak, []dhcpv4.Modifier{dhcpv4.WithClientIP(net.ParseIP("10.77.0.12"))}},
		"its own beside another":       {dhcpv4.MessageTypeNak, []dhcpv4.Modifier{wants("10.77.0.11"), dhcpv4.WithClientIP(net.ParseIP("10.77.0.12"))}},
		"none at all":                  {dhcpv4.MessageTypeNak, nil},
		"that of another server":       {0, []dhcpv4.Modifier{wants("10.77.0.11"), dhcpv4.WithOption(dhcpv4.OptServerIdentifier(net.ParseIP("10.77.0.2")))}},
		"its own, for another machine": {0, []dhcpv4.Modifier{wants("10.77.0.11"), dhcpv4.WithHwAddr(tab.guest("two").MAC)}},
		"its own, by a relay":          {0, []dhcpv4.Modifier{wants("10.77.0.11"), dhcpv4.WithGatewayIP(net.ParseIP("10.77.0.11"))}},
	} {
		t.Run(name, func(t *testing.T) {
			reply, d := ask4(t, tab, one, append(test.with, kind(dhcpv4.MessageTypeRequest))...)
			switch {
			case reply == nil && test.want != 0:
				t.Error("no answer")
			case reply == nil:
			case reply.MessageType() != test.want:
				t.Errorf("answered %v", reply.MessageType())
			case test.want == dhcpv4.MessageTypeNak && (d.target != everybody4 || !reply.YourIPAddr.IsUnspecified()):
				t.Errorf("refused at %v with %v", d.target, reply.YourIPAddr)
			case test.want == dhcpv4.MessageTypeAck && !reply.YourIPAddr.Equal(net.ParseIP("10.77.0.11")):
				t.Errorf("granted %v", reply.YourIPAddr)
			}
		})
	}
}

func TestWhoCannotTakeUnicastYetIsSentABroadcast(t *testing.T) {
	tab := newTestTable(t)
	if _, d := ask4(t, tab, tab.guest("one"), kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithBroadcast(true)); d == nil || d.target != everybody4 {
		t.Errorf("%+v", d)
	}
}

func TestStrangersAndOtherMessagesAreNotAnswered(t *testing.T) {
	tab := newTestTable(t)
	stranger := &client{Identity: site.Identity{MAC: net.HardwareAddr{2, 9, 9, 9, 9, 9}}}
	if reply, _ := ask4(t, tab, stranger, kind(dhcpv4.MessageTypeDiscover)); reply != nil {
		t.Errorf("a stranger is answered %v", reply)
	}
	one := tab.guest("one")
	for name, with := range map[string][]dhcpv4.Modifier{
		"an answer":               {kind(dhcpv4.MessageTypeOffer), func(m *dhcpv4.DHCPv4) { m.OpCode = dhcpv4.OpcodeBootReply }},
		"decline":                 {kind(dhcpv4.MessageTypeDecline)},
		"release":                 {kind(dhcpv4.MessageTypeRelease)},
		"BOOTP":                   {},
		"inform of another's":     {kind(dhcpv4.MessageTypeInform), dhcpv4.WithClientIP(net.ParseIP("10.77.0.12"))},
		"a client id of 600 byte": {kind(dhcpv4.MessageTypeDiscover), dhcpv4.WithGeneric(dhcpv4.OptionClientIdentifier, make([]byte, 600))},
	} {
		if reply, _ := ask4(t, tab, one, with...); reply != nil {
			t.Errorf("%s is answered %v", name, reply)
		}
	}
	if reply, _ := ask4(t, tab, one, kind(dhcpv4.MessageTypeInform), dhcpv4.WithClientIP(net.ParseIP("10.77.0.11"))); reply == nil || !reply.YourIPAddr.IsUnspecified() {
		t.Errorf("inform is answered %v", reply)
	}
}

func TestFloodIsNotAnswered(t *testing.T) {
	tab := newTestTable(t)
	one, now, answered := tab.guest("one"), time.Unix(1e9, 0), 0
	m, err := dhcpv4.New(dhcpv4.WithHwAddr(one.MAC), kind(dhcpv4.MessageTypeDiscover))
	if err != nil {
		t.Fatal(err)
	}
	q := datagram{from: one.MAC, to: one.MAC, source: noAddress, target: everybody4, protocol: unix.IPPROTO_UDP, sourcePort: clientPort, targetPort: serverPort, payload: m.ToBytes()}
	for range 1000 {
		if d, _ := tab.answer(q.frame(), now); d != nil {
			answered++
		}
	}
	if answered == 0 || answered > askBurst {
		t.Errorf("%d of 1000 at once are answered", answered)
	}
	if d, _ := tab.answer(q.frame(), now.Add(time.Second)); d == nil {
		t.Error("a second later it is not answered")
	}
	if reply, _ := ask4(t, tab, tab.guest("two"), kind(dhcpv4.MessageTypeDiscover)); reply == nil {
		t.Error("the other guest suffers from it")
	}
}

// FuzzReply has whatever a guest sends answered for that guest alone, with its
// own address and no other, in one packet.
func FuzzReply(f *testing.F) {
	tab := newTestTable(f)
	one := tab.guest("one")
	discover, err := dhcpv4.NewDiscovery(one.MAC)
	if err != nil {
		f.Fatal(err)
	}
	ask, err := dhcpv6.NewSolicit(one.MAC)
	if err != nil {
		f.Fatal(err)
	}
	rs, err := ndp.MarshalMessageChecksum(&ndp.RouterSolicitation{}, one.LinkLocal, everybody6)
	if err != nil {
		f.Fatal(err)
	}
	for _, d := range []datagram{
		{source: noAddress, target: everybody4, protocol: unix.IPPROTO_UDP, sourcePort: clientPort, targetPort: serverPort, payload: discover.ToBytes()},
		{source: one.LinkLocal, target: everybody6, protocol: unix.IPPROTO_UDP, sourcePort: clientPort6, targetPort: serverPort6, payload: ask.ToBytes()},
		{source: one.LinkLocal, target: everybody6, protocol: unix.IPPROTO_ICMPV6, hops: 255, payload: rs},
	} {
		d.from, d.to = one.MAC, tab.Host.MAC
		f.Add(d.frame())
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		d := tab.reply(one, frame)
		if d == nil {
			return
		}
		if out := d.frame(); len(out) > etherHeader+1280 { // what any network takes
			t.Errorf("an answer of %d bytes", len(out))
		}
		if !bytes.Equal(d.to, one.MAC) || !bytes.Equal(d.from, tab.Host.MAC) {
			t.Errorf("from %v to %v", d.from, d.to)
		}
		if d.sourcePort == serverPort {
			m, err := dhcpv4.FromBytes(d.payload)
			if err != nil || !m.YourIPAddr.IsUnspecified() && !is(m.YourIPAddr, one.IP4) {
				t.Errorf("%v, %v", m, err)
			}
		}
		if d.sourcePort == serverPort6 {
			m, err := dhcpv6.MessageFromBytes(d.payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, ia := range m.Options.IANA() {
				for _, a := range ia.Options.Addresses() {
					if a.ValidLifetime > 0 && !is(a.IPv6Addr, one.IP6) {
						t.Errorf("%v is given", a)
					}
				}
			}
		}
	})
}
