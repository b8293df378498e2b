package fusefs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hanwen/go-fuse/v2/fuse"
	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
)

// Options say what the file system cannot say itself. The zero value is for one
// that has all that a fuse.RawFileSystem can have.
type Options struct {
	Log zerolog.Logger // of panics; by default nothing is logged
	// Notifier is the one that the file system notifies; see [Notifier].
	Notifier *Notifier
	// OwnPermissions leaves it to the file system who may do what, as a mount
	// without default_permissions does. It is not told supplementary groups.
	// Otherwise mode bits are checked here.
	OwnPermissions bool
	// ReadOnly refuses changes, with EROFS.
	ReadOnly bool
	// What the file system does not have, so that clients need not find out.
	NoHardLinks, NoSpecialFiles, NoXattrs, NoHoles, NoAllocate bool
	// SingleUser is for file systems that know no owners: nobody's permissions
	// are checked, and calls are made as root.
	SingleUser bool
	// Exclusive says that nobody else changes the tree, so that the change
	// of a directory is told as atomic.
	Exclusive bool
	// IndexOffsets is for file systems whose directory offsets count entries,
	// as those of fs.NewListDirStream and of an Inode's own children do. Each
	// page of a listing reads the whole directory then.
	IndexOffsets bool
	// LastingIDs is for file systems whose node ids and generations are good
	// for ever, and which find a node by LOOKUP of "." in it and the directory
	// above by "..": fs.Options.ExternalNodeID with fs.NodeLookupNoder and
	// fs.NodeLookupParenter. Handles outlive the process then.
	LastingIDs bool
	// Nodes is how many nodes are remembered, so that their handles are
	// known: 0 is 262,144. One costs some 200 bytes and its name.
	Nodes int
}

// FS is a FUSE file system. It implements vfs.FS.
type FS struct {
	raw      fuse.RawFileSystem
	opt      Options
	tag      [8]byte // what handles start with
	verifier atomic.Uint64
	changes  atomic.Uint64 // stamps given
	calls    atomic.Uint64 // made

	renames sync.Mutex     // see the package comment
	names   [64]sync.Mutex // by hash of directory and name
	nodes   *table
	root    *node
	seed    maphash.Seed
}

var _ vfs.FS = (*FS)(nil)

// New makes a vfs.FS of a file system, which belongs to it from here on: Close
// forgets all nodes and calls OnUnmount. Init is not called, since there is no
// fuse.Server.
func New(raw fuse.RawFileSystem, opt Options) (*FS, error) {
	if opt.Nodes <= 0 {
		opt.Nodes = 1 << 18
	}
	f := &FS{raw: raw, opt: opt, seed: maphash.MakeSeed()}
	if !opt.LastingIDs {
		rand.Read(f.tag[:]) // so that an earlier start's handles are known as such
	}
	f.nodes = newTable(opt.Nodes, opt.LastingIDs, f.forget)
	f.verifier.Store(uint64(time.Now().UnixNano()))
	f.root = f.node(f.nodes.root)
	a, err := f.root.GetAttr(context.Background(), vfs.AttrType)
	if err == nil && a.Type != vfs.TypeDirectory {
		err = vfs.ENOTDIR
	}
	if err != nil {
		return nil, err
	}
	if opt.Notifier != nil {
		opt.Notifier.fs.Store(f)
	}
	return f, nil
}

// forget gives back count lookups of a node.
func (f *FS) forget(id, count uint64) {
	_ = f.call(func() fuse.Status { f.raw.Forget(id, count); return fuse.OK }) // a panic is logged
}

// handleSize is that of the tag, the node id and what entry.serial says.
const handleSize = 8 + 8 + 8

func (f *FS) node(e *entry) *node {
	handle := make([]byte, 0, handleSize)
	handle = append(handle, f.tag[:]...)
	handle = binary.BigEndian.AppendUint64(handle, e.id)
	handle = binary.BigEndian.AppendUint64(handle, e.serial)
	return &node{f, e.id, e.serial, handle}
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return f.root }

// Resolve implements vfs.FS.
func (f *FS) Resolve(ctx context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != handleSize {
		return nil, vfs.EBADHANDLE
	}
	if [8]byte(handle) != f.tag {
		return nil, vfs.ESTALE
	}
	n := &node{f, binary.BigEndian.Uint64(handle[8:]), binary.BigEndian.Uint64(handle[16:]), append([]byte(nil), handle...)}
	h, err := n.hold(ctx)
	if err != nil {
		return nil, err
	}
	h.release()
	return n, nil
}

// StatFS implements vfs.FS. What the file system does not tell is 0 or
// unlimited.
func (f *FS) StatFS(ctx context.Context) (vfs.StatFS, error) {
	var s fuse.StatfsOut
	in := f.header(vfs.Root, f.nodes.root)
	err := f.call(func() fuse.Status { return f.raw.StatFs(cancel(ctx), &in, &s) })
	if err != nil && err != notImplemented {
		return vfs.StatFS{}, err
	}
	out := vfs.StatFS{
		BlockSize: s.Bsize, MaxName: s.NameLen, TotalFiles: s.Files,
		MaxFileSize: math.MaxInt64, MaxLink: math.MaxUint32, TimeGranularity: 1,
	}
	if out.BlockSize == 0 {
		out.BlockSize = 4096
	}
	if out.MaxName == 0 || out.MaxName > vfs.MaxName {
		out.MaxName = vfs.MaxName
	}
	unit := uint64(s.Frsize)
	if unit == 0 {
		unit = uint64(out.BlockSize)
	}
	out.TotalBytes = s.Blocks * unit
	out.FreeBytes = min(s.Bfree, s.Blocks) * unit
	out.AvailBytes = min(s.Bavail*unit, out.FreeBytes)
	out.FreeFiles = min(s.Ffree, s.Files)
	out.AvailFiles = out.FreeFiles
	return out, nil
}

// Caps implements vfs.FS.
func (f *FS) Caps() vfs.Caps {
	return vfs.Caps{
		ReadOnly:     f.opt.ReadOnly,
		HardLinks:    !f.opt.NoHardLinks,
		SpecialFiles: !f.opt.NoSpecialFiles,
		Xattrs:       !f.opt.NoXattrs,
		Holes:        !f.opt.NoHoles,
		Allocate:     !f.opt.NoAllocate,
		Copy:         true,
		SingleUser:   f.opt.SingleUser,
		Volatile:     !f.opt.LastingIDs,
	}
}

// WriteVerifier implements vfs.FS. Nobody tells whether the file system lost
// anything with this process, so every start counts.
func (f *FS) WriteVerifier() uint64 { return f.verifier.Load() }

// Close implements vfs.FS.
func (f *FS) Close() error {
	f.nodes.clear()
	return f.call(func() fuse.Status { f.raw.OnUnmount(); return fuse.OK })
}

// as returns who makes the calls of cred.
func (f *FS) as(cred *vfs.Cred) *vfs.Cred {
	if f.opt.SingleUser {
		return vfs.Root
	}
	return cred
}

// judge is as, for permissions: whoever the file system judges itself passes.
func (f *FS) judge(cred *vfs.Cred) *vfs.Cred {
	if f.opt.OwnPermissions {
		return vfs.Root
	}
	return f.as(cred)
}
