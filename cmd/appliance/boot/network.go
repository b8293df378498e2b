package boot

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// leaseLimit is how long a start waits for DHCP. Without an answer everything
// starts all the same, and the address comes when it comes.
const leaseLimit = 10 * time.Second

// network is the machine's one interface beside loopback.
type network struct {
	link   netlink.Link // nil if there is none
	cancel context.CancelFunc
	leases sync.WaitGroup
	leased chan struct{} // closed when there is an address by DHCP, or none is asked for
}

// setUpNetwork gives the interface its addresses from the command line and
// asks for those from DHCP. IPv6 addresses from a router's advertisement are
// the kernel's own doing. The network is never nil.
func setUpNetwork(p *params) (*network, []error) {
	n := &network{leased: make(chan struct{}), cancel: func() {}}
	if err := up("lo"); err != nil {
		say("lo: %v", err)
	}
	var err error
	if n.link, err = findLink(p.device); err != nil {
		close(n.leased)
		if p.device != "" || len(p.addresses) > 0 {
			return n, []error{err}
		}
		say("%v", err) // 9P may come by other ways
		return n, nil
	}
	problems := n.static(p)
	if !p.dhcp {
		close(n.leased)
		return n, problems
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel = cancel
	n.leases.Go(func() { n.keepLease(ctx, p.hostname) })
	return n, problems
}

// seeNetwork is a network that others have set up.
func seeNetwork() *network {
	n := &network{}
	var err error
	if n.link, err = findLink(""); err != nil {
		say("%v", err)
	}
	return n
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}

// findLink is the interface of that name, or the first one there is.
func findLink(name string) (netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, l := range links {
		a := l.Attrs()
		if a.Flags&net.FlagLoopback != 0 || a.EncapType != "ether" {
			continue
		}
		if name == "" || a.Name == name {
			return l, nil
		}
		names = append(names, a.Name)
	}
	if name == "" {
		return nil, fmt.Errorf("there is no network interface that has a driver here; give the machine a virtio or Xen one")
	}
	return nil, fmt.Errorf("there is no network interface %s; there are: %s", name, strings.Join(append(names, "no others"), ", "))
}

// static sets what the command line says. Duplicates of its addresses are not
// looked for, which would take a second: who wrote them knows the network.
func (n *network) static(p *params) (problems []error) {
	if err := netlink.LinkSetUp(n.link); err != nil {
		problems = append(problems, fmt.Errorf("interface %s: %w", n.link.Attrs().Name, err))
	}
	for _, a := range p.addresses {
		addr := &netlink.Addr{IPNet: ipNet(a)}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := netlink.AddrReplace(n.link, addr); err != nil {
			problems = append(problems, fmt.Errorf("address %s: %w", a, err))
		}
	}
	for _, gw := range p.gateways {
		if err := n.route(nil, net.IP(gw.AsSlice())); err != nil {
			problems = append(problems, fmt.Errorf("gateway %s: %w; it must be in the network of an address", gw, err))
		}
	}
	if len(p.dns) > 0 {
		if err := writeResolver(p.dns); err != nil {
			problems = append(problems, err)
		}
	}
	return problems
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// route sends what is for a network, or for all if it is nil, to a gateway.
func (n *network) route(to *net.IPNet, gw net.IP) error {
	r := &netlink.Route{LinkIndex: n.link.Attrs().Index, Dst: to, Gw: gw}
	if to == nil { // the library wants it spelled out
		r.Dst = &net.IPNet{IP: make(net.IP, len(gw)), Mask: make(net.IPMask, len(gw))}
	}
	if gw.IsUnspecified() {
		r.Gw, r.Scope = nil, netlink.SCOPE_LINK
	}
	return netlink.RouteReplace(r)
}

func writeResolver(servers []netip.Addr) error {
	var text bytes.Buffer
	for _, s := range servers {
		fmt.Fprintf(&text, "nameserver %s\n", s)
	}
	if err := os.MkdirAll("/etc", 0o755); err != nil {
		return err
	}
	return os.WriteFile("/etc/resolv.conf", text.Bytes(), 0o644)
}

// await returns when there is an address, or there may be none for long.
func (n *network) await() {
	select {
	case <-n.leased:
	case <-time.After(leaseLimit):
		say("no answer by DHCP in %v; starting without, and still asking", leaseLimit)
	}
}

// close gives up the lease.
func (n *network) close() {
	n.cancel()
	n.leases.Wait()
}

// global lists the addresses that guests may reach the machine at.
func (n *network) global() (all []netip.Addr) {
	if n.link == nil {
		return nil
	}
	list, err := netlink.AddrList(n.link, netlink.FAMILY_ALL)
	if err != nil {
		return nil
	}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok && ip.Unmap().IsGlobalUnicast() {
			all = append(all, ip.Unmap())
		}
	}
	return all
}

// address is one of them as it stands in a mount command, empty if there is
// none.
func (n *network) address() string {
	all := n.global()
	switch {
	case len(all) == 0:
		return ""
	case all[0].Is6():
		return "[" + all[0].String() + "]"
	}
	return all[0].String()
}

// describe is for the console.
func (n *network) describe() string {
	if n.link == nil {
		return "none, there is no network interface"
	}
	words := []string{}
	for _, a := range n.global() {
		words = append(words, a.String())
	}
	if len(words) == 0 {
		words = []string{"none yet"}
	}
	at := n.link.Attrs()
	return fmt.Sprintf("%s (%s, %s)", strings.Join(words, ", "), at.Name, at.HardwareAddr)
}
