package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"github.com/vishvananda/netlink"
)

const (
	// askAgain is after how long a question is asked again.
	askAgain = time.Second
	// shortLease bounds what a server may grant from below, so that a wrong
	// one does not keep the machine asking.
	shortLease = 30 * time.Second
)

// keepLease has an address by DHCP until ctx ends (RFC 2131 §4.4).
func (n *network) keepLease(ctx context.Context, hostname string) {
	told := false
	for ctx.Err() == nil {
		err := n.lease(ctx, hostname)
		if err == nil || ctx.Err() != nil {
			continue
		}
		if !told && !errors.Is(err, nclient4.ErrNoResponse) {
			say("DHCP: %v", err)
			told = true
		}
		pause(ctx, askAgain)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// lease gets an address and renews it for as long as that works.
func (n *network) lease(ctx context.Context, hostname string) error {
	name := n.link.Attrs().Name
	c, err := nclient4.New(name, nclient4.WithTimeout(askAgain), nclient4.WithRetry(3))
	if err != nil {
		return err
	}
	defer c.Close()
	l, err := c.Request(ctx, dhcpv4.WithOption(dhcpv4.OptHostName(hostname)))
	for err == nil {
		if err = n.apply(l.ACK); err != nil {
			return err
		}
		l, err = renew(ctx, c, l)
	}
	return err
}

// renew asks for more time from half of the lease on, and gives up at its end
// (RFC 2131 §4.4.5). The kernel takes the address away then.
func renew(ctx context.Context, c *nclient4.Client, l *nclient4.Lease) (*nclient4.Lease, error) {
	end := l.CreationTime.Add(leaseTime(l.ACK))
	for {
		pause(ctx, time.Until(end)/2)
		if ctx.Err() != nil {
			// Answered or not, the machine goes off.
			return nil, errors.Join(ctx.Err(), c.Release(l))
		}
		next, err := c.Renew(ctx, l)
		var refused *nclient4.ErrNak
		if err == nil || errors.As(err, &refused) || time.Until(end) < askAgain {
			return next, err
		}
	}
}

func leaseTime(ack *dhcpv4.DHCPv4) time.Duration {
	return max(ack.IPAddressLeaseTime(time.Hour), shortLease)
}

// apply sets what a server has granted.
func (n *network) apply(ack *dhcpv4.DHCPv4) error {
	mask := ack.SubnetMask()
	if ack.YourIPAddr.To4() == nil || !ack.YourIPAddr.IsGlobalUnicast() {
		return fmt.Errorf("the server %s granted %s, which is no address of a machine", ack.ServerIdentifier(), ack.YourIPAddr)
	}
	if mask == nil {
		mask = ack.YourIPAddr.DefaultMask()
	}
	seconds := int(leaseTime(ack).Seconds())
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: ack.YourIPAddr, Mask: mask}, ValidLft: seconds, PreferedLft: seconds}
	if err := netlink.AddrReplace(n.link, addr); err != nil {
		return fmt.Errorf("address %s: %w", addr.IPNet, err)
	}
	if err := n.leasedRoutes(ack); err != nil {
		say("DHCP: %v", err)
	}
	var dns []netip.Addr
	for _, ip := range ack.DNS() {
		if a, ok := netip.AddrFromSlice(ip); ok {
			dns = append(dns, a.Unmap())
		}
	}
	if len(dns) > 0 {
		if err := writeResolver(dns); err != nil {
			say("DHCP: %v", err)
		}
	}
	select {
	case <-n.leased:
	default:
		close(n.leased)
	}
	return nil
}

// leasedRoutes sets the routes of the option that has them all, or else the
// gateway (RFC 3442).
func (n *network) leasedRoutes(ack *dhcpv4.DHCPv4) error {
	if routes := ack.ClasslessStaticRoute(); len(routes) > 0 {
		var errs []error
		for _, r := range routes {
			if err := n.route(r.Dest, r.Router); err != nil {
				errs = append(errs, fmt.Errorf("route to %s by %s: %w", r.Dest, r.Router, err))
			}
		}
		return errors.Join(errs...)
	}
	if gw := ack.Router(); len(gw) > 0 {
		if err := n.route(nil, gw[0]); err != nil {
			return fmt.Errorf("gateway %s: %w", gw[0], err)
		}
	}
	return nil
}
