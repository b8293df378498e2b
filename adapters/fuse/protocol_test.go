package fusefs_test

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// counter counts the lookups of each node as the protocol has it.
type counter struct {
	fuse.RawFileSystem
	mu      sync.Mutex
	lookups map[uint64]int
}

func (c *counter) saw(out *fuse.EntryOut, code fuse.Status) fuse.Status {
	if code == fuse.OK && out.NodeId != 0 {
		c.mu.Lock()
		c.lookups[out.NodeId]++
		c.mu.Unlock()
	}
	return code
}

func (c *counter) Lookup(cancel <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	return c.saw(out, c.RawFileSystem.Lookup(cancel, in, name, out))
}

func (c *counter) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	return c.saw(&out.EntryOut, c.RawFileSystem.Create(cancel, in, name, out))
}

func (c *counter) Mkdir(cancel <-chan struct{}, in *fuse.MkdirIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.saw(out, c.RawFileSystem.Mkdir(cancel, in, name, out))
}

func (c *counter) Link(cancel <-chan struct{}, in *fuse.LinkIn, name string, out *fuse.EntryOut) fuse.Status {
	return c.saw(out, c.RawFileSystem.Link(cancel, in, name, out))
}

func (c *counter) ReadDirPlus(cancel <-chan struct{}, in *fuse.ReadIn, list *fuse.DirEntryList) fuse.Status {
	code := c.RawFileSystem.ReadDirPlus(cancel, in, list)
	_, outs, err := fuse.ParseDirLookupEntries(list.Bytes())
	if err != nil {
		panic(err)
	}
	for i := range outs {
		c.saw(&outs[i], code)
	}
	return code
}

func (c *counter) Forget(id, n uint64) {
	c.mu.Lock()
	if c.lookups[id] -= int(n); c.lookups[id] == 0 {
		delete(c.lookups, id)
	}
	c.mu.Unlock()
	c.RawFileSystem.Forget(id, n)
}

// left returns how many nodes the file system has to keep, but for the root.
func (c *counter) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.lookups)
}

