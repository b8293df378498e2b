package link

import (
	"net"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// PortState is how a port is.
type PortState string

const (
	Missing PortState = "missing" // there is no such device on the bridge
	Idle    PortState = "idle"    // there, and no machine has it open
	InUse   PortState = "in use"  // a machine has it open
	Off     PortState = "down"    // there, and turned off
)

// States looks at the bridge of a site, and at each of its ports.
func States(s *site.Site) (bridge PortState, ports []PortState, err error) {
	h, err := observe(s.Bridge)
	if err != nil {
		return Missing, nil, err
	}
	bridge = Missing
	if h.bridge != nil && ours(h.bridge, s.Bridge) {
		bridge = InUse
		if h.bridge.Attrs().Flags&net.FlagUp == 0 {
			bridge = Off
		}
	}
	for _, p := range s.Ports() {
		ports = append(ports, h.state(p.Device))
	}
	return bridge, ports, nil
}

func (h *host) state(device string) PortState {
	l := h.links[device]
	switch {
	case l == nil || h.bridge == nil || l.Attrs().MasterIndex != h.bridge.Attrs().Index:
		return Missing
	case l.Attrs().Flags&net.FlagUp == 0:
		return Off
	case l.Attrs().RawFlags&unix.IFF_LOWER_UP == 0:
		return Idle
	}
	return InUse
}
