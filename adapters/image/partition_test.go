package image_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// partitioned makes an image with that table, as sfdisk(8) reads it.
func partitioned(t *testing.T, table string) string {
	t.Helper()
	sfdisk, err := exec.LookPath("sfdisk")
	if err != nil {
		sfdisk = "/usr/sbin/sfdisk"
	}
	if _, err := os.Stat(sfdisk); err != nil {
		t.Skip("sfdisk is not installed")
	}
	img := blank(t, 32<<20)
	cmd := exec.Command(sfdisk, "-q", "--no-tell-kernel", img)
	cmd.Stdin = strings.NewReader(table)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	return img
}

// holdExt4 puts a file system with a file of that name at an offset of an image.
func holdExt4(t *testing.T, img string, off int64, name string) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/"+name, []byte(name), 0o644)
	part := blank(t, 4<<20)
	mke2fs(t, part, "-t ext4 -b 1024", "-d", dir)
	data, err := os.ReadFile(part)
	must(t, err)
	f, err := os.OpenFile(img, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(data, off)
	must(t, err)
	must(t, f.Close())
}

const (
	gptTable = "label: gpt\nstart=2048, size=8192, name=first\nstart=12288, size=8192, name=\"the second\"\n"
	dosTable = "label: dos\nstart=2048, size=8192, type=83\nstart=12288, size=40960, type=5\nstart=14336, size=8192, type=83\nstart=24576, size=8192, type=83\n"
)

func TestPartitionsAreFoundByTheirNumbers(t *testing.T) {
	for what, test := range map[string]struct {
		table string
		parts map[int]int64 // sectors
	}{
		"GPT":         {gptTable, map[int]int64{1: 2048, 2: 12288}},
		"boot record": {dosTable, map[int]int64{1: 2048, 5: 14336, 6: 24576}},
	} {
		t.Run(what, func(t *testing.T) {
			img := partitioned(t, test.table)
			for number, sector := range test.parts {
				holdExt4(t, img, sector*512, "file"+string(rune('0'+number)))
			}
			for number := range test.parts {
				if _, err := open(t, img, number).Root().Lookup(t.Context(), vfs.Root, "file"+string(rune('0'+number))); err != nil {
					t.Errorf("partition %d: %v", number, err)
				}
			}
			for _, number := range []int{0, 4, 99} {
				_, err := tryOpen(img, number)
				if err == nil || !strings.Contains(err.Error(), "1 (4 MiB, ext4") {
					t.Errorf("partition %d: %v", number, err)
				}
			}
		})
	}
}

func TestOnlyPartitionNeedsNoNumber(t *testing.T) {
	img := partitioned(t, "label: gpt\nstart=2048, size=8192\n")
	if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), "no file system that is known") {
		t.Errorf("an empty partition: %v", err)
	}
	holdExt4(t, img, 2048*512, "file")
	if _, err := open(t, img, 0).Root().Lookup(t.Context(), vfs.Root, "file"); err != nil {
		t.Error(err)
	}
	must(t, os.Truncate(img, 2<<20))
	if _, err := tryOpen(img, 1); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("a partition beyond the end: %v", err)
	}
}

func TestDamagedTableIsNotGuessedAt(t *testing.T) {
	img := partitioned(t, gptTable)
	f, err := os.OpenFile(img, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{1}, 1024+40) // the end of the first partition
	must(t, err)
	must(t, f.Close())
	if _, err := tryOpen(img, 1); err == nil || !strings.Contains(err.Error(), "GPT partition table is damaged") {
		t.Error(err)
	}
}

func TestLoopOfExtendedPartitionsEnds(t *testing.T) {
	img := partitioned(t, dosTable)
	f, err := os.OpenFile(img, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt([]byte{0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0}, 12288*512+462) // the next record is this one
	must(t, err)
	must(t, f.Close())
	if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), "partitions") {
		t.Error(err)
	}
}

func TestOtherImagesAreRefusedByTheWayOut(t *testing.T) {
	for start, want := range map[string]string{
		"QFI\xfb\x00\x00\x00\x03": "qemu-img convert -f qcow2 -O raw",
		"KDMV":                    "qemu-img convert -f vmdk",
		"vhdxfile":                "qemu-img convert -f vhdx",
		"no image at all":         "neither a file system nor a partition table",
		"":                        "neither a file system nor a partition table",
	} {
		img := blank(t, 0)
		must(t, os.WriteFile(img, []byte(start), 0o600))
		if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), img) {
			t.Errorf("%q: %v", start, err)
		}
	}
	if _, err := tryOpen(t.TempDir(), 0); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a directory: %v", err)
	}
}
