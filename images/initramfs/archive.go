package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// archive writes cpio in the format "newc".
type archive struct {
	w      io.Writer
	time   uint32
	inodes uint32
	err    error // the first one; nothing is written after it
}

func newArchive(w io.Writer, time uint32) *archive { return &archive{w: w, time: time} }

// entry is what a header says of a file.
type entry struct {
	name         string
	mode         uint32
	links        uint32
	major, minor uint32 // of the device that it is
	data         []byte
}

// write numbers the entry and pads it, header and data, to four bytes.
func (a *archive) write(e entry) {
	a.inodes++
	a.printf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inodes, e.mode, 0, 0, e.links, a.time, len(e.data), 0, 0, e.major, e.minor, len(e.name)+1, 0, e.name)
	a.pad(110 + len(e.name) + 1)
	a.printf("%s", e.data)
	a.pad(len(e.data))
}

func (a *archive) printf(format string, args ...any) {
	if a.err == nil {
		_, a.err = fmt.Fprintf(a.w, format, args...)
	}
}

func (a *archive) pad(n int) { a.printf("%s", "\x00\x00\x00"[:-n&3]) }

// add writes a file, directory or symbolic link. Whether a file may be run is
// all that is kept of its permissions.
func (a *archive) add(name, path string, d fs.DirEntry) error {
	e := entry{name: name, links: 1}
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch info.Mode().Type() {
	case fs.ModeDir:
		e.mode, e.links = unix.S_IFDIR|0o755, 2
	case fs.ModeSymlink:
		var target string
		target, err = os.Readlink(path)
		e.mode, e.data = unix.S_IFLNK|0o777, []byte(target)
	case 0:
		e.mode = unix.S_IFREG | 0o644
		if info.Mode()&0o111 != 0 {
			e.mode |= 0o111
		}
		e.data, err = os.ReadFile(path)
	default:
		err = fmt.Errorf("%s is a %s, which belongs in no initramfs", path, info.Mode().Type())
	}
	if err != nil {
		return err
	}
	a.write(e)
	return a.err
}

// console writes the one device (Linux, Documentation/admin-guide/
// devices.txt: 5, 1).
func (a *archive) console() {
	a.write(entry{name: "dev", mode: unix.S_IFDIR | 0o755, links: 2})
	a.write(entry{name: "dev/console", mode: unix.S_IFCHR | 0o600, links: 1, major: 5, minor: 1})
}

// close writes the mark of the end.
func (a *archive) close() error {
	a.write(entry{name: "TRAILER!!!", links: 1})
	return a.err
}