func TestEachLookupIsForgottenOnce(t *testing.T) {
	root, err := fs.NewLoopbackRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const nodes = 10
	c := &counter{RawFileSystem: fs.NewNodeFS(root, nil), lookups: map[uint64]int{}}
	f, err := fusefs.New(c, fusefs.Options{Nodes: nodes})
	if err != nil {
		t.Fatal(err)
	}
	top := f.Root()
	for i := range 100 {
		name := fmt.Sprint("file", i)
		n, file, _, err := top.Create(t.Context(), vfs.Root, name, nil, vfs.OpenWrite)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.(vfs.Linker).Link(t.Context(), vfs.Root, top, "link"+name); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	list := func() {
		t.Helper()
		seen := 0
		eof, err := top.ReadDir(t.Context(), vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(*vfs.DirEntry) bool { seen++; return true })
		if !eof || err != nil || seen != 200 {
			t.Fatalf("%d entries, eof %v, %v", seen, eof, err)
		}
	}
	list()
	if left := c.left(); left > nodes {
		t.Errorf("%d nodes are kept, of %d that may be", left, nodes)
	}
	list()
	for i := range 100 {
		for _, name := range []string{fmt.Sprint("file", i), fmt.Sprint("linkfile", i)} {
			if _, err := top.Remove(t.Context(), vfs.Root, name, false); err != nil {
				t.Fatal(err)
			}
		}
	}
	if left := c.left(); left != 0 {
		t.Errorf("%d nodes are kept that have been removed", left)
	}
	if err := f.Close(); err != nil || c.left() != 0 {
		t.Errorf("%v, and %d nodes are left", err, c.left())
	}
}

// spartan has none of what the kernel can do without.
type spartan struct{ fuse.RawFileSystem }

func (spartan) Create(<-chan struct{}, *fuse.CreateIn, string, *fuse.CreateOut) fuse.Status {
	return fuse.ENOSYS
}

func (spartan) Open(<-chan struct{}, *fuse.OpenIn, *fuse.OpenOut) fuse.Status { return fuse.ENOSYS }

func (spartan) ReadDirPlus(<-chan struct{}, *fuse.ReadIn, *fuse.DirEntryList) fuse.Status {
	return fuse.ENOSYS
}

func (spartan) Flush(<-chan struct{}, *fuse.FlushIn) fuse.Status { return fuse.ENOSYS }
func (spartan) Fsync(<-chan struct{}, *fuse.FsyncIn) fuse.Status { return fuse.ENOSYS }

func (spartan) Release(<-chan struct{}, *fuse.ReleaseIn) {
	panic("nothing was opened")
}

func (spartan) Writev(<-chan struct{}, *fuse.WriteIn, [][]byte) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (spartan) Lseek(<-chan struct{}, *fuse.LseekIn, *fuse.LseekOut) fuse.Status {
	return fuse.ENOSYS
}

func (spartan) CopyFileRange(<-chan struct{}, *fuse.CopyFileRangeIn) (uint32, fuse.Status) {
	return 0, fuse.ENOSYS
}

func (spartan) StatFs(<-chan struct{}, *fuse.InHeader, *fuse.StatfsOut) fuse.Status {
	return fuse.ENOSYS
}

func TestContractWhereWhatTheKernelCanDoWithoutIsMissing(t *testing.T) {
	vfstest.Suite{
		Entries: 500,
		Open: func(t *testing.T) vfs.FS {
			f, err := fusefs.New(spartan{fs.NewNodeFS(memRoot(), &fs.Options{NullPermissions: true})}, memOptions)
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
		Limits: map[string]string{
			"data/may be far into a file": "files are slices of memory",
		},
	}.Run(t)
}

// angry panics when it is asked for "panic".
type angry struct{ memNode }

func (*angry) Lookup(_ context.Context, name string, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if name == "panic" {
		panic("as asked")
	}
	return nil, syscall.ENOENT
}

func TestAPanicOfTheFileSystemIsAnError(t *testing.T) {
	root := &angry{}
	root.attr.Mode = 0o755
	f := open(t, root, memOptions)
	defer f.Close()
	for range 2 { // no lock is left behind
		if _, err := f.Root().Lookup(t.Context(), vfs.Root, "panic"); vfs.ErrnoOf(err) != vfs.EIO {
			t.Errorf("%v, want EIO", err)
		}
	}
	if _, err := f.Root().Lookup(t.Context(), vfs.Root, "other"); vfs.ErrnoOf(err) != vfs.ENOENT {
		t.Errorf("%v, want ENOENT", err)
	}
}

func TestNotificationsMoveTheChangeAttribute(t *testing.T) {
	root, notifier := memRoot(), new(fusefs.Notifier)
	f, err := fusefs.New(fs.NewNodeFS(root, &fs.Options{ServerCallbacks: notifier, NullPermissions: true}), func() fusefs.Options {
		o := memOptions
		o.Notifier = notifier
		return o
	}())
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, file, _, err := f.Root().Create(t.Context(), vfs.Root, "file", nil, vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	change := func(n vfs.Node) uint64 {
		t.Helper()
		a, err := n.GetAttr(t.Context(), vfs.AttrChange)
		if err != nil {
			t.Fatal(err)
		}
		return a.Change
	}
	before, above := change(n), change(f.Root())
	child := root.GetChild("file")
	if errno := child.NotifyContent(0, 0); errno != 0 {
		t.Fatal(errno)
	}
	if change(n) == before {
		t.Error("the file seems unchanged")
	}
	if errno := root.NotifyEntry("file"); errno != 0 {
		t.Fatal(errno)
	}
	if change(f.Root()) == above {
		t.Error("the directory seems unchanged")
	}
}
