package p9

import (
	"syscall"
	"testing"

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
