package boot

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestDriversAreFoundByDependencyAndAlias(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"modules.dep":   "kernel/net/virtio_net.ko: kernel/net/net_failover.ko kernel/virtio/virtio.ko\nkernel/net/net_failover.ko:\nkernel/virtio/virtio.ko:\nkernel/net/xen-netfront.ko:\n",
		"modules.alias": "# a comment\nalias virtio:d00000001v* virtio_net\nalias xen:vif xen_netfront\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m, err := readModules(dir)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"kernel/net/virtio_net.ko", "kernel/net/net_failover.ko", "kernel/virtio/virtio.ko"}
	if got := m.deps["virtio_net"]; !slices.Equal(got, want) {
		t.Errorf("virtio_net needs %v", got)
	}
	if m.deps["xen_netfront"] == nil {
		t.Error("a name with a hyphen is not found")
	}
	if err := m.load("nothing"); err == nil {
		t.Error("a driver that is not there was loaded")
	}
	if err := m.loadAlias("pci:v00008086"); err == nil {
		t.Error("a device without a driver got one")
	}
	for _, f := range m.deps["virtio_net"] {
		m.loaded[f] = true
	}
	if err := m.loadAlias("virtio:d00000001v00001AF4"); err != nil {
		t.Errorf("a device whose drivers are loaded: %v", err)
	}
}
