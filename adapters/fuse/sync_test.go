package fusefs_test

import (
	"context"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// late keeps what is written in the handle until a FLUSH, as file systems do that
// upload whole files. It has no FSYNC.
type late struct {
	memNode
	full bool // for FLUSH
}

// pending is what was written through one handle.
type pending struct {
	data []byte
	off  int64
}

func (n *late) Create(ctx context.Context, _ string, _, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	child := &late{memNode: memNode{attr: fuse.Attr{Mode: mode&0o7777 | syscall.S_IFREG, Nlink: 1}}}
	child.fill(&out.Attr)
	return n.NewInode(ctx, child, fs.StableAttr{Mode: syscall.S_IFREG}), &pending{}, 0, 0
}

func (n *late) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return &pending{}, 0, 0
}

func (n *late) Write(_ context.Context, h fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	*h.(*pending) = pending{append([]byte(nil), data...), off}
	return uint32(len(data)), 0
}

func (n *late) Flush(ctx context.Context, h fs.FileHandle) syscall.Errno {
	p := h.(*pending)
	if len(p.data) == 0 {
		return 0
	}
	if n.full {
		return syscall.ENOSPC
	}
	_, errno := n.memNode.Write(ctx, nil, p.data, p.off)
	*p = pending{}
	return errno
}

// lateFile returns a file in which text was written, unstably.
func lateFile(t *testing.T, text string) (*fusefs.FS, vfs.File, *late) {
	t.Helper()
	root := &late{memNode: memNode{attr: fuse.Attr{Mode: syscall.S_IFDIR | 0o755}}}
	f := open(t, root, memOptions)
	t.Cleanup(func() { f.Close() })
	_, file, _, err := f.Root().Create(t.Context(), vfs.Root, "file", nil, vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := file.WriteAt(t.Context(), []byte(text), 0, vfs.Unstable); err != nil {
		t.Fatal(err)
	}
	return f, file, root.GetChild("file").Operations().(*late)
}

// commit does what COMMIT does.
func commit(t *testing.T, n vfs.Node) error {
	t.Helper()
	own, err := n.Open(t.Context(), vfs.Root, vfs.OpenWrite|vfs.OpenReclaim)
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	return own.Sync(t.Context(), true)
}

func TestACommitKeepsWhatWasWrittenThroughOtherHandles(t *testing.T) {
	f, file, node := lateFile(t, "text")
	defer file.Close()
	before := f.WriteVerifier()
	if err := commit(t, file.Node()); err != nil || f.WriteVerifier() != before {
		t.Errorf("%v, and the verifier went from %d to %d", err, before, f.WriteVerifier())
	}
	if string(node.data) != "text" {
		t.Errorf("the file system has %q", node.data)
	}
	if _, done, err := file.WriteAt(t.Context(), []byte("more"), 4, vfs.FileSync); done != vfs.FileSync || err != nil {
		t.Errorf("done %v, %v", done, err)
	}
	if string(node.data) != "textmore" {
		t.Errorf("the file system has %q", node.data)
	}
}

func TestAFlushThatFailsMovesTheVerifier(t *testing.T) {
	f, file, node := lateFile(t, "text")
	node.full = true
	before := f.WriteVerifier()
	if err := commit(t, file.Node()); vfs.ErrnoOf(err) != vfs.ENOSPC {
		t.Errorf("%v, want ENOSPC", err)
	}
	synced := f.WriteVerifier()
	if synced == before {
		t.Error("a sync that failed left the verifier alone")
	}
	if err := file.Close(); vfs.ErrnoOf(err) != vfs.ENOSPC {
		t.Errorf("%v, want ENOSPC", err)
	}
	if f.WriteVerifier() == synced {
		t.Error("a close that failed left the verifier alone")
	}
}
