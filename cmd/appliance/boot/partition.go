package boot

import (
	"path/filepath"
	"strconv"
)

// growpart makes a partition larger, if the machine has it (cloud-guest-utils).
const growpart = "/usr/bin/growpart"

// growPartition makes a partition reach to the end of its disk, which may have
// been made larger while the machine was off. It does nothing if something
// comes behind the partition, or if there is hardly any room.
func (d *disk) growPartition(kids *children) error {
	link := filepath.Join("/sys/class/block", d.name)
	number := sysfsNumber(filepath.Join(link, "partition"))
	if number == 0 || !exists(growpart) {
		return nil
	}
	whole := wholeDisk(link)
	room := roomBehind(filepath.Join("/sys/class/block", whole), d.name)
	if room < growFrom {
		return nil
	}
	if err := kids.runProgram(growpart, "/dev/"+whole, strconv.FormatInt(number, 10)); err != nil {
		return err
	}
	d.size = sysfsNumber(filepath.Join(link, "size")) * sector
	return nil
}

// roomBehind is how many bytes of a disk, a directory in sysfs, are behind a
// partition of it; 0 if there is another partition.
func roomBehind(whole, name string) int64 {
	begin := sysfsNumber(filepath.Join(whole, name, "start"))
	end := begin + sysfsNumber(filepath.Join(whole, name, "size"))
	others, _ := filepath.Glob(filepath.Join(whole, "*", "start")) // the pattern is correct
	for _, other := range others {
		if sysfsNumber(other) > begin {
			return 0
		}
	}
	return (sysfsNumber(filepath.Join(whole, "size")) - end) * sector
}
