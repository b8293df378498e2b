// Package site is what one host has of an appliance and its guests: a bridge
// that leads nowhere else, who stands on it, and what each may be called there.
//
// A [File] is what the operator wrote. [Read] makes a [Site] of it, in which
// nothing is left open: every name is unique, every MAC and address is given,
// derived or allotted, and the same file gives the same site on every host. The
// other packages of hostbridge are told a Site and never the File.
package site

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fsva/fsva/internal/strictyaml"
)

// File is the site in the operator's words. The doc tags are the text of the
// reference.
type File struct {
	Bridge    string    `yaml:"bridge" doc:"Name of the bridge." default:"fsva0"`
	Subnet    string    `yaml:"subnet" doc:"IPv4 network of the bridge, such as 10.77.0.0/24." required:"true"`
	Subnet6   string    `yaml:"subnet6" doc:"IPv6 network of the bridge, a /64 of unique local addresses (RFC 4193) such as fd77:1:2:3::/64. Without it, no IPv6 passes."`
	Address   string    `yaml:"address" doc:"IPv4 address of the bridge itself. Without it: the first of the subnet."`
	Address6  string    `yaml:"address6" doc:"IPv6 address of the bridge itself. Without it: the first of subnet6."`
	MTU       *uint32   `yaml:"mtu" doc:"Size of the largest packet, in bytes." default:"1500"`
	Owner     string    `yaml:"owner" doc:"User, by name or number, who may open the taps besides root, such as libvirt-qemu."`
	Services  []uint32  `yaml:"services" doc:"TCP ports of the appliance that guests may connect to." default:"2049, 564"`
	QEMU      string    `yaml:"qemu" doc:"Path of QEMU, for host run. Without it: qemu-system-x86_64, where commands are."`
	Appliance Appliance `yaml:"appliance" doc:"Where the appliance runs."`
	Guests    []Guest   `yaml:"guests" doc:"The guests."`
}

// Appliance says where the appliance runs.
type Appliance struct {
	Run      string   `yaml:"run" doc:"process: on this host, at the address of the bridge. machine: in a machine with a tap of its own." enum:"process,machine" default:"process"`
	MAC      string   `yaml:"mac" doc:"MAC of the machine. Without it: made from the bridge's name."`
	Address  string   `yaml:"address" doc:"IPv4 address of the machine. Without it: the second of the subnet."`
	Address6 string   `yaml:"address6" doc:"IPv6 address of the machine. Without it: made from its MAC, as the machine itself does."`
	Tap      string   `yaml:"tap" doc:"Name of the machine's tap. Without it: tap-appliance."`
	Machine  Machine  `yaml:"machine" doc:"How host run makes the machine."`
	Manage   []uint32 `yaml:"manage" doc:"TCP ports of the machine that this host may connect to, besides the services, such as 9049."`
}

// Guest is one guest.
type Guest struct {
	Name     string   `yaml:"name" doc:"Lower-case letters, digits and hyphens, at most 63. Also its host name by DHCP." required:"true"`
	MAC      string   `yaml:"mac" doc:"Without it: made from the names of bridge and guest."`
	Address  string   `yaml:"address" doc:"IPv4 address. Without it: allotted by the name."`
	Address6 string   `yaml:"address6" doc:"IPv6 address. Without it: made from the MAC, as Linux does of itself."`
	Tap      string   `yaml:"tap" doc:"Name of its tap. Without it: tap-NAME, shortened if need be."`
	P9       []string `yaml:"p9" doc:"Exports that the guest has as virtio 9P devices, each with its name as tag."`
	Machine  Machine  `yaml:"machine" doc:"How host run makes the machine."`
	External bool     `yaml:"external" doc:"Somebody else makes the interface and puts it on the bridge, such as xl. It is only admitted, by its name."`
}

// Default is a site of which nothing is said.
func Default() *File {
	return &File{Bridge: "fsva0", Services: []uint32{2049, 564}, Appliance: Appliance{Run: RunProcess}}
}

// Where an appliance runs.
const (
	RunProcess = "process"
	RunMachine = "machine"
)

// DefaultPath is where the file is if nothing else is said.
const DefaultPath = "/etc/fsva/host.yaml"

// Read reads the file at path and works out the site. The error is
// strictyaml.Errors, each with file and line where it has one. Nothing on the
// host is looked at.
func Read(path string) (*Site, error) {
	f, from := Default(), make(map[string]string)
	if err := strictyaml.ReadFile(path, f, from); err != nil {
		return nil, err
	}
	return f.resolve(path, from)
}

// ReadGuests reads who the guests are of the site in the file at path. It serves
// an appliance in a machine of its own too, which need not have the users of the
// host that the file names.
func ReadGuests(path string) ([]Identity, error) {
	f, from := Default(), make(map[string]string)
	if err := strictyaml.ReadFile(path, f, from); err != nil {
		return nil, err
	}
	f.Owner = ""
	s, err := f.resolve(path, from)
	if err != nil {
		return nil, err
	}
	guests := make([]Identity, len(s.Guests))
	for i, g := range s.Guests {
		guests[i] = g.Identity
	}
	return guests, nil
}

// parse is Read of a file in memory.
func parse(path string, text []byte) (*Site, error) {
	f, from := Default(), make(map[string]string)
	if errs := strictyaml.Read(path, text, f, from); len(errs) > 0 {
		return nil, errs
	}
	return f.resolve(path, from)
}

// faults collects what is wrong with a file.
type faults struct {
	path string
	from map[string]string // where each key was read
	errs strictyaml.Errors
}

// add notes an error of a key such as "guests[1].mac", which is found where its
// mapping is if it was not given.
func (f *faults) add(key, format string, args ...any) {
	f.errs = append(f.errs, fmt.Errorf("%s: %s: %s", f.where(key), key, fmt.Sprintf(format, args...)))
}

func (f *faults) where(key string) string {
	for k := key; ; {
		if at, ok := f.from[k]; ok {
			return at
		}
		cut := strings.LastIndexAny(k, ".[")
		if cut < 0 {
			return filepath.Clean(f.path)
		}
		k = k[:cut]
	}
}
