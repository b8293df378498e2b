package toolstack

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsva/fsva/hostbridge/site"
)

const siteText = `
subnet: 10.77.0.0/24
guests:
  - {name: web1, mac: 52:54:00:12:34:56, p9: [data, src], machine: {kernel: /boot/vmlinuz, memory: 768}}
  - {name: db1, mac: 52:54:00:12:34:57, p9: [data], external: true}
  - {name: fc1, mac: 52:54:00:12:34:58}
`

func fragment(t *testing.T, name, guest string) (*Fragment, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(path, []byte(siteText), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := s.Guest(guest)
	if !ok {
		t.Fatalf("no guest %s", guest)
	}
	g := &Guest{Site: s, Port: p, Domain: "fsva"}
	for _, export := range p.P9 {
		g.Devices = append(g.Devices, Device{Tag: export, Socket: "/run/" + export, Relay: "relay " + export})
	}
	return For(name, g)
}

// golden are the fragments that were tried, or are in the form that the
// toolstack's documentation has.
var golden = []struct{ name, guest, want string }{
	{"qemu", "web1", `-object memory-backend-memfd,id=fsva,share=on,size=768M -machine memory-backend=fsva \
-netdev tap,id=fsva,script=no,downscript=no,ifname=tap-web1 -device virtio-net-pci,netdev=fsva,romfile=,mac=52:54:00:12:34:56 \
-chardev socket,id=p9-0,path=/run/data -device vhost-user-test-device-pci,chardev=p9-0,virtio-id=9,num_vqs=1,vq_size=128,config_size=256 \
-chardev socket,id=p9-1,path=/run/src -device vhost-user-test-device-pci,chardev=p9-1,virtio-id=9,num_vqs=1,vq_size=128,config_size=256
`},
	{"qemu", "fc1", `-netdev tap,id=fsva,script=no,downscript=no,ifname=tap-fc1 -device virtio-net-pci,netdev=fsva,romfile=,mac=52:54:00:12:34:58
`},
	{"libvirt", "fc1", `<domain type="kvm">
  <devices>
    <interface type="ethernet">
      <mac address="52:54:00:12:34:58"></mac>
      <target dev="tap-fc1" managed="no"></target>
      <model type="virtio"></model>
    </interface>
  </devices>
</domain>
`},
	{"libvirt", "web1", `<domain type="kvm" xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0">
  <memoryBacking>
    <source type="memfd"></source>
    <access mode="shared"></access>
  </memoryBacking>
  <devices>
    <interface type="ethernet">
      <mac address="52:54:00:12:34:56"></mac>
      <target dev="tap-web1" managed="no"></target>
      <model type="virtio"></model>
    </interface>
  </devices>
  <qemu:commandline>
    <qemu:arg value="-chardev"></qemu:arg>
    <qemu:arg value="socket,id=p9-0,path=/run/data"></qemu:arg>
    <qemu:arg value="-device"></qemu:arg>
    <qemu:arg value="vhost-user-test-device-pci,chardev=p9-0,virtio-id=9,num_vqs=1,vq_size=128,config_size=256"></qemu:arg>
    <qemu:arg value="-chardev"></qemu:arg>
    <qemu:arg value="socket,id=p9-1,path=/run/src"></qemu:arg>
    <qemu:arg value="-device"></qemu:arg>
    <qemu:arg value="vhost-user-test-device-pci,chardev=p9-1,virtio-id=9,num_vqs=1,vq_size=128,config_size=256"></qemu:arg>
  </qemu:commandline>
</domain>
`},
	{"xl", "db1", `vif = ["mac=52:54:00:12:34:57,bridge=fsva0,vifname=tap-db1"]
p9 = ["tag=data,path=/data,security_model=none,backend=fsva"]
`},
	{"firecracker", "fc1", `{
  "network-interfaces": [
    {
      "iface_id": "eth0",
      "guest_mac": "52:54:00:12:34:58",
      "host_dev_name": "tap-fc1"
    }
  ]
}
`},
}

func TestFragments(t *testing.T) {
	for _, c := range golden {
		f, err := fragment(t, c.name, c.guest)
		if err != nil {
			t.Errorf("%s %s: %v", c.name, c.guest, err)
			continue
		}
		if f.Text != c.want {
			t.Errorf("%s %s:\n%swant:\n%s", c.name, c.guest, f.Text, c.want)
		}
		switch c.name {
		case "libvirt":
			wellFormed(t, f.Text)
		case "firecracker":
			if !json.Valid([]byte(f.Text)) {
				t.Errorf("no JSON: %s", f.Text)
			}
		}
	}
}

func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well formed: %v\n%s", err, text)
		}
	}
}

func TestWhatAToolstackCannotDoIsRefused(t *testing.T) {
	for _, c := range []struct{ name, guest, want string }{
		{"xl", "fc1", "guest fc1: xl makes the interface itself; say external: true of it"},
		{"qemu", "db1", "guest db1 is external"},
		{"libvirt", "db1", "take external away for libvirt"},
		{"firecracker", "web1", "guest web1: Firecracker has no 9P device for data, src"},
		{"vbox", "fc1", `"vbox" is no toolstack; known are qemu, libvirt, xl, firecracker`},
	} {
		if _, err := fragment(t, c.name, c.guest); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %s: %v, without %q", c.name, c.guest, err, c.want)
		}
	}
}
