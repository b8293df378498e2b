package site

import (
	"net"
	"net/netip"
	"slices"
)

// Site is a File of which everything is known.
type Site struct {
	Path            string // of the file
	Bridge          string
	Subnet, Subnet6 netip.Prefix // Subnet6 is invalid if there is no IPv6
	MTU             int
	Owner           uint32
	Services        []uint16 // TCP ports of the appliance that guests may connect to, sorted
	Manage          []uint16 // those that the host may, besides
	QEMU            string   // path, or empty for the one that is found
	Host            Identity // the bridge itself
	Appliance       Port     // on the host: the bridge's identity, and no device
	Guests          []Port   // in the file's order
}

// Identity is who somebody is on the bridge.
type Identity struct {
	Name      string
	MAC       net.HardwareAddr
	IP4       netip.Addr
	IP6       netip.Addr // invalid if the site has no IPv6
	LinkLocal netip.Addr // likewise; what Linux makes from the MAC (RFC 4291, appendix A)
}

// Port is somebody who reaches the bridge through a device.
type Port struct {
	Identity
	Device   string // name of the tap
	External bool   // others make the device

	P9      []string // exports that a guest has as devices
	Machine *Machine // how to make the machine, nil if nothing is said
}

// ApplianceOnHost says that the appliance is a process of this host.
func (s *Site) ApplianceOnHost() bool { return s.Appliance.Device == "" }

// IPv6 says that the site has IPv6.
func (s *Site) IPv6() bool { return s.Subnet6.IsValid() }

// Ports are all that the bridge has: the appliance's, if it is a machine, and
// the guests'.
func (s *Site) Ports() []Port {
	if s.ApplianceOnHost() {
		return s.Guests
	}
	return append([]Port{s.Appliance}, s.Guests...)
}

// Guest returns the guest of that name.
func (s *Site) Guest(name string) (Port, bool) {
	i := slices.IndexFunc(s.Guests, func(g Port) bool { return g.Name == name })
	if i < 0 {
		return Port{}, false
	}
	return s.Guests[i], true
}

// Addresses are all that a frame of somebody may come from.
func (i *Identity) Addresses() []netip.Addr {
	list := []netip.Addr{i.IP4}
	if i.IP6.IsValid() {
		list = append(list, i.IP6, i.LinkLocal)
	}
	return list
}
