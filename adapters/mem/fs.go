// Package mem is a complete POSIX file system in memory: the embedded default,
// and the reference for what package vfs means.
//
// It has two kinds of locks. FS.tree guards all directories, names and link
// counts: namespace changes are short, so one lock for them is simpler than
// one for each directory and as fast. Inode.mu guards one inode's attributes
// and data. Lock order: FS.tree, then one Inode.mu.
package mem

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsva/fsva/vfs"
)

// Options are the bounds of a file system. Zero values mean the defaults.
type Options struct {
	Size     int64  // bytes of data, names and attributes; default 1 GiB
	UID, GID uint32 // of the root directory
	Mode     uint32 // of the root directory; default 01777
}

// FS is a file system in memory. It implements vfs.FS.
type FS struct {
	size     int64
	used     atomic.Int64  // bytes
	changes  atomic.Uint64 // the last change attribute given
	instance [8]byte       // in handles: those of another start are stale
	verifier uint64
	root     *inode

	tree  sync.RWMutex // see above
	nodes map[uint64]*inode
	last  uint64 // inode number given
}

const (
	defaultSize = 1 << 30
	maxLinks    = 65000
	blockSize   = 4096
	// inodeCost is what an inode counts for in used, besides its data and
	// its names.
	inodeCost = 512
	nameCost  = 64
)

// New makes an empty file system.
func New(opt Options) *FS {
	f := &FS{size: opt.Size, nodes: make(map[uint64]*inode), last: 1}
	if f.size == 0 {
		f.size = defaultSize
	}
	if opt.Mode == 0 {
		opt.Mode = 0o1777
	}
	rand.Read(f.instance[:]) // never fails
	f.verifier = binary.BigEndian.Uint64(f.instance[:])
	f.root = f.newInode(vfs.TypeDirectory)
	f.root.mode, f.root.uid, f.root.gid, f.root.nlink = opt.Mode, opt.UID, opt.GID, 2
	f.nodes[f.root.ino] = f.root
	return f
}

// newInode makes an inode that has no name yet.
func (f *FS) newInode(typ vfs.FileType) *inode {
	f.last++
	n := &inode{fs: f, ino: f.last, typ: typ, nlink: 1}
	n.handle = binary.BigEndian.AppendUint64(f.instance[:len(f.instance):len(f.instance)], n.ino)
	now := vfs.TimespecOf(time.Now())
	n.atime, n.mtime, n.ctime, n.btime = now, now, now, now
	n.change = f.changes.Add(1)
	if typ == vfs.TypeDirectory {
		n.dir = newDirectory()
	}
	return n
}

// take reserves n bytes. ENOSPC if the file system has not that many left.
func (f *FS) take(n int64) error {
	if f.used.Add(n) > f.size {
		f.used.Add(-n)
		return vfs.ENOSPC
	}
	return nil
}

func (f *FS) give(n int64) { f.used.Add(-n) }

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return f.root }

// Resolve implements vfs.FS.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != len(f.instance)+8 {
		return nil, vfs.EBADHANDLE
	}
	if [8]byte(handle) != f.instance {
		return nil, vfs.ESTALE
	}
	f.tree.RLock()
	n := f.nodes[binary.BigEndian.Uint64(handle[len(f.instance):])]
	f.tree.RUnlock()
	if n == nil {
		return nil, vfs.ESTALE
	}
	return n, nil
}

// StatFS implements vfs.FS.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	free := uint64(max(f.size-f.used.Load(), 0))
	f.tree.RLock()
	inodes := uint64(len(f.nodes))
	f.tree.RUnlock()
	return vfs.StatFS{
		BlockSize: blockSize, TotalBytes: uint64(f.size), FreeBytes: free, AvailBytes: free,
		TotalFiles: inodes + free/inodeCost, FreeFiles: free / inodeCost, AvailFiles: free / inodeCost,
		MaxName: vfs.MaxName, MaxFileSize: math.MaxInt64, MaxLink: maxLinks, TimeGranularity: 1,
	}, nil
}

// Caps implements vfs.FS.
func (f *FS) Caps() vfs.Caps {
	return vfs.Caps{
		HardLinks: true, SpecialFiles: true, Xattrs: true, Holes: true, Allocate: true, Copy: true,
		Volatile: true, ChangeMonotonic: true, Local: true,
	}
}

// WriteVerifier implements vfs.FS.
func (f *FS) WriteVerifier() uint64 { return f.verifier }

// Close implements vfs.FS.
func (f *FS) Close() error { return nil }

var _ vfs.FS = (*FS)(nil)
