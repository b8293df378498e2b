package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// content is what a disk holds, by the marks that file systems leave on it.
type content struct {
	kind  string // as mount(2) calls it, or words for what cannot be mounted; empty if blank
	label string
}

func (c content) String() string {
	switch {
	case c.kind == "":
		return "nothing"
	case c.label == "":
		return c.kind + " without a label"
	}
	return fmt.Sprintf("%s labelled %q", c.kind, c.label)
}

// mountable are the kinds that the appliance has drivers for.
func (c content) mountable() bool {
	switch c.kind {
	case "ext4", "xfs", "btrfs", "iso9660", "vfat":
		return true
	}
	return false
}

// marks are the places of what tells kinds apart, each with the place of the
// label. They are in the order in which they are believed: an iso9660 image
// may begin with a partition table.
var marks = []struct {
	kind        string
	at          int64
	magic       string
	label, size int64 // no label: size is 0
}{
	{"ext4", 1024 + 0x38, "\x53\xef", 1024 + 0x78, 16}, // struct ext4_super_block
	{"xfs", 0, "XFSB", 0x6c, 12},                       // struct xfs_dsb
	{"btrfs", 0x10040, "_BHRfS_M", 0x1012b, 256},       // struct btrfs_super_block
	{"iso9660", 0x8001, "CD001", 0x8028, 32},           // ECMA-119 §8.4
	{"vfat", 0x52, "FAT32   ", 0x47, 11},
	{"vfat", 0x36, "FAT1", 0x2b, 11}, // FAT12 and FAT16
	{"LVM", 0x218, "LVM2 001", 0, 0},
	{"LUKS", 0, "LUKS\xba\xbe", 0, 0},
	{"swap", 4096 - 10, "SWAPSPACE2", 0, 0},
	{"a partition table", 510, "\x55\xaa", 0, 0},
}

// identify reads what a disk of that size holds.
func identify(disk io.ReaderAt, size int64) (content, error) {
	for _, m := range marks {
		magic, err := readAt(disk, m.at, len(m.magic), size)
		if err != nil {
			return content{}, err
		}
		if string(magic) != m.magic {
			continue
		}
		label, err := readAt(disk, m.label, int(m.size), size)
		text, _, _ := strings.Cut(string(label), "\x00")
		c := content{kind: m.kind, label: strings.TrimRight(text, " ")}
		if m.kind == "vfat" && c.label == "NO NAME" {
			c.label = ""
		}
		return c, err
	}
	zero, err := blank(disk, size)
	if err != nil || zero {
		return content{}, err
	}
	return content{kind: "unknown data"}, nil
}

// readAt reads n bytes, or none if the disk ends before.
func readAt(disk io.ReaderAt, at int64, n int, size int64) ([]byte, error) {
	if at+int64(n) > size {
		return nil, nil
	}
	b := make([]byte, n)
	_, err := disk.ReadAt(b, at)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b, err
}

// edge is as much of the beginning and of the end of a disk as must be zero
// for it to be blank. RAID and partition tables have copies at the end.
const edge = 4 << 20

func blank(disk io.ReaderAt, size int64) (bool, error) {
	zeros := make([]byte, 1<<16)
	for _, part := range [][2]int64{{0, min(edge, size)}, {max(0, size-edge), size}} {
		for at := part[0]; at < part[1]; at += int64(len(zeros)) {
			b, err := readAt(disk, at, int(min(int64(len(zeros)), part[1]-at)), size)
			if err != nil || !bytes.Equal(b, zeros[:len(b)]) {
				return false, err
			}
		}
	}
	return true, nil
}

// extBytes is how large an ext4 file system is, by its superblock.
func extBytes(disk io.ReaderAt) (int64, error) {
	b := make([]byte, 1024)
	if _, err := disk.ReadAt(b, 1024); err != nil {
		return 0, err
	}
	blocks := int64(binary.LittleEndian.Uint32(b[4:])) | int64(binary.LittleEndian.Uint32(b[0x150:]))<<32
	return blocks << (10 + binary.LittleEndian.Uint32(b[0x18:])&7), nil
}
