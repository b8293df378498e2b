package dhcp

import (
	"net/netip"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

var everybody6 = netip.MustParseAddr("ff02::1")

// solicits says that a message asks for routers (RFC 4861 §6.1.1).
func (t *table) solicits(c *client, d *datagram) bool {
	if d.hops != 255 || len(d.payload) < 8 || d.payload[1] != 0 || !d.source.IsUnspecified() && d.source != c.LinkLocal && d.source != c.IP6 {
		return false
	}
	m, err := ndp.ParseMessage(d.payload)
	if err != nil {
		return false
	}
	_, ok := m.(*ndp.RouterSolicitation)
	return ok
}

// advertisement tells somebody the network, and no router: the lifetime of this
// one is 0, so that nobody has a route by it (RFC 4861 §6.2.3). A guest whose
// address is the one that it makes from its MAC is to make it (RFC 4862 §5.5.3);
// another is to ask for it by DHCPv6.
func (t *table) advertisement(c *client) *datagram {
	message := &ndp.RouterAdvertisement{
		CurrentHopLimit:      64,
		ManagedConfiguration: !c.FromMAC(),
		Options: []ndp.Option{
			&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: t.Host.MAC},
			ndp.NewMTU(uint32(t.MTU)),
			&ndp.PrefixInformation{
				PrefixLength: uint8(t.Subnet6.Bits()), Prefix: t.Subnet6.Addr(),
				OnLink: true, AutonomousAddressConfiguration: c.FromMAC(),
				ValidLifetime: lifetime, PreferredLifetime: lifetime,
			},
		},
	}
	payload, err := ndp.MarshalMessageChecksum(message, t.Host.LinkLocal, everybody6)
	if err != nil { // no site makes such a message
		return nil
	}
	d := t.to(c.MAC)
	d.protocol, d.hops, d.payload = unix.IPPROTO_ICMPV6, 255, payload
	d.source, d.target = t.Host.LinkLocal, everybody6
	return d
}
