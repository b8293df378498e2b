// Package firewall is what the kernel holds the bridge's guests to: each to the
// MAC and the addresses that are its own, and to the appliance's services.
//
// The policy is in two files: policy.go says from whom a frame may be, ways.go
// where it may go. It does not depend on how many guests there are: they are
// elements of its sets. [Tables] makes tables of it, which [Tables.String] writes
// as nft(8) does, and [Plan] brings the kernel's up to date.
//
// No state of connections is kept, so that there is none to fill up or to be
// out of step with: what answers a connection is told by its port and its flags.
package firewall

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"github.com/fsva/fsva/hostbridge/site"
)

// Tables are the tables of a site.
type Tables []table

// table is a table as it should be.
type table struct {
	family nftables.TableFamily
	name   string
	sets   []set
	chains []chain
}

// set is a set with its elements.
type set struct {
	name     string
	fields   []nftables.SetDatatype
	elements []element
}

// element is an element of a set, for nft and for the kernel.
type element struct {
	text string
	key  []byte
}

// New makes the tables of a site.
func New(s *site.Site) Tables {
	return Tables{
		{nftables.TableFamilyBridge, Name(s.Bridge), sets(s), bridgeChains(s)},
		{nftables.TableFamilyINet, Name(s.Bridge), nil, routeChains(s)},
	}
}

// Name is the name of the tables of a bridge.
func Name(bridge string) string { return "fsva-" + bridge }

var familyNames = map[nftables.TableFamily]string{nftables.TableFamilyBridge: "bridge", nftables.TableFamilyINet: "inet"}

// sets are who is who.
func sets(s *site.Site) []set {
	ports := set{setPorts, []nftables.SetDatatype{nftables.TypeIFName}, nil}
	guests := set{setGuests, ports.fields, nil}
	mac := set{setMAC, []nftables.SetDatatype{nftables.TypeIFName, nftables.TypeEtherAddr}, nil}
	ip := set{setIP, append(mac.fields[:2:2], nftables.TypeIPAddr), nil}
	ip6 := set{setIP6, append(mac.fields[:2:2], nftables.TypeIP6Addr), nil}
	for _, p := range s.Ports() {
		device, hardware := part{fmt.Sprintf("%q", p.Device), deviceKey(p.Device)}, part{p.MAC.String(), p.MAC}
		ports.add(device)
		if p.Device != s.Appliance.Device {
			guests.add(device)
		}
		mac.add(device, hardware)
		for _, a := range p.Addresses() {
			if a.Is4() {
				ip.add(device, hardware, address(a))
			} else {
				ip6.add(device, hardware, address(a))
			}
		}
	}
	list := []set{ports, guests, mac, ip, portSet(setServices, s.Services), portSet(setManage, s.Manage)}
	if s.IPv6() {
		list = append(list, ip6, addressSet(setHost6, &s.Host), addressSet(setApp6, &s.Appliance.Identity))
	}
	return list
}

// part is one field of an element.
type part struct {
	text string
	key  []byte
}

func address(a netip.Addr) part { return part{a.String(), a.AsSlice()} }

// add adds an element. The kernel pads each field to whole registers.
func (s *set) add(parts ...part) {
	var e element
	for i, p := range parts {
		if i > 0 {
			e.text += " . "
		}
		e.text += p.text
		e.key = append(e.key, p.key...)
		for len(parts) > 1 && len(e.key)%int(registerSize) != 0 {
			e.key = append(e.key, 0)
		}
	}
	s.elements = append(s.elements, e)
}

func portSet(name string, ports []uint16) set {
	s := set{name, []nftables.SetDatatype{nftables.TypeInetService}, nil}
	for _, p := range ports {
		s.add(part{fmt.Sprint(p), bigEndian(uint64(p), 2)})
	}
	return s
}

func addressSet(name string, i *site.Identity) set {
	s := set{name, []nftables.SetDatatype{nftables.TypeIP6Addr}, nil}
	s.add(address(i.IP6))
	s.add(address(i.LinkLocal))
	return s
}

// priority puts our chains before those of others, and before br_netfilter,
// which puts fragments together (NF_BR_PRI_BRNF is 0).
const priority = -300

// exprs are a rule in the kernel's terms. Each counts what it meets.
func (r *rule) exprs() (list []expr.Any) {
	for _, m := range r.when {
		list = append(list, m.exprs...)
	}
	return append(list, &expr.Counter{}, &expr.Verdict{Kind: r.verdict.kind, Chain: r.verdict.to})
}

// comment is how the kernel keeps why there is a rule.
func (r *rule) comment() []byte {
	if r.why == "" {
		return nil
	}
	return userdata.AppendString(nil, userdata.TypeComment, r.why)
}

// String writes a rule as nft does.
func (r *rule) String() string {
	var b strings.Builder
	for _, m := range r.when {
		b.WriteString(m.text + " ")
	}
	b.WriteString("counter ")
	switch r.verdict.kind {
	case expr.VerdictAccept:
		b.WriteString("accept")
	case expr.VerdictDrop:
		b.WriteString("drop")
	default:
		b.WriteString("goto " + r.verdict.to)
	}
	if r.why != "" {
		fmt.Fprintf(&b, " comment %q", r.why)
	}
	return b.String()
}

// String writes tables as nft list does.
func (t Tables) String() string {
	var b strings.Builder
	for _, one := range t {
		fmt.Fprintf(&b, "table %s %s {\n", familyNames[one.family], one.name)
		for _, s := range one.sets {
			names := make([]string, len(s.fields))
			for i, f := range s.fields {
				names[i] = f.Name
			}
			fmt.Fprintf(&b, "\tset %s {\n\t\ttype %s\n", s.name, strings.Join(names, " . "))
			for _, e := range s.elements {
				fmt.Fprintf(&b, "\t\telements = { %s }\n", e.text)
			}
			b.WriteString("\t}\n")
		}
		for _, c := range one.chains {
			fmt.Fprintf(&b, "\tchain %s {\n", c.name)
			if c.hook != nil {
				fmt.Fprintf(&b, "\t\ttype filter hook %s priority %d; policy accept;\n", c.name, priority)
			}
			for i := range c.rules {
				fmt.Fprintf(&b, "\t\t%s\n", &c.rules[i])
			}
			b.WriteString("\t}\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}
