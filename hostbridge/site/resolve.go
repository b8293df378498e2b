package site

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os/user"
	"slices"
	"strconv"
)

// maxGuests is what a bridge of Linux has ports for (BR_MAX_PORTS), less the
// appliance.
const maxGuests = 1022

// resolve works out the site.
func (f *File) resolve(path string, from map[string]string) (*Site, error) {
	r := resolver{
		File: f, faults: faults{path: path, from: from},
		site:  &Site{Path: path, Bridge: f.Bridge, MTU: 1500},
		taken: make(map[string]string),
	}
	r.bridge()
	r.ports()
	if len(r.errs) > 0 {
		return nil, r.errs // the rest would only follow from these
	}
	r.appliance()
	r.guests()
	if len(r.errs) > 0 {
		return nil, r.errs
	}
	return r.site, nil
}

// resolver has what is known while a site is worked out.
type resolver struct {
	*File
	faults
	site  *Site
	taken map[string]string // names, MACs and addresses, and the key that took each
}

// take notes that key has something of which there is one, and reports whether
// it was free.
func (r *resolver) take(key, what, value string) bool {
	if other, ok := r.taken[what+value]; ok {
		r.add(key, "%s %s is that of %s already; give each its own", what, value, other)
		return false
	}
	r.taken[what+value] = key
	return true
}

// bridge reads what is said of the bridge itself.
func (r *resolver) bridge() {
	if err := checkDevice(r.Bridge); err != nil {
		r.add("bridge", "%v", err)
	}
	r.subnets()
	if r.MTU != nil {
		if *r.MTU < 1280 || *r.MTU > 65521 { // RFC 8200 §5; a tap's most
			r.add("mtu", "%d is not between 1280 and 65521", *r.MTU)
		}
		r.site.MTU = int(*r.MTU)
	}
	if r.Owner != "" {
		uid, err := lookUser(r.Owner)
		if err != nil {
			r.add("owner", "%v", err)
		}
		r.site.Owner = uid
	}
	if len(r.errs) > 0 {
		return
	}
	h := &r.site.Host
	h.Name, h.MAC = r.Bridge, deriveMAC(r.Bridge, "")
	h.IP4 = r.address("address", r.Address, r.site.Subnet, nth(r.site.Subnet, 1))
	if r.site.IPv6() {
		h.IP6 = r.address("address6", r.Address6, r.site.Subnet6, nth(r.site.Subnet6, 1))
		h.LinkLocal = linkLocal(h.MAC)
	}
	r.take("bridge", "interface", r.Bridge)
	r.take("bridge", "MAC", h.MAC.String())
	r.takeAddresses("address", h)
}

// subnets reads the networks.
func (r *resolver) subnets() {
	var err error
	switch r.site.Subnet, err = parseNetwork(r.Subnet); {
	case r.Subnet == "":
		r.add("subnet", "missing; give the IPv4 network of the bridge, such as 10.77.0.0/24")
	case err != nil:
		r.add("subnet", "%v", err)
	case !r.site.Subnet.Addr().Is4() || r.site.Subnet.Bits() < 8 || r.site.Subnet.Bits() > 30:
		r.add("subnet", "%s is no IPv4 network of 8 to 30 bits", r.Subnet)
	}
	if r.Subnet6 == "" {
		return
	}
	switch r.site.Subnet6, err = parseNetwork(r.Subnet6); {
	case err != nil:
		r.add("subnet6", "%v", err)
	case r.site.Subnet6.Bits() != 64 || !ula.Contains(r.site.Subnet6.Addr()):
		r.add("subnet6", "%s is no /64 of unique local addresses, which begin with fd (RFC 4193)", r.Subnet6)
	}
}

// ports reads what guests may connect to.
func (r *resolver) ports() {
	r.site.Services = r.portList("services", r.Services)
	r.site.Manage = r.portList("appliance.manage", r.Appliance.Manage)
	r.site.QEMU = r.beside(r.QEMU)
	if len(r.Services) == 0 {
		r.add("services", "empty: no guest could reach the appliance; leave it out for 2049 and 564")
	}
}

func (r *resolver) portList(key string, list []uint32) (ports []uint16) {
	for i, n := range list {
		if n == 0 || n > 65535 || slices.Contains(ports, uint16(n)) {
			r.add(fmt.Sprintf("%s[%d]", key, i), "%d is no TCP port from 1 to 65535, or there twice", n)
		}
		ports = append(ports, uint16(n))
	}
	slices.Sort(ports)
	return ports
}

// appliance works out who the appliance is.
func (r *resolver) appliance() {
	a := &r.Appliance
	switch a.Run {
	case RunProcess:
		for _, given := range []struct{ key, value string }{{"mac", a.MAC}, {"address", a.Address}, {"address6", a.Address6}, {"tap", a.Tap}} {
			if given.value != "" {
				r.add("appliance."+given.key, "an appliance that is a process has the address of the bridge; leave this out, or say run: machine")
			}
		}
		if r.machine("appliance", a.Machine, false) != nil {
			r.add("appliance.machine", "an appliance that is a process has none; leave this out, or say run: machine")
		}
		r.site.Appliance = Port{Identity: r.site.Host}
		r.site.Appliance.Name = applianceName
	case RunMachine:
		given := Guest{Name: applianceName, MAC: a.MAC, Address: a.Address, Address6: a.Address6, Tap: a.Tap, Machine: a.Machine}
		r.site.Appliance = r.port("appliance", &given)
		p := &r.site.Appliance
		if !p.IP4.IsValid() {
			if p.IP4 = nth(r.site.Subnet, 2); p.IP4 == r.site.Host.IP4 {
				p.IP4 = nth(r.site.Subnet, 1)
			}
		}
		r.takeAddresses("appliance", &p.Identity)
	default:
		r.add("appliance.run", "%q is neither process nor machine", a.Run)
	}
}

