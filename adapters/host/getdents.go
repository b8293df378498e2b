package host

import (
	"bytes"
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// rawEntry is a struct linux_dirent64 (getdents(2)).
type rawEntry struct {
	ino  uint64
	next int64 // offset of the entry behind this one
	kind byte  // DT_*
	name []byte
}

const direntHeader = 8 + 8 + 2 + 1 // ino, next, length, kind

// direntBuffers hold what one getdents64 returns.
var direntBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// readEntries calls take for the entries of an open directory, from its
// current offset, until it returns false or the directory ends (eof). "." and
// ".." are left out. What the entry points to is valid during the call only.
func readEntries(fd int, take func(*rawEntry) bool) (eof bool, err error) {
	buf := direntBuffers.Get().(*[32 << 10]byte)
	defer direntBuffers.Put(buf)
	for {
		n, err := retry(func() (int, error) { return unix.Getdents(fd, buf[:]) })
		if err != nil {
			return false, err
		}
		if n == 0 {
			return true, nil
		}
		for rest := buf[:n]; len(rest) > 0; {
			var e rawEntry
			if rest, err = e.parse(rest); err != nil {
				return false, err
			}
			if name := string(e.name); name == "." || name == ".." {
				continue
			}
			if !take(&e) {
				return false, nil
			}
		}
	}
}

// parse takes one entry off b. A FUSE server's directory comes through the
// kernel, which has checked it, so that damage here is EIO and not expected.
func (e *rawEntry) parse(b []byte) (rest []byte, err error) {
	if len(b) < direntHeader {
		return nil, vfs.EIO
	}
	length := int(binary.NativeEndian.Uint16(b[16:]))
	if length < direntHeader || length > len(b) {
		return nil, vfs.EIO
	}
	e.ino = binary.NativeEndian.Uint64(b)
	e.next = int64(binary.NativeEndian.Uint64(b[8:]))
	e.kind = b[18]
	e.name, _, _ = bytes.Cut(b[direntHeader:length], []byte{0})
	return b[length:], nil
}

// fileType translates DT_*.
func (e *rawEntry) fileType() vfs.FileType {
	switch e.kind {
	case unix.DT_REG:
		return vfs.TypeRegular
	case unix.DT_DIR:
		return vfs.TypeDirectory
	case unix.DT_LNK:
		return vfs.TypeSymlink
	case unix.DT_BLK:
		return vfs.TypeBlock
	case unix.DT_CHR:
		return vfs.TypeChar
	case unix.DT_FIFO:
		return vfs.TypeFIFO
	case unix.DT_SOCK:
		return vfs.TypeSocket
	}
	return vfs.TypeUnknown
}
