package fusefs_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// memNode is a node of a file system in memory, written as the library's
// documentation shows it: the tree is the library's, listed by index. It knows
// neither handles of files nor fsync.
type memNode struct {
	fs.Inode
	mu   sync.Mutex
	attr fuse.Attr
	data []byte // up to where there are only zeroes
	size uint64
}

var (
	_ fs.NodeGetattrer  = (*memNode)(nil)
	_ fs.NodeSetattrer  = (*memNode)(nil)
	_ fs.NodeOpener     = (*memNode)(nil)
	_ fs.NodeReader     = (*memNode)(nil)
	_ fs.NodeWriter     = (*memNode)(nil)
	_ fs.NodeCreater    = (*memNode)(nil)
	_ fs.NodeMkdirer    = (*memNode)(nil)
	_ fs.NodeMknoder    = (*memNode)(nil)
	_ fs.NodeSymlinker  = (*memNode)(nil)
	_ fs.NodeReadlinker = (*memNode)(nil)
	_ fs.NodeLinker     = (*memNode)(nil)
	_ fs.NodeUnlinker   = (*memNode)(nil)
	_ fs.NodeRmdirer    = (*memNode)(nil)
	_ fs.NodeRenamer    = (*memNode)(nil)
)

func newMemNode(ctx context.Context, mode uint32) *memNode {
	n := &memNode{attr: fuse.Attr{Mode: mode, Nlink: 1}}
	if caller, ok := fuse.FromContext(ctx); ok {
		n.attr.Owner = caller.Owner
	}
	now := time.Now()
	n.attr.SetTimes(&now, &now, &now)
	return n
}

func memRoot() *memNode { return newMemNode(context.Background(), syscall.S_IFDIR|0o755) }

// touch notes a change; mu is held.
func (n *memNode) touch(data bool) {
	now := time.Now()
	if data {
		n.attr.SetTimes(nil, &now, &now)
	} else {
		n.attr.SetTimes(nil, nil, &now)
	}
}

func (n *memNode) changed() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.touch(true)
}

func (n *memNode) fill(a *fuse.Attr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	*a = n.attr
	if n.attr.Mode&syscall.S_IFMT != syscall.S_IFDIR {
		a.Size = n.size
		a.Blocks = (a.Size + 511) / 512
	}
}

func (n *memNode) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	n.fill(&out.Attr)
	return 0
}

func (n *memNode) Setattr(_ context.Context, _ fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	n.mu.Lock()
	size, sized := in.GetSize()
	if sized {
		n.data, n.size = n.data[:min(size, uint64(len(n.data)))], size
	}
	n.touch(sized)
	if mode, ok := in.GetMode(); ok {
		n.attr.Mode = n.attr.Mode&syscall.S_IFMT | mode
	}
	if uid, ok := in.GetUID(); ok {
		n.attr.Uid = uid
	}
	if gid, ok := in.GetGID(); ok {
		n.attr.Gid = gid
	}
	if t, ok := in.GetATime(); ok {
		n.attr.SetTimes(&t, nil, nil)
	}
	if t, ok := in.GetMTime(); ok {
		n.attr.SetTimes(nil, &t, nil)
	}
	n.mu.Unlock()
	n.fill(&out.Attr)
	return 0
}

func (n *memNode) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (n *memNode) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	dest = dest[:min(uint64(len(dest)), n.size-uint64(off))] // panics behind the end
	clear(dest[copy(dest, n.data[min(off, int64(len(n.data))):]):])
	return fuse.ReadResultData(dest), 0
}

func (n *memNode) Write(_ context.Context, _ fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	n.mu.Lock()
	defer n.mu.Unlock()
	const most = 64 << 20
	end := int(off) + len(data)
	if off > most {
		return 0, syscall.EFBIG
	}
	if end > len(n.data) {
		n.data = append(n.data, make([]byte, end-len(n.data))...)
	}
	copy(n.data[off:], data)
	n.size = max(n.size, uint64(end))
	n.touch(true)
	return uint32(len(data)), 0
}

func (n *memNode) add(ctx context.Context, mode uint32, out *fuse.EntryOut) (*memNode, *fs.Inode) {
	child := newMemNode(ctx, mode)
	child.fill(&out.Attr)
	n.changed()
	return child, n.NewInode(ctx, child, fs.StableAttr{Mode: mode & syscall.S_IFMT})
}

func (n *memNode) Create(ctx context.Context, _ string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	_, inode := n.add(ctx, mode&0o7777|syscall.S_IFREG, out)
	return inode, nil, 0, 0
}

func (n *memNode) Mkdir(ctx context.Context, _ string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	_, inode := n.add(ctx, mode&0o7777|syscall.S_IFDIR, out)
	return inode, 0
}

func (n *memNode) Mknod(ctx context.Context, _ string, mode, dev uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	child, inode := n.add(ctx, mode, out)
	child.attr.Rdev, out.Rdev = dev, dev
	return inode, 0
}

func (n *memNode) Symlink(ctx context.Context, target, _ string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	child, inode := n.add(ctx, syscall.S_IFLNK|0o777, out)
	child.data, child.size = []byte(target), uint64(len(target))
	return inode, 0
}

func (n *memNode) Readlink(context.Context) ([]byte, syscall.Errno) { return n.data, 0 }

func (n *memNode) links(more int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.attr.Nlink = uint32(int(n.attr.Nlink) + more)
	n.touch(false)
}

func (n *memNode) Link(_ context.Context, target fs.InodeEmbedder, _ string, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	t := target.(*memNode)
	t.links(1)
	t.fill(&out.Attr)
	n.changed()
	return t.EmbeddedInode(), 0
}

// lose is for what is removed or replaced.
func (n *memNode) lose(name string) syscall.Errno {
	child := n.GetChild(name)
	if child == nil {
		return 0
	}
	if child.IsDir() && len(child.Children()) > 0 {
		return syscall.ENOTEMPTY
	}
	child.Operations().(*memNode).links(-1)
	return 0
}

func (n *memNode) Unlink(_ context.Context, name string) syscall.Errno {
	defer n.changed()
	return n.lose(name)
}

func (n *memNode) Rmdir(ctx context.Context, name string) syscall.Errno { return n.Unlink(ctx, name) }

func (n *memNode) Rename(_ context.Context, name string, newParent fs.InodeEmbedder, newName string, _ uint32) syscall.Errno {
	to := newParent.(*memNode)
	if errno := to.lose(newName); errno != 0 {
		return errno
	}
	n.GetChild(name).Operations().(*memNode).links(0)
	n.changed()
	to.changed()
	return 0
}

var memOptions = fusefs.Options{IndexOffsets: true, NoXattrs: true, NoHoles: true, NoAllocate: true}

func TestContractOfATreeInMemory(t *testing.T) {
	vfstest.Suite{
		Entries: 1_000,
		Open:    func(t *testing.T) vfs.FS { return open(t, memRoot(), memOptions) },
		Limits: map[string]string{
			"data/may be far into a file": "files are slices of memory",
		},
	}.Run(t)
}
