// Package toolstack has the words with which toolstacks are told of a guest's tap
// and 9P devices, for machines that others run.
package toolstack

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"strings"

	"github.com/fsva/fsva/hostbridge/qemu"
	"github.com/fsva/fsva/hostbridge/site"
)

// Device is a 9P device of a guest.
type Device struct {
	Tag    string `json:"tag"`    // what the guest mounts, the name of the export
	Socket string `json:"socket"` // of the back end
	Relay  string `json:"relay"`  // the command that serves it
}

// Guest is what a toolstack is told.
type Guest struct {
	Site    *site.Site
	Port    site.Port
	Devices []Device
	Domain  string // of the appliance, where xl runs it
}

// Fragment is what goes into a toolstack's own words for an existing machine.
type Fragment struct {
	Guest   string   `json:"guest"`
	For     string   `json:"for"`
	Text    string   `json:"text"`
	Args    []string `json:"args,omitempty"`    // of QEMU, one by one
	Devices []Device `json:"devices,omitempty"` // whose relays are to run before the machine
}

// Names are those that are known.
var Names = []string{"qemu", "libvirt", "xl", "firecracker"}

// For makes the fragment for a toolstack. It fails if the site says of the guest
// what that toolstack cannot do.
func For(name string, g *Guest) (*Fragment, error) {
	f := &Fragment{Guest: g.Port.Name, For: name, Devices: g.Devices}
	if name == "xl" {
		f.Devices = nil // Xen's rings reach the appliance without
		return f, g.xl(f)
	}
	if g.Port.External {
		return nil, fmt.Errorf("guest %s is external: its interface is made by its own toolstack, such as xl; take external away for %s", g.Port.Name, name)
	}
	switch name {
	case "qemu":
		return f, g.qemu(f)
	case "libvirt":
		return f, g.libvirt(f)
	case "firecracker":
		return f, g.firecracker(f)
	}
	return nil, fmt.Errorf("%q is no toolstack; known are %s", name, strings.Join(Names, ", "))
}

// qemu has the devices, and what shares the memory that they reach.
func (g *Guest) qemu(f *Fragment) error {
	lines := [][]string{}
	if len(g.Devices) > 0 {
		lines = append(lines, qemu.SharingArguments(g.memory()))
	}
	lines = append(lines, qemu.NetworkArguments(g.Port.Device, g.Port.MAC))
	for i := range g.Devices {
		p := qemu.P9{Model: qemu.P9Models[0], Socket: g.Devices[i].Socket}
		lines = append(lines, p.Arguments(i))
	}
	var text []string
	for _, line := range lines {
		f.Args = append(f.Args, line...)
		text = append(text, strings.Join(line, " "))
	}
	f.Text = strings.Join(text, " \\\n") + "\n"
	return nil
}

// memory is that of the machine, if the site says it.
func (g *Guest) memory() uint32 {
	if g.Port.Machine != nil {
		return g.Port.Machine.Memory
	}
	return 1024
}

// libvirt has elements of a domain; libvirt itself knows no 9P device of
// others, so that QEMU is told of it past libvirt
// (https://libvirt.org/drvqemu.html#pass-through-of-arbitrary-qemu-commands).
func (g *Guest) libvirt(f *Fragment) error {
	d := domain{Type: "kvm", Interface: iface{Type: "ethernet"}}
	d.Interface.Target.Dev, d.Interface.Target.Managed = g.Port.Device, "no"
	d.Interface.MAC.Address, d.Interface.Model.Type = g.Port.MAC.String(), "virtio"
	if len(g.Devices) > 0 {
		d.Namespace = "http://libvirt.org/schemas/domain/qemu/1.0"
		d.Memory = &memoryBacking{}
		d.Memory.Source.Type, d.Memory.Access.Mode = "memfd", "shared"
		d.CommandLine = &commandLine{}
		for i := range g.Devices {
			p := qemu.P9{Model: qemu.P9Models[0], Socket: g.Devices[i].Socket}
			for _, a := range p.Arguments(i) {
				d.CommandLine.Args = append(d.CommandLine.Args, arg{Value: a})
			}
		}
	}
	b, err := xml.MarshalIndent(d, "", "  ")
	f.Text = string(b) + "\n"
	return err
}

// domain is as much of a domain as we have to say of it, in the order that
// libvirt writes it.
type domain struct {
	XMLName     xml.Name       `xml:"domain"`
	Type        string         `xml:"type,attr"`
	Namespace   string         `xml:"xmlns:qemu,attr,omitempty"`
	Memory      *memoryBacking `xml:"memoryBacking,omitempty"`
	Interface   iface          `xml:"devices>interface"`
	CommandLine *commandLine   `xml:"qemu:commandline,omitempty"`
}

type memoryBacking struct {
	Source struct {
		Type string `xml:"type,attr"`
	} `xml:"source"`
	Access struct {
		Mode string `xml:"mode,attr"`
	} `xml:"access"`
}

type iface struct {
	Type string `xml:"type,attr"`
	MAC  struct {
		Address string `xml:"address,attr"`
	} `xml:"mac"`
	Target struct {
		Dev     string `xml:"dev,attr"`
		Managed string `xml:"managed,attr"`
	} `xml:"target"`
	Model struct {
		Type string `xml:"type,attr"`
	} `xml:"model"`
}

type commandLine struct {
	Args []arg `xml:"qemu:arg"`
}

type arg struct {
	Value string `xml:"value,attr"`
}

// xl has lines of a domain's configuration (xl.cfg(5)). The interface is xl's
// own, of which the firewall knows the name.
func (g *Guest) xl(f *Fragment) error {
	if !g.Port.External {
		return fmt.Errorf("guest %s: xl makes the interface itself; say external: true of it", g.Port.Name)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "vif = [%q]\n", fmt.Sprintf("mac=%v,bridge=%s,vifname=%s", g.Port.MAC, g.Site.Bridge, g.Port.Device))
	if len(g.Port.P9) > 0 {
		var list []string
		for _, name := range g.Port.P9 {
			list = append(list, fmt.Sprintf("%q", fmt.Sprintf("tag=%s,path=/%s,security_model=none,backend=%s", name, name, g.Domain)))
		}
		fmt.Fprintf(&b, "p9 = [%s]\n", strings.Join(list, ", "))
	}
	f.Text = b.String()
	return nil
}

// firecracker has a part of its configuration file. It has no device whose back
// end could be ours.
func (g *Guest) firecracker(f *Fragment) error {
	if len(g.Devices) > 0 {
		return fmt.Errorf("guest %s: Firecracker has no 9P device for %s; take p9 away, and mount over NFS or vsock", g.Port.Name, strings.Join(g.Port.P9, ", "))
	}
	type networkInterface struct {
		ID   string `json:"iface_id"`
		MAC  string `json:"guest_mac"`
		Host string `json:"host_dev_name"`
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	err := enc.Encode(map[string]any{"network-interfaces": []networkInterface{{"eth0", g.Port.MAC.String(), g.Port.Device}}})
	f.Text = b.String()
	return err
}
