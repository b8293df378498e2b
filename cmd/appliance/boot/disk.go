package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Labels of file systems that are the appliance's.
const (
	dataLabel   = "fsva-data"
	configLabel = "fsva-config"
	cloudLabel  = "cidata" // of NoCloud, whose drives may have an fsva.yaml, too
)

// disk is a block device, whole or a partition.
type disk struct {
	name string // vda
	size int64
	content
}

func (d disk) device() string { return "/dev/" + d.name }

func (d disk) isConfig() bool {
	return strings.EqualFold(d.label, configLabel) || strings.EqualFold(d.label, cloudLabel)
}

// findDisks lists the disks with something in them or not, but none that
// cannot be read, such as a drive without a medium, and not the one that the
// system itself is on.
func findDisks() (disks []disk) {
	system := systemDisk()
	links, _ := filepath.Glob("/sys/class/block/*") // the pattern is correct
	for _, link := range links {
		name := filepath.Base(link)
		if target, err := os.Readlink(link); err != nil || strings.Contains(target, "/virtual/") {
			continue // loop, ram
		}
		d := disk{name: name, size: sysfsNumber(filepath.Join(link, "size")) * sector}
		if d.size == 0 || wholeDisk(link) == system {
			continue
		}
		if err := d.look(); err != nil {
			say("disk %s cannot be read: %v", name, err)
			continue
		}
		if d.kind != "a partition table" { // then its partitions count
			disks = append(disks, d)
		}
	}
	return disks
}

// sector is what sysfs counts in, whatever the disk's own are.
const sector = 512

// systemDisk is the disk with the root on it or on a partition of it, empty if
// the root is in memory.
func systemDisk() string {
	var st unix.Stat_t
	if err := unix.Stat("/", &st); err != nil {
		return ""
	}
	return wholeDisk(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
}

// wholeDisk is the name of a disk, or of the one that a partition is on, by its
// link in sysfs; empty if there is no such disk.
func wholeDisk(link string) string {
	target, err := os.Readlink(link)
	if err != nil {
		return ""
	}
	if exists(filepath.Join(link, "partition")) {
		target = filepath.Dir(target)
	}
	return filepath.Base(target)
}

func sysfsNumber(file string) int64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64) // 0 if there is none
	return n
}

func (d *disk) look() error {
	f, err := os.Open(d.device())
	if err != nil {
		return err
	}
	defer f.Close()
	d.content, err = identify(f, d.size)
	return err
}

// mount mounts the disk, with a driver that is loaded now if need be.
func (d disk) mount(dir string, mods *modules, flags uintptr) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if mods != nil {
		_ = mods.load(d.kind) // ext4 is part of the kernel, and mount tells the rest
	}
	if d.kind == "iso9660" && mods != nil {
		_ = mods.load("isofs")
	}
	if err := unix.Mount(d.device(), dir, d.kind, flags|safe, ""); err != nil {
		return fmt.Errorf("disk %s (%s) cannot be mounted: %w", d.name, d.content, err)
	}
	return nil
}

// dataDisk is the disk with the label of the data disk, nil if there is none.
// Two are an error: which of them has the guests' files, nobody can tell.
func dataDisk(disks []disk) (*disk, error) {
	var found []*disk
	var names []string
	for i, d := range disks {
		if d.label == dataLabel && d.mountable() {
			found, names = append(found, &disks[i]), append(names, d.name)
		}
	}
	switch len(found) {
	case 0:
		return nil, nil
	case 1:
		return found[0], nil
	}
	return nil, fmt.Errorf("the disks %s all have the label %s; take away all but one, or give the others another label", strings.Join(names, " and "), dataLabel)
}

// chooseData finds the data disk. Only where there is none does fsva.format
// count, and then the disk that it names is to be formatted, if it is blank:
// names change when disks are added, and the parameter may still be there.
func chooseData(format string, disks []disk) (data *disk, blank bool, err error) {
	data, err = dataDisk(disks)
	if err != nil || format == "" {
		return data, false, err
	}
	if data != nil {
		if data.name != format {
			say("fsva.format=%s has no effect: %s is the data disk", format, data.name)
		}
		return data, false, nil
	}
	data, err = blankDisk(format, disks)
	return data, err == nil, err
}

// blankDisk is the disk that fsva.format names. One that holds anything is never
// touched.
func blankDisk(name string, disks []disk) (*disk, error) {
	at := slices.IndexFunc(disks, func(d disk) bool { return d.name == name })
	if at < 0 {
		return nil, fmt.Errorf("fsva.format=%s: there is no such disk, or it has partitions; there are: %s", name, list(disks))
	}
	d := &disks[at]
	if d.kind != "" {
		return nil, fmt.Errorf("fsva.format=%s: the disk is not blank but holds %s, and is left alone; if nobody needs that, overwrite its first and last 4 MiB with zeros", name, d.content)
	}
	return d, nil
}

// format makes a data disk of a blank one.
func (d *disk) format(kids *children) error {
	say("disk %s is blank and becomes the data disk", d.name)
	if err := kids.runProgram("/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-L", dataLabel, d.device()); err != nil {
		return fmt.Errorf("fsva.format=%s: %w", d.name, err)
	}
	return d.look()
}

// list is for messages.
func list(disks []disk) string {
	if len(disks) == 0 {
		return "none"
	}
	var words []string
	for _, d := range disks {
		words = append(words, fmt.Sprintf("%s with %s", d.name, d.content))
	}
	return strings.Join(words, ", ")
}

// grow makes an ext4 file system as large as its disk, which may have been
// made larger while the machine was off. dir is where it is mounted.
func (d disk) grow(dir string) error {
	if d.kind != "ext4" {
		return nil
	}
	f, err := os.Open(d.device())
	if err != nil {
		return err
	}
	defer f.Close()
	have, err := extBytes(f)
	if err != nil || d.size-have < growFrom {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return err
	}
	root, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	if err := resizeExt(root, uint64(d.size/st.Bsize)); err != nil && !errors.Is(err, unix.EOPNOTSUPP) {
		return fmt.Errorf("disk %s does not grow to its %d MiB: %w", d.name, d.size>>20, err)
	}
	say("disk %s has grown to %d MiB", d.name, d.size>>20)
	return nil
}

// growFrom is how much room at the end is worth growing into: less than one
// group of blocks may not be usable.
const growFrom = 128 << 20
