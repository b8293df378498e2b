// Package squashfs reads SquashFS images, version 4, as a tree of package tree:
// all directories and inodes once, to index them, and the blocks of a file when
// somebody reads it. The names are those of the kernel (fs/squashfs/squashfs_fs.h).
//
// What is read is hostile. A metadata block unpacks to 8 KiB at most, a block of
// data to 1 MiB; a directory is read once, whatever leads to it, so that loops
// end; of the blocks of a file only some places are remembered.
package squashfs

import (
	"encoding/binary"
	"io"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/lru"
	"github.com/fsva/fsva/vfs"
)

var le = binary.LittleEndian

const (
	magic     = "hsqs"
	superSize = 96
	// metadataSize is what a metadata block unpacks to, but for the last one.
	metadataSize = 8192
	minBlockSize = 4096
	maxBlockSize = 1 << 20
	// none stands for a table that is not there.
	none = 1<<64 - 1
	// noFragment and noXattrs stand for an index that a file does not have.
	noFragment = 1<<32 - 1
	noXattrs   = 1<<32 - 1
)

// Probe reports whether the start of a device is that of a SquashFS.
func Probe(start []byte) bool { return len(start) >= superSize && string(start[:4]) == magic }

// image is the structures of a SquashFS.
type image struct {
	dev       io.ReaderAt
	size      uint64 // bytes_used
	blockSize uint32
	unpack    unpacker

	root                   uint64 // a reference
	inodes, directories    uint64 // where their tables are
	ids, fragments, xattrs table
	xattrValues            uint64
	metadata               *lru.Cache[uint64, metadataBlock]
	blocks                 *lru.Cache[uint64, []byte]
}

// What is kept of what was unpacked, in bytes.
const (
	metadataRoom = 8 << 20
	blockRoom    = 32 << 20
)

func readImage(dev io.ReaderAt, size int64) (*image, error) {
	p := make([]byte, superSize)
	if err := disk.ReadFull(dev, p, 0); err != nil {
		return nil, err
	}
	if major, minor := le.Uint16(p[28:]), le.Uint16(p[30:]); major != 4 || minor != 0 {
		return nil, vfs.Errorf(vfs.EOPNOTSUPP, "SquashFS %d.%d cannot be read, 4.0 can", major, minor)
	}
	m := &image{
		dev: dev, size: le.Uint64(p[40:]), blockSize: le.Uint32(p[12:]), root: le.Uint64(p[32:]),
		inodes: le.Uint64(p[64:]), directories: le.Uint64(p[72:]),
		metadata: lru.New[uint64](metadataRoom, func(b metadataBlock) int64 { return int64(len(b.data)) + 64 }),
		blocks:   lru.New[uint64](blockRoom, func(b []byte) int64 { return int64(len(b)) + 64 }),
	}
	switch {
	case m.size > uint64(size):
		return nil, disk.Corrupt("the file system has %d bytes, but the image has only %d: it is cut short", m.size, size)
	case m.blockSize < minBlockSize || m.blockSize > maxBlockSize || m.blockSize != 1<<le.Uint16(p[22:]):
		return nil, disk.Corrupt("blocks cannot have %d bytes", m.blockSize)
	}
	m.ids = table{start: le.Uint64(p[48:]), count: uint32(le.Uint16(p[26:])), each: 4}
	m.fragments = table{start: le.Uint64(p[80:]), count: le.Uint32(p[16:]), each: 16}
	if err := m.readXattrs(le.Uint64(p[56:])); err != nil {
		return nil, err
	}
	compression, flags := le.Uint16(p[20:]), le.Uint16(p[24:])
	var err error
	if m.unpack, err = unpackerOf(compression, m.blockSize); err == nil && flags&flagOptions != 0 {
		err = m.checkOptions(compression)
	}
	return m, err
}

// readXattrs reads the header of the table of extended attributes.
func (m *image) readXattrs(start uint64) error {
	if start == none {
		return nil
	}
	p := make([]byte, 16)
	if start > m.size {
		return disk.Corrupt("the table of attributes is not in the image")
	}
	if err := disk.ReadFull(m.dev, p, int64(start)); err != nil {
		return err
	}
	m.xattrValues = le.Uint64(p)
	m.xattrs = table{start: start + 16, count: le.Uint32(p[8:]), each: 16}
	return nil
}
