package fusefs_test

import (
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// careful finds out whether a file handle is released while a GETATTR uses it,
// which takes its time.
type careful struct {
	fuse.RawFileSystem
	t      *testing.T
	mu     sync.Mutex
	inUse  map[uint64]int
	misuse sync.Once
}

func (c *careful) use(fh uint64, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.inUse[fh] += n
}

func (c *careful) GetAttr(cancel <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	if fh := in.Fh(); fh != 0 {
		c.use(fh, 1)
		defer c.use(fh, -1)
		for range 20 {
			runtime.Gosched()
		}
	}
	return c.RawFileSystem.GetAttr(cancel, in, out)
}

func (c *careful) Release(cancel <-chan struct{}, in *fuse.ReleaseIn) {
	c.mu.Lock()
	if c.inUse[in.Fh] > 0 {
		c.misuse.Do(func() { c.t.Error("a file handle is released while it is used") })
	}
	c.mu.Unlock()
	c.RawFileSystem.Release(cancel, in)
}

// The library panics where a file handle is used that was released. Nor may calls
// wait for each other in a circle.
func TestCallsThatMeetDoNotHurtEachOther(t *testing.T) {
	tree, err := fs.NewLoopbackRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f, err := fusefs.New(&careful{RawFileSystem: fs.NewNodeFS(tree, nil), t: t, inUse: map[uint64]int{}}, fusefs.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, top := t.Context(), f.Root()
	var dirs []vfs.Node
	at := top
	for i := range 3 { // each in the one before
		dir, _, err := at.Mkdir(ctx, vfs.Root, fmt.Sprint("dir", i), nil)
		if err != nil {
			t.Fatal(err)
		}
		dirs, at = append(dirs, dir), dir
	}
	n, file, _, err := dirs[0].Create(ctx, vfs.Root, "file", nil, vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	only := func(err error, allowed ...vfs.Errno) {
		got := vfs.ErrnoOf(err)
		for _, e := range allowed {
			if got == e {
				return
			}
		}
		if got != 0 {
			t.Error(err)
		}
	}
	const rounds = 1000
	var calls sync.WaitGroup
	for _, call := range []func(){
		func() {
			opened, err := n.Open(ctx, vfs.Root, vfs.OpenRead)
			only(err, vfs.ESTALE) // the loopback opens by name, which may be on the move
			if err == nil {
				only(opened.Close())
			}
		},
		func() { _, err := n.GetAttr(ctx, vfs.AttrAll); only(err, vfs.ESTALE) },
		func() {
			_, _, err := dirs[0].Rename(ctx, vfs.Root, "file", dirs[2], "file", 0)
			only(err)
			_, _, err = dirs[2].Rename(ctx, vfs.Root, "file", dirs[0], "file", 0)
			only(err)
		},
		func() { _, err := dirs[0].(vfs.Linker).Link(ctx, vfs.Root, dirs[2], "link"); only(err, vfs.EPERM) },
		func() { _, err := dirs[0].Remove(ctx, vfs.Root, "dir1", true); only(err, vfs.ENOTEMPTY) },
		func() { _, err := dirs[1].Remove(ctx, vfs.Root, "dir2", false); only(err, vfs.EISDIR) },
	} {
		calls.Go(func() {
			for range rounds {
				call()
			}
		})
	}
	calls.Wait()
}
