package hostbridge

import (
	"github.com/fsva/fsva/hostbridge/link"
	"github.com/fsva/fsva/hostbridge/site"
)

// Status is how a site is now.
type Status struct {
	Bridge    string     `json:"bridge"`
	State     string     `json:"state"` // up, down or missing
	Subnet    string     `json:"subnet"`
	Subnet6   string     `json:"subnet6,omitempty"`
	Appliance Address    `json:"appliance"`
	Services  []uint16   `json:"services"`
	Ports     []PortLine `json:"ports"`
	// Pending counts the changes that Up would make: 0 when all is as the
	// file says.
	Pending int `json:"pending"`
}

// Address is where somebody is reached.
type Address struct {
	IP4 string `json:"ip4"`
	IP6 string `json:"ip6,omitempty"`
}

// PortLine is one port.
type PortLine struct {
	Name   string `json:"name"`
	Device string `json:"device"`
	MAC    string `json:"mac"`
	State  string `json:"state"` // missing, idle, in use or down
	Address
}

// Look finds how a site is. Nothing is changed.
func Look(s *site.Site) (Status, error) {
	changes, err := Plan(s)
	if err != nil {
		return Status{}, err
	}
	bridge, ports, err := link.States(s)
	if err != nil {
		return Status{}, err
	}
	st := Status{
		Bridge: s.Bridge, State: string(bridge), Subnet: s.Subnet.String(), Services: s.Services,
		Appliance: addresses(&s.Appliance.Identity), Ports: []PortLine{}, Pending: len(changes),
	}
	if bridge == link.InUse {
		st.State = "up"
	}
	if s.IPv6() {
		st.Subnet6 = s.Subnet6.String()
	}
	for i, p := range s.Ports() {
		st.Ports = append(st.Ports, PortLine{p.Name, p.Device, p.MAC.String(), string(ports[i]), addresses(&p.Identity)})
	}
	return st, nil
}

func addresses(i *site.Identity) Address {
	a := Address{IP4: i.IP4.String()}
	if i.IP6.IsValid() {
		a.IP6 = i.IP6.String()
	}
	return a
}