// applianceName is the name that no guest can have.
const applianceName = "appliance"

// guests works out who the guests are. Addresses that were given are taken
// first, then names are allotted theirs in the file's order, so that a guest
// added at the end changes nothing for the others.
func (r *resolver) guests() {
	if len(r.Guests) > maxGuests {
		r.add("guests", "%d are more than the %d that a bridge has ports for", len(r.Guests), maxGuests)
		return
	}
	for i := range r.Guests {
		key := fmt.Sprintf("guests[%d]", i)
		p := r.port(key, &r.Guests[i])
		r.site.Guests = append(r.site.Guests, p)
		r.takeAddresses(key, &p.Identity)
	}
	if len(r.errs) > 0 {
		return
	}
	for i := range r.site.Guests {
		p := &r.site.Guests[i]
		if p.IP4.IsValid() {
			continue
		}
		var free bool
		if p.IP4, free = allot(r.site.Subnet, p.Name, func(a netip.Addr) bool { return r.taken["address"+a.String()] != "" }); !free {
			r.add(fmt.Sprintf("guests[%d]", i), "%v has no address left for %s; use a larger subnet", r.site.Subnet, p.Name)
			return
		}
		r.taken["address"+p.IP4.String()] = fmt.Sprintf("guests[%d]", i)
	}
}

// port works out all of a guest but an IPv4 address that was not given.
func (r *resolver) port(key string, g *Guest) (p Port) {
	p.Name, p.External = g.Name, g.External
	if err := checkName(g.Name); err != nil || g.Name == applianceName && key != applianceName {
		if err == nil {
			err = fmt.Errorf("%q is the name of the appliance; take another", g.Name)
		}
		r.add(key+".name", "%v", err)
		return p
	}
	if key != applianceName {
		r.take(key+".name", "name", g.Name)
	}
	p.P9, p.Machine = r.p9(key, g.P9), r.machine(key, g.Machine, g.External)
	p.MAC = r.mac(key+".mac", g.MAC, deriveMAC(r.Bridge, g.Name))
	r.take(key+".mac", "MAC", p.MAC.String())
	if p.Device = g.Tap; g.Tap == "" {
		p.Device = deviceName(g.Name)
	}
	if err := checkDevice(p.Device); err != nil {
		r.add(key+".tap", "%v", err)
	}
	r.take(key+".tap", "interface", p.Device)
	p.IP4 = r.address(key+".address", g.Address, r.site.Subnet, netip.Addr{})
	switch {
	case r.site.IPv6():
		p.LinkLocal = linkLocal(p.MAC)
		p.IP6 = r.address(key+".address6", g.Address6, r.site.Subnet6, fromMAC(r.site.Subnet6, p.MAC))
	case g.Address6 != "":
		r.add(key+".address6", "the site has no IPv6; give it a subnet6, or leave this out")
	}
	return p
}

// takeAddresses notes the addresses of somebody.
func (r *resolver) takeAddresses(key string, i *Identity) {
	for _, a := range []netip.Addr{i.IP4, i.IP6} {
		if a.IsValid() {
			r.take(key, "address", a.String())
		}
	}
}

// address reads an address of a network, or is instead if there is none.
func (r *resolver) address(key, text string, in netip.Prefix, instead netip.Addr) netip.Addr {
	if text == "" {
		return instead
	}
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "":
		r.add(key, "%q is no address", text)
	case !in.Contains(a):
		r.add(key, "%v is not in %v", a, in)
	case a == in.Addr() || a.Is4() && a == last(in):
		r.add(key, "%v names the whole of %v; take another", a, in)
	}
	return a
}

func (r *resolver) mac(key, text string, instead net.HardwareAddr) net.HardwareAddr {
	if text == "" {
		return instead
	}
	mac, err := net.ParseMAC(text)
	switch {
	case err != nil || len(mac) != 6:
		r.add(key, "%q is no MAC such as 52:54:00:12:34:56", text)
		return instead
	case mac[0]&1 != 0:
		r.add(key, "%v is a group of machines: the first byte of a MAC must be even", mac)
	case bytes.Equal(mac, make([]byte, 6)):
		r.add(key, "%v is nobody's MAC", mac)
	}
	return mac
}

// lookUser finds a user by number or name.
func lookUser(text string) (uint32, error) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return uint32(n), nil
	}
	u, err := user.Lookup(text)
	if err != nil {
		return 0, fmt.Errorf("this host has no user %q; correct the name, or leave it out for root", text)
	}
	n, err := strconv.ParseUint(u.Uid, 10, 32)
	return uint32(n), err
}
