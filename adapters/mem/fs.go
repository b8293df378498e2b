// Package mem is a complete POSIX file system in memory: the embedded default,
// and the reference for what package vfs means. It is gone with the process.
//
// A file's data is pages of 4 KiB that exist only where something was written,
// and that clones share until one of them writes (content.go). A directory is
// a map by name and a list in the order in which entries came (directory.go).
// All that guests make takes from one budget, Options.Size: data, inodes,
// names, targets of symbolic links and extended attributes.
//
// Locks: an inode has one, which guards all of it but what never changes. The
// order is FS.rename, then directories from the top downwards, then one file
// (two by inode number, where data goes from one to the other), then the locks
// that guard tables (FS.nodes, sharing). A directory is locked together with
// one that is not above it or below it by a rename only, and FS.rename admits
// one of these at a time: all others wait downwards, so none waits in a circle.
package mem

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsva/fsva/vfs"
)

// Options are the bounds of a file system. Zero values mean the defaults.
type Options struct {
	Size     int64  // bytes of data, names and attributes; default 1 GiB
	Inodes   int64  // files of all kinds; default as many as Size has room for
	UID, GID uint32 // of the root directory
	Mode     uint32 // of the root directory; default 01777
}

// FS is a file system in memory. It implements vfs.FS.
type FS struct {
	space    space
	shared   sharing
	changes  atomic.Uint64 // the last change attribute given
	last     atomic.Uint64 // the last inode number given
	instance [8]byte       // in handles: those of another FS are stale
	verifier uint64
	root     *inode

	// rename is held by renames, so that no directory moves while one of
	// them looks at what is above it. See the package comment.
	rename sync.Mutex
	nodes  table
}

// table finds inodes by number.
type table struct {
	mu       sync.RWMutex
	byNumber map[uint64]*inode
}

const (
	defaultSize = 1 << 30
	// maxLinks is what ext4 allows. Links of directories are not limited.
	maxLinks = 65000
	// maxFileSize is what ext4 allows: 16 TiB.
	maxFileSize = 1 << 44
)

// New makes an empty file system.
func New(opt Options) *FS {
	f := &FS{
		space: space{size: opt.Size, inodes: opt.Inodes},
		nodes: table{byNumber: make(map[uint64]*inode)},
	}
	if f.space.size == 0 {
		f.space.size = defaultSize
	}
	if opt.Mode == 0 {
		opt.Mode = 0o1777
	}
	var random [16]byte
	rand.Read(random[:]) // never fails
	f.instance = [8]byte(random[:8])
	f.verifier = binary.BigEndian.Uint64(random[8:])
	f.last.Store(1) // the root is 2, as everywhere
	f.root = f.newInode(vfs.TypeDirectory)
	f.root.mode, f.root.uid, f.root.gid = opt.Mode&0o7777, opt.UID, opt.GID
	f.space.files.Add(1)
	f.nodes.add(f.root)
	return f
}

// newInode makes an inode that nobody knows yet.
func (f *FS) newInode(typ vfs.FileType) *inode {
	n := &inode{fs: f, ino: f.last.Add(1), typ: typ, nlink: 1}
	n.handle = binary.BigEndian.AppendUint64(f.instance[:len(f.instance):len(f.instance)], n.ino)
	now := vfs.TimespecOf(time.Now())
	n.atime, n.mtime, n.ctime, n.btime = now, now, now, now
	n.change = f.changes.Add(1)
	if typ == vfs.TypeDirectory {
		n.dir, n.nlink = newDirectory(), 2
	}
	return n
}

func (t *table) add(n *inode) {
	t.mu.Lock()
	t.byNumber[n.ino] = n
	t.mu.Unlock()
}

func (t *table) remove(n *inode) {
	t.mu.Lock()
	delete(t.byNumber, n.ino)
	t.mu.Unlock()
}

func (t *table) find(ino uint64) *inode {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.byNumber[ino]
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return f.root }

// Resolve implements vfs.FS. Inode numbers are never given twice, so a handle
// needs no generation.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != len(f.instance)+8 {
		return nil, vfs.EBADHANDLE
	}
	if [8]byte(handle) != f.instance {
		return nil, vfs.ESTALE
	}
	n := f.nodes.find(binary.BigEndian.Uint64(handle[len(f.instance):]))
	if n == nil {
		return nil, vfs.ESTALE
	}
	return n, nil
}

// StatFS implements vfs.FS.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	free, files, freeFiles := f.space.left()
	return vfs.StatFS{
		BlockSize: pageSize, TotalBytes: uint64(f.space.size), FreeBytes: free, AvailBytes: free,
		TotalFiles: files + freeFiles, FreeFiles: freeFiles, AvailFiles: freeFiles,
		MaxName: vfs.MaxName, MaxFileSize: maxFileSize, MaxLink: maxLinks, TimeGranularity: 1,
	}, nil
}

// Caps implements vfs.FS.
func (f *FS) Caps() vfs.Caps {
	return vfs.Caps{
		HardLinks: true, SpecialFiles: true, Xattrs: true,
		Holes: true, Allocate: true, Copy: true,
		Volatile: true, ChangeMonotonic: true, Local: true,
	}
}

// WriteVerifier implements vfs.FS.
func (f *FS) WriteVerifier() uint64 { return f.verifier }

// Close implements vfs.FS. The memory is the garbage collector's, also where
// somebody still holds a Node.
func (f *FS) Close() error {
	f.nodes.byNumber, f.root.dir = nil, newDirectory()
	return nil
}

var _ vfs.FS = (*FS)(nil)
