// Package tree is a read-only file system made of a list of entries: what is
// common to archives and images. The adapter of a format feeds a [Builder] with
// the entries of its file and is asked, by [Source], for the bytes of one when
// somebody opens it.
//
// The index is built once, is in memory and never changes, so nothing in it is
// locked. A node costs 48 bytes and each of its names 12 bytes and its length; a
// million files with names of 20 bytes take about 100 MB, and three times that
// while the index is built.
//
// Nodes are numbered in the order they are added. A handle is the fingerprint
// of the source and the number, so that it is good for as long as the source is
// what it was, over restarts too, and ESTALE once the source is another: it
// never leads to data of another file. [File] makes such a fingerprint for
// sources that are one file.
//
// # Names that no tree can hold
//
// Archives hold what their makers put in. These rules apply in every format:
//
//   - "a//b", "./a" and "/a" are "a/b", "a" and "a", as tar and unzip have it.
//   - A ".." anywhere leaves the entry out, as do a NUL, a name of more than 255
//     bytes or one whose path is longer than 64 KiB.
//   - Of several entries of one path the last one stays, as when they are
//     unpacked one after the other.
//   - Where a path is a directory and something else too ("a" beside "a/b"), the
//     directory stays, in whichever order they come.
//   - Directories that are only on the way to something are made up: root's, with
//     mode 0755.
//   - A hard link to what has not come before it, or to a directory, is left out.
//   - So is a symbolic link whose target is empty, longer than 4095 bytes or has
//     a NUL. Targets are not interpreted: the guest follows them, in its own tree.
//
// What is left out is counted and logged in one line that names an example.
package tree

import (
	"context"
	"encoding/binary"

	"github.com/fsva/fsva/vfs"
)

// Source gives the bytes of files. Its methods may be called from many
// goroutines at once.
type Source interface {
	// Open opens the content of the file that was added with this item.
	Open(ctx context.Context, item uint64) (Content, error)
	// Close gives back what the source holds. No Content is open.
	Close() error
}

// Content is the bytes of a file that is open. Its methods may be called from many
// goroutines at once. One that knows where its holes are is a vfs.HoleSeeker too,
// which is asked from within the size; all of any other counts as data.
type Content interface {
	// ReadAt fills p from off, which are within the size that the entry was
	// added with. Filling less than all of p is an error.
	ReadAt(ctx context.Context, p []byte, off int64) error
	Close() error
}

// FS is a tree. It implements vfs.FS.
type FS struct {
	fingerprint Fingerprint
	source      Source
	nodes       []record
	links       []link                       // by directory, and by name in each
	text        []byte                       // names and targets of symbolic links
	bytes       uint64                       // in all files
	xattrs      map[uint32]map[string][]byte // by node
	holes       map[uint32]uint64            // bytes in holes, by node
}

// Fingerprint tells one source from another.
type Fingerprint [8]byte

// record is what is known of a node. What rest and size mean goes by its type:
//
//	regular file   rest is the item for Source.Open, size is in bytes
//	directory      rest is the first of its links, size is how many it has
//	symbolic link  rest is where its target is in text, size is how long it is
//	device         rest is the number, major<<32 | minor
type record struct {
	size, rest uint64
	sec        int64
	nsec       uint32
	uid, gid   uint32
	nlink      uint32 // 0: it has been replaced by another entry of its path
	parent     uint32 // of a directory
	mode       uint16
	typ        vfs.FileType
}

// link is a name in a directory.
type link struct {
	text   uint32 // where the name is in FS.text
	node   uint32
	length uint8
}

const rootNode = 0

// firstFileID is the root's, as on other file systems.
const firstFileID = 2

const handleSize = len(Fingerprint{}) + 4

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return f.node(rootNode) }

// Resolve implements vfs.FS.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != handleSize {
		return nil, vfs.EBADHANDLE
	}
	number := binary.BigEndian.Uint32(handle[len(f.fingerprint):])
	if Fingerprint(handle) != f.fingerprint || uint64(number) >= uint64(len(f.nodes)) || f.nodes[number].nlink == 0 {
		return nil, vfs.ESTALE
	}
	return f.node(number), nil
}

const blockSize = 4096

// StatFS implements vfs.FS. The file system is full.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	return vfs.StatFS{
		BlockSize: blockSize, TotalBytes: f.bytes, TotalFiles: uint64(len(f.nodes)),
		MaxName: vfs.MaxName, MaxFileSize: maxSize, MaxLink: 1, TimeGranularity: 1,
	}, nil
}

// Caps implements vfs.FS. It is not Local: a read may have to unpack a lot first.
func (f *FS) Caps() vfs.Caps {
	return vfs.Caps{ReadOnly: true, Xattrs: len(f.xattrs) > 0, Holes: len(f.holes) > 0}
}

// WriteVerifier implements vfs.FS: no write is ever lost.
func (f *FS) WriteVerifier() uint64 { return binary.BigEndian.Uint64(f.fingerprint[:]) }

// Close implements vfs.FS.
func (f *FS) Close() error { return f.source.Close() }

var _ vfs.FS = (*FS)(nil)
