package p9

import (
	"context"
	"syscall"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

func TestRemovedExportIsStaleAndHoldsNothing(t *testing.T) {
	b := serving(t, "")
	c, waiter := b.attached(t, 0), b.attached(t, 0)
	open := c.create("file", 2, 0o644)
	c.mustLock(open, lockWrite, 0, 0, 1)
	other := waiter.open("file", 2)
	waiter.send(tlock, lockFields(other, lockWrite, lockBlock, 0, 0, 2)...)
	b.waitFor(t, lock.KindWait)

	if err := b.cfg.Exports.Replace(nil); err != nil {
		t.Fatal(err)
	}
	idle := b.exp.Retire()
	if typ, _, body, err := waiter.receive(); err != nil || typ != rlerror || syscall.Errno(body.uint32()) != syscall.ESTALE {
		t.Errorf("who waits for a lock gets a message of type %d, %v", typ, err)
	}
	b.Revoke(b.exp)
	<-idle
	if held := b.locks.Snapshot(); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
	c.mustFail(syscall.ESTALE, tread, open, uint64(0), uint32(1))
	c.mustFail(syscall.ESTALE, twalk, uint32(0), uint32(99), uint16(1), "file")
	c.mustFail(syscall.ESTALE, tlock, lockFields(open, lockUnlock, 0, 0, 0, 1)...)
	c.mustFail(syscall.ESTALE, tgetattr, uint32(0), uint64(1))
	c.mustFail(syscall.ENOENT, tattach, uint32(98), uint32(noFID), "", "data", uint32(0))
	c.clunk(open)
}

func TestExportThatIsNoLongerForAClientRefusesIt(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	open := c.create("file", oRdWr, 0o644)
	spec, err := export.Parse("data=mem:,squash=none,clients=10.0.0.0/8")
	if err != nil {
		t.Fatal(err)
	}
	if err := b.cfg.Exports.Replace([]*export.Export{b.exp.With(spec)}); err != nil {
		t.Fatal(err)
	}
	c.mustFail(syscall.EACCES, tgetattr, uint32(0), uint64(1))
	c.mustFail(syscall.EACCES, tread, open, uint64(0), uint32(1))
	c.mustFail(syscall.EACCES, twalk, uint32(0), uint32(99), uint16(1), "file")
	c.clunk(open)
}

// slowFS has a root whose attributes take until they may be set.
type slowFS struct {
	vfs.FS
	root slowRoot
}

func (f *slowFS) Root() vfs.Node { return &f.root }

type slowRoot struct {
	vfs.Node
	vfs.Xattrer
	setting, may chan struct{}
}

func (n *slowRoot) SetXattr(context.Context, *vfs.Cred, string, []byte, vfs.XattrFlags) error {
	close(n.setting)
	<-n.may
	return nil
}

// An attribute is set by the Tclunk that ends its write.
func TestFileSystemStaysOpenWhileAnAttributeIsSet(t *testing.T) {
	inner := mem.New(mem.Options{})
	root := inner.Root()
	fs := &slowFS{FS: inner, root: slowRoot{root, root.(vfs.Xattrer), make(chan struct{}), make(chan struct{})}}
	spec, err := export.Parse("data=mem:,squash=none")
	if err != nil {
		t.Fatal(err)
	}
	b := servingFS(t, spec, fs)
	c := b.attached(t, 0)
	x := c.walk("")
	c.must(txattrcreate, x, "user.a", uint64(1), uint32(0))
	c.must(twrite, x, uint64(0), uint32(1), []byte("v"))
	c.send(tclunk, x)
	<-fs.root.setting
	if err := b.cfg.Exports.Replace(nil); err != nil {
		t.Fatal(err)
	}
	idle := b.exp.Retire()
	select {
	case <-idle:
		t.Error("the file system may be closed")
	default:
	}
	close(fs.root.may)
	if typ, _, _, err := c.receive(); typ != tclunk+1 || err != nil {
		t.Errorf("message of type %d, %v", typ, err)
	}
	b.Revoke(b.exp)
	<-idle
}
