package dhcp

import (
	"bytes"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// ask6 sends a message of DHCPv6 from a guest and reads the answer, if any.
func ask6(t *testing.T, tab *table, from *client, m *dhcpv6.Message) *dhcpv6.Message {
	t.Helper()
	q := datagram{
		from: from.MAC, to: net.HardwareAddr{0x33, 0x33, 0, 1, 0, 2}, source: from.LinkLocal, target: netip.MustParseAddr("ff02::1:2"),
		protocol: unix.IPPROTO_UDP, hops: 1, sourcePort: clientPort6, targetPort: serverPort6, payload: m.ToBytes(),
	}
	d, _ := tab.answer(q.frame(), time.Now())
	if d == nil {
		return nil
	}
	checkFrame(t, d)
	if d.target != from.LinkLocal || !bytes.Equal(d.to, from.MAC) {
		t.Errorf("answered at %v, %v", d.target, d.to)
	}
	reply, err := dhcpv6.MessageFromBytes(d.payload)
	if err != nil {
		t.Fatal(err)
	}
	return reply
}

func solicit(t *testing.T, c *client, with ...dhcpv6.Modifier) *dhcpv6.Message {
	t.Helper()
	m, err := dhcpv6.NewSolicit(c.MAC, with...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDHCPv6GivesEachGuestItsOwnAddress(t *testing.T) {
	tab := newTestTable(t)
	for _, name := range []string{"one", "two"} {
		c := tab.guest(name)
		offer := ask6(t, tab, c, solicit(t, c))
		if offer == nil || offer.MessageType != dhcpv6.MessageTypeAdvertise {
			t.Fatalf("%s: solicit is answered %v", name, offer)
		}
		request, err := dhcpv6.NewRequestFromAdvertise(offer)
		if err != nil {
			t.Fatal(err)
		}
		reply := ask6(t, tab, c, request)
		if reply == nil || reply.MessageType != dhcpv6.MessageTypeReply {
			t.Fatalf("%s: request is answered %v", name, reply)
		}
		got := reply.Options.OneIANA().Options.Addresses()
		if len(got) != 1 || !is(got[0].IPv6Addr, c.IP6) || got[0].ValidLifetime != lifetime {
			t.Errorf("%s gets %v", name, got)
		}
		if quick := ask6(t, tab, c, solicit(t, c, dhcpv6.WithRapidCommit)); quick == nil || quick.MessageType != dhcpv6.MessageTypeReply || quick.GetOneOption(dhcpv6.OptionRapidCommit) == nil {
			t.Errorf("%s: rapid commit is answered %v", name, quick)
		}
	}
}

func TestDHCPv6TakesBackWhatIsNotTheGuests(t *testing.T) {
	tab := newTestTable(t)
	one, two := tab.guest("one"), tab.guest("two")
	m := solicit(t, one, dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: two.IP6.AsSlice()}))
	m.MessageType = dhcpv6.MessageTypeRebind
	for _, a := range ask6(t, tab, one, m).Options.OneIANA().Options.Addresses() {
		if own := is(a.IPv6Addr, one.IP6); own != (a.ValidLifetime > 0) {
			t.Errorf("%v is given for %v", a.IPv6Addr, a.ValidLifetime)
		}
	}
	m.MessageType = dhcpv6.MessageTypeConfirm
	if st := ask6(t, tab, one, m).Options.Status(); st == nil || st.StatusCode != iana.StatusNotOnLink {
		t.Errorf("another's address is confirmed: %v", st)
	}
	m = solicit(t, one, dhcpv6.WithIANA(dhcpv6.OptIAAddress{IPv6Addr: one.IP6.AsSlice()}))
	m.MessageType = dhcpv6.MessageTypeConfirm
	if st := ask6(t, tab, one, m).Options.Status(); st == nil || st.StatusCode != iana.StatusSuccess {
		t.Errorf("its own is not confirmed: %v", st)
	}
}

func TestDHCPv6HasNothingElseToGive(t *testing.T) {
	tab := newTestTable(t)
	one := tab.guest("one")
	m := solicit(t, one, dhcpv6.WithIAPD([4]byte{1}), dhcpv6.WithIATA([4]byte{2}))
	m.AddOption(&dhcpv6.OptIANA{IaId: [4]byte{3}})
	reply := ask6(t, tab, one, m)
	given := 0
	for _, a := range reply.Options.IANA() {
		given += len(a.Options.Addresses())
	}
	if given != 1 || len(reply.Options.IANA()) != 2 {
		t.Errorf("two associations get %d addresses: %v", given, reply.Summary())
	}
	if pd := reply.Options.OneIAPD(); pd == nil || pd.Options.Status().StatusCode != iana.StatusNoPrefixAvail {
		t.Errorf("a prefix is delegated: %v", pd)
	}
	if ta := reply.Options.OneIATA(); ta == nil || len(ta.Options.Addresses()) > 0 {
		t.Errorf("a temporary address is given: %v", ta)
	}
}

func TestDHCPv6LeavesAloneWhatIsForAnother(t *testing.T) {
	tab := newTestTable(t)
	one := tab.guest("one")
	m := solicit(t, one)
	m.AddOption(dhcpv6.OptServerID(&dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: one.MAC}))
	for _, kind := range []dhcpv6.MessageType{
		dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRelease,
		dhcpv6.MessageTypeAdvertise, dhcpv6.MessageTypeReply, dhcpv6.MessageTypeReconfigure,
	} {
		if m.MessageType = kind; ask6(t, tab, one, m) != nil {
			t.Errorf("%v is answered", kind)
		}
	}
}

func TestAdvertisementMakesNobodyARouter(t *testing.T) {
	tab := newTestTable(t)
	for name, auto := range map[string]bool{"one": true, "two": false} {
		c := tab.guest(name)
		payload, err := ndp.MarshalMessageChecksum(&ndp.RouterSolicitation{}, c.LinkLocal, netip.MustParseAddr("ff02::2"))
		if err != nil {
			t.Fatal(err)
		}
		q := datagram{from: c.MAC, to: net.HardwareAddr{0x33, 0x33, 0, 0, 0, 2}, source: c.LinkLocal, target: netip.MustParseAddr("ff02::2"), protocol: unix.IPPROTO_ICMPV6, hops: 255, payload: payload}
		d, _ := tab.answer(q.frame(), time.Now())
		if d == nil || d.hops != 255 || !bytes.Equal(d.to, c.MAC) {
			t.Fatalf("%s is answered %+v", name, d)
		}
		m, err := ndp.ParseMessage(d.payload)
		if err != nil {
			t.Fatal(err)
		}
		ra := m.(*ndp.RouterAdvertisement)
		p := ra.Options[2].(*ndp.PrefixInformation)
		if ra.RouterLifetime != 0 || ra.ManagedConfiguration == auto || p.AutonomousAddressConfiguration != auto || !p.OnLink || p.Prefix != tab.Subnet6.Addr() {
			t.Errorf("%s: %+v, %+v", name, ra, p)
		}
		q.hops = 64
		if d, _ := tab.answer(q.frame(), time.Now()); d != nil {
			t.Error("one from beyond the bridge is answered")
		}
	}
}
