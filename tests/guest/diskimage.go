package guest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// imagePath is where make image puts the disk: FSVA_IMAGE, or in the checkout.
func imagePath() string {
	if file := os.Getenv("FSVA_IMAGE"); file != "" {
		return file
	}
	return "../../images/out/appliance.qcow2"
}

// RequireImage skips the test where the image cannot run, or fails it if
// FSVA_REQUIRE_QEMU=1.
func RequireImage(t testing.TB) string {
	t.Helper()
	RequireQEMU(t)
	file, err := filepath.Abs(imagePath())
	if err == nil {
		_, err = os.Stat(file)
	}
	if err != nil {
		if os.Getenv("FSVA_REQUIRE_QEMU") == "1" {
			t.Fatal(err)
		}
		t.Skip("there is no image: make image")
	}
	return file
}

// NewImageDisk makes a disk for one machine, twice as large as the image that is
// its first content.
func NewImageDisk(t testing.TB) string {
	t.Helper()
	disk := filepath.Join(t.TempDir(), "system.qcow2")
	if out, err := exec.Command("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", RequireImage(t), disk, "4G").CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	return disk
}

// BootImage starts a machine with such a disk, and with the files for its other
// hardware: one whose name ends in .iso is a CD, in .fd the firmware, which else is
// a BIOS, and every other one a disk. It returns at once. A whole Debian starts in
// it, emulated, so it may take much longer than the microVM.
func BootImage(t testing.TB, n *Network, system string, files ...string) *MicroVM {
	t.Helper()
	RequireImage(t)
	m := Machine{Type: "q35", Memory: "1G", Devices: []string{
		"-drive", "if=none,id=system,format=qcow2,file=" + system, "-device", "virtio-blk-pci,drive=system,bootindex=0"}}
	for i, file := range files {
		device, options := "virtio-blk-pci", ""
		switch filepath.Ext(file) {
		case ".fd":
			m.Devices = append(m.Devices, "-bios", file)
			continue
		case ".iso":
			device, options = "ide-cd", ",media=cdrom,readonly=on"
		}
		m.Devices = append(m.Devices, "-drive", fmt.Sprintf("if=none,id=d%d,format=raw,file=%s%s", i, file, options), "-device", fmt.Sprintf("%s,drive=d%d", device, i))
	}
	return startMicroVM(t, n, m, 4*bootLimit)
}
