package link

import (
	"bytes"
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// newTap makes a tap. It is one that QEMU and others can open with the headers
// of virtio-net, which they ask for themselves.
func newTap(name string, owner uint32) error {
	t := &netlink.Tuntap{
		LinkAttrs: netlink.NewLinkAttrs(), Mode: netlink.TUNTAP_MODE_TAP, Owner: owner,
		Flags: netlink.TUNTAP_NO_PI | netlink.TUNTAP_VNET_HDR, Queues: 1,
	}
	t.Name = name
	if err := netlink.LinkAdd(t); err != nil {
		return err
	}
	var errs []error
	for _, f := range t.Fds { // it stays without
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

func (h *host) makeTap(s *site.Site, p *site.Port) error {
	if err := newTap(p.Device, s.Owner); err != nil {
		return err
	}
	l, err := netlink.LinkByName(p.Device)
	if err != nil {
		return err
	}
	return h.configurePort(s, p, l)
}

// configurePort makes all of a port as it should be. It goes up last, when
// everything that confines it is there.
func (h *host) configurePort(s *site.Site, p *site.Port, l netlink.Link) error {
	if !p.External {
		if err := h.configureTap(s, p, l); err != nil {
			return err
		}
	}
	index := l.Attrs().Index
	if err := wantedFlags(s, p).set(index); err != nil {
		return fmt.Errorf("flags of the port: %w", err)
	}
	if err := h.setForwarding(p, index); err != nil {
		return fmt.Errorf("forwarding table: %w", err)
	}
	if err := h.setNeighbours(p); err != nil {
		return err
	}
	if p.External {
		return nil
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("up: %w", err)
	}
	return nil
}

// configureTap does what is done to taps of our own only.
func (h *host) configureTap(s *site.Site, p *site.Port, l netlink.Link) error {
	a := l.Attrs()
	if want := mark(s.Bridge, p.Name); a.Alias != want {
		if err := netlink.LinkSetAlias(l, want); err != nil {
			return fmt.Errorf("mark: %w", err)
		}
	}
	if err := apply(p.Device, portSettings); err != nil {
		return err
	}
	if t, ok := l.(*netlink.Tuntap); ok && t.Owner != s.Owner {
		// Whoever has it open keeps it; the next to open it is checked.
		if err := newTap(p.Device, s.Owner); err != nil {
			return fmt.Errorf("owner: %w", err)
		}
	}
	if a.MTU != s.MTU {
		if err := netlink.LinkSetMTU(l, s.MTU); err != nil {
			return fmt.Errorf("mtu: %w", err)
		}
	}
	if index := h.bridge.Attrs().Index; a.MasterIndex != index {
		if err := netlink.LinkSetMasterByIndex(l, index); err != nil {
			return fmt.Errorf("put it on the bridge: %w", err)
		}
	}
	return nil
}

// setForwarding tells the bridge the one MAC behind a port.
func (h *host) setForwarding(p *site.Port, index int) error {
	if h.forwards(index, p.MAC) {
		return nil
	}
	for _, e := range h.fdb[index] {
		if bytes.Equal(e.mac, p.MAC) {
			continue
		}
		if err := netlink.NeighDel(forwardingEntry(index, e.mac, 0)); err != nil && !errors.Is(err, unix.ENOENT) {
			return err
		}
	}
	return netlink.NeighSet(forwardingEntry(index, p.MAC, netlink.NTF_STICKY))
}

// forwardingEntry is one of the bridge's table that does not age.
func forwardingEntry(index int, mac net.HardwareAddr, flags int) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER | flags, State: netlink.NUD_NOARP, HardwareAddr: mac}
}
