package boot

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// kernelMounts are the file systems in which the kernel shows itself.
var kernelMounts = []struct {
	kind, dir string
	flags     uintptr
	options   string
}{
	{"proc", "/proc", safe, ""},
	{"sysfs", "/sys", safe, ""},
	{"devtmpfs", "/dev", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=755"},
	{"tmpfs", "/run", safe, "mode=755"},
	{"tmpfs", "/tmp", safe, "mode=1777"},
}

func mountKernel() (problems []error) {
	for _, m := range kernelMounts {
		err := os.MkdirAll(m.dir, 0o755)
		if err == nil {
			err = unix.Mount(m.kind, m.dir, m.kind, m.flags, m.options)
		}
		if err != nil && !errors.Is(err, unix.EBUSY) { // which the kernel did by itself
			problems = append(problems, fmt.Errorf("%s is not mounted: %w", m.dir, err))
		}
	}
	return problems
}
