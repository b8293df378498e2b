package p9fs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// Options say what the file system cannot say itself. The zero value is for
// one that has all that p9.File has.
type Options struct {
	// ReadOnly refuses changes, with EROFS.
	ReadOnly bool
	// NoHardLinks, NoSpecialFiles and NoXattrs are for file systems whose
	// Link, Mknod or xattr methods only answer ENOSYS.
	NoHardLinks, NoSpecialFiles, NoXattrs bool
	// SingleUser is for file systems that ignore the uid and gid of what
	// is made, or cannot change them: nobody's permissions are checked,
	// and everything is done as the user whom the file system acts as.
	SingleUser bool
	// Exclusive says that nobody else changes the tree, so that the change
	// of a directory is told as atomic.
	Exclusive bool
	// IndexOffsets is for file systems whose Readdir offsets count entries,
	// so that they mean something else once an entry comes or goes. Each
	// page of a listing reads the whole directory then.
	IndexOffsets bool
	// Nodes is how many nodes are remembered, so that their handles are
	// known: 0 is 262,144. One costs some 300 bytes and its name.
	Nodes int
	// Files is how many p9.Files are kept that no operation and no open
	// needs: 0 is 4,096. Those of directories on the way to them come on
	// top.
	Files int
}

// Resolver is what an Attacher also implements if its QID paths never change,
// not even over a restart, and can be found again. Handles are good for ever
// then; without it they are as long as the FS is open and as far as
// Options.Nodes goes (Caps.Volatile).
type Resolver interface {
	// ResolveQID returns an unopened File for the node with that QID.Path,
	// ENOENT or ESTALE if there is none. A directory that it returns must
	// walk to "..".
	ResolveQID(path uint64) (p9.File, error)
}

// FS is a file system of the library's. It implements vfs.FS.
type FS struct {
	opt      Options
	resolver Resolver // nil if the Attacher is none
	tag      [8]byte  // what handles start with
	verifier atomic.Uint64
	changes  atomic.Uint64 // stamps given

	tree  sync.RWMutex // see the package comment
	nodes *table
	root  *node
	seed  maphash.Seed // of the cookies that are hashes of names
}

// New attaches once and makes a file system of what it gets. Permissions are
// checked here by the mode bits, since a p9.File is not told who asks.
func New(a p9.Attacher, opt Options) (vfs.FS, error) {
	file, err := a.Attach()
	if err != nil {
		return nil, errno(err)
	}
	top := newFID(file, nil)
	qid, _, attr, err := file.GetAttr(p9.AttrMaskAll)
	if err == nil && !attr.Mode.IsDir() {
		err = vfs.ENOTDIR
	}
	if err != nil {
		top.unref()
		return nil, errno(err)
	}
	if opt.Nodes <= 0 {
		opt.Nodes = 1 << 18
	}
	if opt.Files <= 0 {
		opt.Files = 4096
	}
	f := &FS{opt: opt, seed: maphash.MakeSeed(), nodes: newTable(opt.Nodes, opt.Files, qid.Path, top)}
	f.resolver, _ = a.(Resolver)
	if f.resolver == nil {
		rand.Read(f.tag[:]) // so that an earlier start's handles are known as such
	}
	f.verifier.Store(uint64(time.Now().UnixNano()))
	f.root = f.node(qid.Path, 0)
	return f, nil
}

// handleSize is that of the tag, QID.Path and entry.born.
const handleSize = 8 + 8 + 4

// node returns the node with that QID.Path.
func (f *FS) node(id uint64, born uint32) *node {
	handle := make([]byte, 0, handleSize)
	handle = append(handle, f.tag[:]...)
	handle = binary.BigEndian.AppendUint64(handle, id)
	handle = binary.BigEndian.AppendUint32(handle, born)
	return &node{f, id, born, handle}
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return f.root }

// Resolve implements vfs.FS.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != handleSize {
		return nil, vfs.EBADHANDLE
	}
	if [8]byte(handle) != f.tag {
		return nil, vfs.ESTALE
	}
	n := f.node(binary.BigEndian.Uint64(handle[8:]), binary.BigEndian.Uint32(handle[16:]))
	f.tree.RLock()
	defer f.tree.RUnlock()
	h, err := n.hold()
	if err != nil {
		return nil, err
	}
	h.release()
	return n, nil
}

// StatFS implements vfs.FS. What the file system does not tell is 0 or
// unlimited.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	s, err := f.nodes.root.fid.file.StatFS()
	if err := errno(err); err != nil && err != vfs.EOPNOTSUPP {
		return vfs.StatFS{}, err
	}
	out := vfs.StatFS{
		BlockSize: s.BlockSize, MaxName: s.NameLength, TotalFiles: s.Files,
		MaxFileSize: math.MaxInt64, MaxLink: math.MaxUint32, TimeGranularity: 1,
	}
	if out.BlockSize == 0 {
		out.BlockSize = 4096
	}
	if out.MaxName == 0 || out.MaxName > vfs.MaxName {
		out.MaxName = vfs.MaxName
	}
	block := uint64(out.BlockSize)
	out.TotalBytes = s.Blocks * block
	out.FreeBytes = min(s.BlocksFree, s.Blocks) * block
	out.AvailBytes = min(s.BlocksAvailable*block, out.FreeBytes)
	out.FreeFiles = min(s.FilesFree, s.Files)
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
		SingleUser:   f.opt.SingleUser,
		Volatile:     f.resolver == nil,
	}
}

// WriteVerifier implements vfs.FS. Nobody tells whether the file system lost
// anything with this process, so every start counts.
func (f *FS) WriteVerifier() uint64 { return f.verifier.Load() }

// Close implements vfs.FS. It closes the Files that are kept; those that
// files still open hold go with them.
func (f *FS) Close() error {
	f.nodes.clear()
	return nil
}

// as returns who makes the calls of cred.
func (f *FS) as(cred *vfs.Cred) *vfs.Cred {
	if f.opt.SingleUser {
		return vfs.Root
	}
	return cred
}

var _ vfs.FS = (*FS)(nil)
