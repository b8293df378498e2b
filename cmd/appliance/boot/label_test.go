package boot

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bytesAt is a disk of n bytes with those that are given.
func bytesAt(n int, at ...any) []byte {
	b := make([]byte, n)
	for i := 0; i < len(at); i += 2 {
		copy(b[at[i].(int):], at[i+1].(string))
	}
	return b
}

func TestDisksAreKnownByTheirMarks(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		disk []byte
		want string
	}{
		{bytesAt(mib), "nothing"},
		{bytesAt(0), "nothing"},
		{bytesAt(100, 99, "x"), "unknown data without a label"},
		{bytesAt(20*mib, 20*mib-1, "x"), "unknown data without a label"},
		{bytesAt(mib, 1080, "\x53\xef", 1144, "fsva-data"), `ext4 labelled "fsva-data"`},
		{bytesAt(mib, 1080, "\x53\xef", 1144, "sixteen-letters-and"), `ext4 labelled "sixteen-letters-"`},
		{bytesAt(mib, 1080, "\x53\xef"), "ext4 without a label"},
		{bytesAt(mib, 0, "XFSB", 108, "fsva-data"), `xfs labelled "fsva-data"`},
		{bytesAt(mib, 0x10040, "_BHRfS_M", 0x1012b, "x"), `btrfs labelled "x"`},
		{bytesAt(mib, 0x8001, "CD001", 0x8028, "CIDATA           ", 510, "\x55\xaa"), `iso9660 labelled "CIDATA"`},
		{bytesAt(mib, 0x36, "FAT16   ", 0x2b, "FSVA-CONFIG", 510, "\x55\xaa"), `vfat labelled "FSVA-CONFIG"`},
		{bytesAt(mib, 0x52, "FAT32   ", 0x47, "NO NAME    "), "vfat without a label"},
		{bytesAt(mib, 510, "\x55\xaa"), "a partition table without a label"},
		{bytesAt(mib, 0, "LUKS\xba\xbe"), "LUKS without a label"},
		{bytesAt(mib, 4086, "SWAPSPACE2"), "swap without a label"},
		{bytesAt(mib, 536, "LVM2 001"), "LVM without a label"},
	} {
		got, err := identify(bytes.NewReader(c.disk), int64(len(c.disk)))
		if err != nil || got.String() != c.want {
			t.Errorf("got %s, %v; want %s", got, err, c.want)
		}
	}
}

// The programs that make file systems are believed more than the table.
func TestLabelsOfRealFileSystems(t *testing.T) {
	t.Setenv("PATH", os.Getenv("PATH")+":/sbin:/usr/sbin")
	for kind, command := range map[string]string{
		"ext4": "mkfs.ext4 -q -L fsva-data", "xfs": "mkfs.xfs -q -L fsva-data", "btrfs": "mkfs.btrfs -q -L fsva-data", "vfat": "mkfs.vfat -n FSVA-DATA",
	} {
		t.Run(kind, func(t *testing.T) {
			name, _, _ := strings.Cut(command, " ")
			if _, err := exec.LookPath(name); err != nil {
				t.Skip(err)
			}
			const size = 400 << 20 // xfs takes no less than 300 MB
			file := filepath.Join(t.TempDir(), "disk")
			if out, err := exec.Command("/bin/sh", "-c", fmt.Sprintf("truncate -s %d %s && %s %s", size, file, command, file)).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := identify(f, size)
			if err != nil || got.kind != kind || !strings.EqualFold(got.label, dataLabel) {
				t.Errorf("%s, %v", got, err)
			}
			if n, err := extBytes(f); kind == "ext4" && (err != nil || n != size) {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	}
}

func TestTwoDataDisksAreRefusedByName(t *testing.T) {
	data := content{"ext4", dataLabel}
	disks := []disk{{name: "vda", content: data}, {name: "vdb", content: content{"xfs", "other"}}, {name: "vdc", content: data}}
	if _, err := dataDisk(disks); err == nil || !strings.Contains(err.Error(), "vda and vdc") {
		t.Error(err)
	}
	if d, err := dataDisk(disks[1:]); err != nil || d == nil || d.name != "vdc" {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := dataDisk(disks[1:2]); err != nil || d != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

func TestOnlyBlankDisksAreFormatted(t *testing.T) {
	disks := []disk{{name: "vda", content: content{"ext4", "precious"}}, {name: "vdb", content: content{"unknown data", ""}}, {name: "vdc", content: content{"ext4", dataLabel}}}
	for name, want := range map[string]string{
		"vda": `holds ext4 labelled "precious", and is left alone`,
		"vdb": "holds unknown data",
		"vdd": "there is no such disk, or it has partitions; there are: vda with ext4",
	} {
		if _, err := blankDisk(name, disks); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
