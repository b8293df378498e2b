package dhcp

import (
	"bytes"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv6"
	"github.com/insomniacslk/dhcp/iana"
	"golang.org/x/sys/unix"
)

// Ports of DHCPv6 (RFC 8415 §7.2).
const (
	clientPort6 = 546
	serverPort6 = 547
)

const (
	maxDUID = 130 // bytes, with its type (RFC 8415 §11.1)
	// maxAsked bounds how many of a kind are answered: identity associations
	// of a message, and addresses of one of these.
	maxAsked = 4
)

// reply6 answers a message of DHCPv6 (RFC 8415 §18.3).
func (t *table) reply6(c *client, message []byte) *datagram {
	m, err := dhcpv6.MessageFromBytes(message)
	if err != nil || !t.meant(m) {
		return nil
	}
	kind, with := dhcpv6.MessageTypeReply, []dhcpv6.Option(nil)
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit:
		if m.GetOneOption(dhcpv6.OptionRapidCommit) == nil {
			kind = dhcpv6.MessageTypeAdvertise
		} else {
			with = append(with, &dhcpv6.OptionGeneric{OptionCode: dhcpv6.OptionRapidCommit})
		}
		with = append(with, associations(c, m)...)
	case dhcpv6.MessageTypeRequest, dhcpv6.MessageTypeRenew, dhcpv6.MessageTypeRebind:
		with = associations(c, m)
	case dhcpv6.MessageTypeConfirm:
		if with = confirm(c, m); with == nil {
			return nil
		}
	case dhcpv6.MessageTypeRelease, dhcpv6.MessageTypeDecline: // the address stays its own
		with = append(with, status(iana.StatusSuccess))
	case dhcpv6.MessageTypeInformationRequest:
	default:
		return nil
	}
	reply := &dhcpv6.Message{MessageType: kind, TransactionID: m.TransactionID}
	if id := m.Options.ClientID(); id != nil {
		reply.AddOption(dhcpv6.OptClientID(id))
	}
	reply.AddOption(dhcpv6.OptServerID(t.duid()))
	for _, o := range with {
		reply.AddOption(o)
	}
	d := t.to(c.MAC)
	d.protocol, d.hops, d.sourcePort, d.targetPort = unix.IPPROTO_UDP, 64, serverPort6, clientPort6
	d.source, d.target, d.payload = t.Host.LinkLocal, c.LinkLocal, reply.ToBytes()
	return d
}

// duid names this server (RFC 8415 §11.4).
func (t *table) duid() dhcpv6.DUID {
	return &dhcpv6.DUIDLL{HWType: iana.HWTypeEthernet, LinkLayerAddr: t.Host.MAC}
}

// meant says that a message names those that it has to, and no other server
// (RFC 8415 §16).
func (t *table) meant(m *dhcpv6.Message) bool {
	client, server := m.Options.ClientID(), m.Options.ServerID()
	if client != nil && len(client.ToBytes()) > maxDUID {
		return false
	}
	ours := server != nil && bytes.Equal(server.ToBytes(), t.duid().ToBytes())
	switch m.MessageType {
	case dhcpv6.MessageTypeSolicit, dhcpv6.MessageTypeConfirm, dhcpv6.MessageTypeRebind:
		return client != nil && server == nil
	case dhcpv6.MessageTypeInformationRequest:
		return (server == nil || ours) && len(m.Options.IANA()) == 0
	}
	return client != nil && ours
}

// associations answers each association that is asked for. The first is given
// the address, and there is no other.
func associations(c *client, m *dhcpv6.Message) (list []dhcpv6.Option) {
	for i, asked := range m.Options.IANA() {
		if i == maxAsked {
			break
		}
		a := &dhcpv6.OptIANA{IaId: asked.IaId}
		if list = append(list, a); i > 0 {
			a.Options.Add(status(iana.StatusNoAddrsAvail))
			continue
		}
		a.T1, a.T2 = renewal, rebind
		a.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: c.IP6.AsSlice(), PreferredLifetime: lifetime, ValidLifetime: lifetime})
		for n, other := range asked.Options.Addresses() {
			if n < maxAsked && !is(other.IPv6Addr, c.IP6) { // it is to give up what is not its own (§18.3.4)
				a.Options.Add(&dhcpv6.OptIAAddress{IPv6Addr: other.IPv6Addr})
			}
		}
	}
	for i, asked := range m.Options.IATA() {
		if i < maxAsked {
			a := &dhcpv6.OptIATA{IaId: asked.IaId}
			a.Options.Add(status(iana.StatusNoAddrsAvail))
			list = append(list, a)
		}
	}
	for i, asked := range m.Options.IAPD() {
		if i < maxAsked {
			a := &dhcpv6.OptIAPD{IaId: asked.IaId, T1: time.Duration(0), T2: time.Duration(0)}
			a.Options.Add(status(iana.StatusNoPrefixAvail))
			list = append(list, a)
		}
	}
	return list
}

// confirm tells whether all addresses of somebody are still its own; nil if it
// names none (RFC 8415 §18.3.3).
func confirm(c *client, m *dhcpv6.Message) []dhcpv6.Option {
	named, code := false, iana.StatusSuccess
	for _, asked := range m.Options.IANA() {
		for _, a := range asked.Options.Addresses() {
			if named = true; !is(a.IPv6Addr, c.IP6) {
				code = iana.StatusNotOnLink
			}
		}
	}
	if !named {
		return nil
	}
	return []dhcpv6.Option{status(code)}
}

func status(code iana.StatusCode) dhcpv6.Option { return &dhcpv6.OptStatusCode{StatusCode: code} }
