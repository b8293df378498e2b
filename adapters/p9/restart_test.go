package p9fs_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/adapters/mem"
	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// lasting is an Attacher that finds nodes again: a p9fs.Resolver.
type lasting struct {
	p9.Attacher
	inner vfs.FS
}

func newLasting(t *testing.T) *lasting {
	inner := mem.New(mem.Options{})
	t.Cleanup(func() { inner.Close() })
	return &lasting{p9fs.Attacher(inner, p9fs.AttachOptions{}), inner}
}

func (l *lasting) ResolveQID(path uint64) (p9.File, error) {
	handle := append([]byte{}, l.inner.Root().Handle()[:8]...) // package mem: instance and number
	node, err := l.inner.Resolve(context.Background(), binary.BigEndian.AppendUint64(handle, path))
	if err != nil {
		return nil, linux.ESTALE
	}
	return p9fs.Attacher(from{l.inner, node}, p9fs.AttachOptions{}).Attach()
}

// from is a file system of which another node is the root.
type from struct {
	vfs.FS
	node vfs.Node
}

func (f from) Root() vfs.Node { return f.node }

func lastingSuite(opt p9fs.Options) vfstest.Suite {
	var last *lasting
	return vfstest.Suite{
		Entries: 2_000,
		Open: func(t *testing.T) vfs.FS {
			last = newLasting(t)
			return open(t, last, opt)
		},
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, last, opt)
		},
	}
}

func TestContractWithAResolver(t *testing.T) { lastingSuite(p9fs.Options{}).Run(t) }

func TestAResolverMakesTheTableDispensable(t *testing.T) {
	lastingSuite(p9fs.Options{Nodes: 1, Files: 1}).Run(t)
}

func TestHandlesOfAnEarlierStartAreStaleWithoutAResolver(t *testing.T) {
	inner := mem.New(mem.Options{})
	defer inner.Close()
	attacher := p9fs.Attacher(inner, p9fs.AttachOptions{})
	first := open(t, attacher, p9fs.Options{})
	handle := first.Root().Handle()
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, attacher, p9fs.Options{})
	defer second.Close()
	if _, err := second.Resolve(t.Context(), handle); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("%v, want ESTALE", err)
	}
}

func TestTheTableKeepsWhatWasUsedLast(t *testing.T) {
	fs := watchMem(t, p9fs.Options{Nodes: 20, Files: 4})
	var handles [][]byte
	for i := range 100 {
		n, f, _, err := fs.Root().Create(t.Context(), vfs.Root, fmt.Sprint(i), nil, vfs.OpenWrite)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		handles = append(handles, n.Handle())
	}
	if n := fs.w.live.Load(); n > 6 { // with the root's
		t.Errorf("%d Files are open", n)
	}
	if _, err := fs.Resolve(t.Context(), handles[99]); err != nil {
		t.Errorf("the last: %v", err)
	}
	if _, err := fs.Resolve(t.Context(), handles[0]); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("the first: %v, want ESTALE", err)
	}
	if _, err := fs.Root().Lookup(t.Context(), vfs.Root, "0"); err != nil {
		t.Errorf("the first by its name: %v", err)
	}
	if _, err := fs.Resolve(t.Context(), handles[0]); err != nil {
		t.Errorf("the first after it was found by its name: %v", err)
	}
	if err := fs.Close(); err != nil {
		t.Error(err)
	}
}
