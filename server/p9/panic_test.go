package p9

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// faultyFS panics in GetAttr of its root while it is broken.
type faultyFS struct {
	vfs.FS
	root *faultyRoot
}

func (f *faultyFS) Root() vfs.Node { return f.root }

type faultyRoot struct {
	vfs.Node
	broken atomic.Bool
}

func (n *faultyRoot) GetAttr(ctx context.Context, want vfs.AttrMask) (vfs.Attr, error) {
	if n.broken.Load() {
		panic("a mistake")
	}
	return n.Node.GetAttr(ctx, want)
}

func TestFileSystemThatPanicsFailsTheRequestAlone(t *testing.T) {
	inner := mem.New(mem.Options{})
	fs := &faultyFS{inner, &faultyRoot{Node: inner.Root()}}
	spec, err := export.Parse("data=mem:,squash=none")
	if err != nil {
		t.Fatal(err)
	}
	b := servingFS(t, spec, fs)
	c := b.attached(t, 0)
	fs.root.broken.Store(true)
	c.mustFail(vfs.EIO, tgetattr, uint32(0), uint64(1))
	c.mustFail(vfs.EIO, tlopen, c.walk(""), uint32(0))
	fs.root.broken.Store(false)
	c.must(tgetattr, uint32(0), uint64(1))

	ch := b.NewChannel("guest", ChannelOptions{})
	defer ch.Close()
	attachChannel(t, ch)
	fs.root.broken.Store(true)
	if typ, _ := exchange(t, ch, 100, tgetattr, uint32(0), uint64(1)); typ != rlerror {
		t.Errorf("on a channel the answer has type %d", typ)
	}

	if err := b.cfg.Exports.Replace(nil); err != nil {
		t.Fatal(err)
	}
	idle := b.exp.Retire()
	b.Revoke(b.exp)
	<-idle // nothing of it is left in use
}
