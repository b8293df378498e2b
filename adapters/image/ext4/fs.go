// Package ext4 reads ext2, ext3 and ext4 file systems as they lie on a disk and
// serves them read-only: what is in an image, without a kernel that mounts it.
// The names are those of the kernel (Documentation/filesystems/ext4, fs/ext4).
//
// [Open] reads the superblock and the group descriptors, which say where inodes
// are. From there on everything is read when it is asked for: an inode, the
// blocks that its extents or its block map lead to, the entries of a directory.
// Only directories are kept, parsed, in a bounded cache; nothing is ever written,
// so nothing is locked.
//
// What is on the disk is hostile. A number that leads somewhere is compared with
// the size of the device before it is followed; an extent tree is as deep as its
// root says, five levels at most, and every step goes down; a mapping always
// covers at least one block, so a walk over a file ends. A directory is a child
// only of the directory that its ".." names, so that no loop of directories can
// be reached from the root.
//
// Where the file system has metadata checksums, those of the superblock, group
// descriptors, inodes, extent blocks, blocks of extended attributes and leaves of
// directories are checked. Those of hash tree nodes and bitmaps are not, since
// neither is used, nor the older checksums of groups (uninit_bg).
package ext4

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/lru"
	"github.com/fsva/fsva/vfs"
)

// FS is a file system. It implements vfs.FS.
type FS struct {
	dev         io.ReaderAt
	closer      io.Closer
	fingerprint [8]byte
	super       *super
	tables      []uint64 // where the inode table of each group is, in blocks
	directories *lru.Cache[uint32, *directory]
}

// Options say what a file system is served as.
type Options struct {
	// Fingerprint tells this image from another one, or the same one before
	// it was changed. It is in every handle.
	Fingerprint [8]byte
	// Closer is closed with the FS.
	Closer io.Closer
}

// directoryRoom bounds the directories that are kept, in bytes.
const directoryRoom = 64 << 20

// Open opens the file system on a device of size bytes. If it fails the caller
// closes what opt has.
func Open(dev io.ReaderAt, size int64, opt Options) (*FS, error) {
	s, err := readSuper(dev, size)
	if err != nil {
		return nil, err
	}
	f := &FS{
		dev: dev, closer: opt.Closer, fingerprint: opt.Fingerprint, super: s,
		directories: lru.New[uint32](directoryRoom, (*directory).weight),
	}
	if f.tables, err = readGroups(dev, s); err != nil {
		return nil, err
	}
	root, err := f.inode(rootInode)
	if err != nil {
		return nil, err
	}
	if root.typ() != vfs.TypeDirectory {
		return nil, disk.Corrupt("the root is no directory")
	}
	return f, nil
}

// Warning says what an operator should know of a file system that can be served,
// or is empty.
func (f *FS) Warning() string {
	switch state := f.super.state; {
	case state&stateErrors != 0:
		return "the file system is marked as having errors; run e2fsck on the image"
	case state&stateClean == 0:
		return "the file system was not unmounted; run e2fsck on the image"
	}
	return ""
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node {
	n, err := f.node(rootInode)
	if err != nil { // it was there when the file system was opened
		return &node{fs: f, inode: &inode{number: rootInode, raw: make([]byte, minInodeSize), broken: err}, ReadOnly: vfs.ReadOnly{Type: vfs.TypeDirectory}}
	}
	return n
}

const handleSize = 16

// Resolve implements vfs.FS.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != handleSize {
		return nil, vfs.EBADHANDLE
	}
	number := binary.BigEndian.Uint32(handle[8:])
	if [8]byte(handle) != f.fingerprint || !f.super.served(number) {
		return nil, vfs.ESTALE
	}
	n, err := f.node(number)
	if err != nil {
		return nil, err
	}
	if n.inode.generation() != binary.BigEndian.Uint32(handle[12:]) {
		return nil, vfs.ESTALE
	}
	return n, nil
}

// StatFS implements vfs.FS.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	s := f.super
	size := uint64(s.blockSize)
	return vfs.StatFS{
		BlockSize: s.blockSize, TotalBytes: s.blocks * size, FreeBytes: min(s.freeBlocks, s.blocks) * size,
		TotalFiles: uint64(s.inodes), FreeFiles: uint64(min(s.freeInodes, s.inodes)),
		MaxName: vfs.MaxName, MaxFileSize: s.maxFileSize(), MaxLink: 65000, TimeGranularity: s.granularity(),
	}, nil
}

// Caps implements vfs.FS. It is not Local: a directory may be large, and is read
// as a whole.
func (f *FS) Caps() vfs.Caps { return vfs.Caps{ReadOnly: true, Xattrs: true, Holes: true} }

// WriteVerifier implements vfs.FS: no write is ever lost.
func (f *FS) WriteVerifier() uint64 { return binary.BigEndian.Uint64(f.fingerprint[:]) }

// Close implements vfs.FS.
func (f *FS) Close() error {
	if f.closer == nil {
		return nil
	}
	return f.closer.Close()
}

var _ vfs.FS = (*FS)(nil)

// block reads a block of metadata.
func (f *FS) block(number uint64) ([]byte, error) {
	if number == 0 || number >= f.super.blocks {
		return nil, disk.Corrupt("block %d is not on the device", number)
	}
	p := make([]byte, f.super.blockSize)
	return p, disk.ReadFull(f.dev, p, int64(number)*int64(f.super.blockSize))
}
