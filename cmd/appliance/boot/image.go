package boot

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// CheckDataDisk says why the appliance would not take a disk of the host for
// its data disk, if its kernel's command line had those parameters. The disk is
// only read.
func CheckDataDisk(path, cmdline string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Seek(0, io.SeekEnd) // of block devices, too
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c, err := identify(f, size)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	asked := slices.ContainsFunc(split(cmdline), func(word string) bool { return strings.HasPrefix(word, "fsva.format=") })
	switch {
	case c.label == dataLabel && c.mountable(), c.kind == "" && asked:
		return nil
	case c.kind == "":
		return fmt.Errorf("%s is blank; to have it formatted, append fsva.format=vda to the appliance's command line", path)
	}
	return fmt.Errorf("%s holds %s, and not a file system labelled %s; it is left alone: name another disk", path, c, dataLabel)
}
