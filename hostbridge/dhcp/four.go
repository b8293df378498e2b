package dhcp

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sys/unix"
)

// Ports of DHCP (RFC 2131 §4.1).
const (
	serverPort = 67
	clientPort = 68
)

// maxClientID bounds what is sent back of what was sent, in bytes. An option has
// that many, and several of a kind would be one (RFC 3396).
const maxClientID = 255

var everybody4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// reply4 answers a message of DHCP (RFC 2131 §4.3).
func (t *table) reply4(c *client, message []byte) *datagram {
	m, err := dhcpv4.FromBytes(message)
	switch {
	case err != nil || m.OpCode != dhcpv4.OpcodeBootRequest:
		return nil
	case m.HWType != iana.HWTypeEthernet || !bytes.Equal(m.ClientHWAddr, c.MAC):
		return nil // it asks for somebody else
	case !m.GatewayIPAddr.IsUnspecified():
		return nil // it says that it was relayed, and nobody relays here
	case len(m.Options.Get(dhcpv4.OptionClientIdentifier)) > maxClientID:
		return nil
	}
	switch m.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return t.grant(c, m, dhcpv4.MessageTypeOffer)
	case dhcpv4.MessageTypeRequest:
		return t.request(c, m)
	case dhcpv4.MessageTypeInform:
		if is(m.ClientIPAddr, c.IP4) {
			return t.send4(c, m, dhcpv4.MessageTypeAck)
		}
	}
	return nil // DECLINE and RELEASE change nothing: the address stays its own
}

// request answers one for an address: the one that was offered, that it had
// before it booted, or that it has now (RFC 2131 §4.3.2).
func (t *table) request(c *client, m *dhcpv4.DHCPv4) *datagram {
	if server := m.ServerIdentifier(); server != nil && !is(server, t.Host.IP4) {
		return nil // it takes another's offer, which there cannot be
	}
	wanted := m.RequestedIPAddress()
	if wanted == nil {
		wanted = m.ClientIPAddr
	}
	if !is(wanted, c.IP4) || !m.ClientIPAddr.IsUnspecified() && !is(m.ClientIPAddr, c.IP4) {
		return t.send4(c, m, dhcpv4.MessageTypeNak)
	}
	return t.grant(c, m, dhcpv4.MessageTypeAck)
}

func is(ip net.IP, a netip.Addr) bool {
	b, ok := netip.AddrFromSlice(ip)
	return ok && b.Unmap() == a
}

// grant offers or gives somebody its address.
func (t *table) grant(c *client, m *dhcpv4.DHCPv4, kind dhcpv4.MessageType) *datagram {
	return t.send4(c, m, kind,
		dhcpv4.WithYourIP(c.IP4.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(lifetime)),
		dhcpv4.WithOption(dhcpv4.OptRenewTimeValue(renewal)),
		dhcpv4.WithOption(dhcpv4.OptRebindingTimeValue(rebind)))
}

// send4 makes the datagram with an answer. No router and no name server are in
// it: there are none.
func (t *table) send4(c *client, m *dhcpv4.DHCPv4, kind dhcpv4.MessageType, with ...dhcpv4.Modifier) *datagram {
	with = append(with,
		dhcpv4.WithReply(m),
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(t.Host.IP4.AsSlice())),
		dhcpv4.WithOptionCopied(m, dhcpv4.OptionClientIdentifier)) // RFC 6842
	if kind != dhcpv4.MessageTypeNak {
		with = append(with,
			dhcpv4.WithClientIP(m.ClientIPAddr),
			dhcpv4.WithNetmask(net.CIDRMask(t.Subnet.Bits(), 32)),
			dhcpv4.WithOption(dhcpv4.OptHostName(c.Name)),
			dhcpv4.WithOption(dhcpv4.OptGeneric(dhcpv4.OptionInterfaceMTU, binary.BigEndian.AppendUint16(nil, uint16(t.MTU)))))
	}
	reply, err := dhcpv4.New(with...)
	if err != nil { // there is no randomness for what WithReply replaces
		return nil
	}
	d := t.to(c.MAC)
	d.protocol, d.hops, d.sourcePort, d.targetPort = unix.IPPROTO_UDP, 64, serverPort, clientPort
	d.source, d.target, d.payload = t.Host.IP4, c.IP4, reply.ToBytes()
	if kind == dhcpv4.MessageTypeNak || m.IsBroadcast() && m.ClientIPAddr.IsUnspecified() {
		d.target = everybody4
	}
	return d
}
