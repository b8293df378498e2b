package p9

import (
	"context"
	"syscall"
	"testing"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// lockFields are what Tlock has behind the fid; length 0 reaches to the end.
func lockFields(f uint32, typ uint8, flags uint32, start, length uint64, process uint32) []any {
	return []any{f, typ, flags, start, length, process, "guest"}
}

// lock sends a Tlock and returns the status.
func (c *client) lock(f uint32, typ uint8, flags uint32, start, length uint64, process uint32) uint8 {
	c.t.Helper()
	d := c.must(tlock, lockFields(f, typ, flags, start, length, process)...)
	return d.uint8()
}

func (c *client) mustLock(f uint32, typ uint8, start, length uint64, process uint32) {
	c.t.Helper()
	if st := c.lock(f, typ, 0, start, length, process); st != lockSuccess {
		c.t.Fatalf("status %d", st)
	}
}

func (b *bench) key(t testing.TB, name string) lock.Key {
	t.Helper()
	n, err := b.exp.FS.Root().Lookup(t.Context(), vfs.Root, name)
	if err != nil {
		t.Fatal(err)
	}
	return lockKey(b.exp.ID, n)
}

// count returns how many entries of a kind the table has.
func (b *bench) count(kind lock.Kind) (n int) {
	for _, e := range b.locks.Snapshot() {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// foreigner is a client of another protocol.
type foreigner struct{}

func (foreigner) String() string               { return "nfs 10.0.0.1" }
func (foreigner) Courtesy() bool               { return false }
func (foreigner) Expire(context.Context) error { return nil }

var nfsOwner = lock.Owner{Client: foreigner{}, Name: "lowner"}

func TestLocksOfProcessesExcludeEachOther(t *testing.T) {
	b := serving(t, "")
	one, two := b.attached(t, 0), b.attached(t, 0)
	f, g := one.create("f", oRdWr, 0o644), two.create("f", oRdWr, 0o644)
	one.mustLock(f, lockWrite, 0, 10, 1)
	one.mustLock(f, lockRead, 20, 10, 1)
	for _, tt := range []struct {
		c       *client
		f       uint32
		typ     uint8
		start   uint64
		process uint32
		want    uint8
	}{
		{one, f, lockRead, 5, 1, lockSuccess}, // its own
		{one, f, lockRead, 0, 2, lockBlocked}, // another process
		{two, g, lockRead, 0, 1, lockBlocked}, // the same number on another guest
		{two, g, lockRead, 20, 1, lockSuccess},
		{two, g, lockWrite, 20, 1, lockBlocked},
		{two, g, lockWrite, 30, 1, lockSuccess},
	} {
		if st := tt.c.lock(tt.f, tt.typ, 0, tt.start, 1, tt.process); st != tt.want {
			t.Errorf("%+v: status %d", tt, st)
		}
	}
	one.mustLock(f, lockUnlock, 0, 0, 1)
	two.mustLock(g, lockWrite, 0, 10, 1)
}

func TestLocksMeetThoseOfOtherProtocols(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	key := b.key(t, "f")
	all, _ := lock.NewRange(0, 1<<64-1)
	if h, err := b.locks.Lock(t.Context(), key, nfsOwner, all, lock.Read); h != nil || err != nil {
		t.Fatal(h, err)
	}
	if st := c.lock(f, lockWrite, 0, 100, 1, 1); st != lockBlocked {
		t.Errorf("status %d of a write lock", st)
	}
	c.mustLock(f, lockRead, 100, 1, 1)
	d := c.must(tgetlock, f, uint8(lockWrite), uint64(100), uint64(1), uint32(1), "guest")
	typ, start, length, process, client := d.uint8(), d.uint64(), d.uint64(), d.uint32(), string(d.bytes())
	if typ != lockRead || start != 0 || length != 0 || process != 0 || client != "nfs 10.0.0.1" {
		t.Errorf("in the way is type %d at %d, %d bytes, of %d %q", typ, start, length, process, client)
	}
	b.locks.ReleaseOwner(key, nfsOwner)
	h, err := b.locks.Lock(t.Context(), key, nfsOwner, all, lock.Write)
	if err != nil || h == nil || h.Range.Start != 100 {
		t.Errorf("the lock of the 9P client is not in the way: %+v, %v", h, err)
	}
}

func TestGetlock(t *testing.T) {
	b := serving(t, "")
	one, two := b.attached(t, 0), b.attached(t, 0)
	f, g := one.create("f", oRdWr, 0o644), two.create("f", oRdWr, 0o644)
	one.mustLock(f, lockWrite, 5, 5, 42)
	d := two.must(tgetlock, g, uint8(lockRead), uint64(0), uint64(0), uint32(1), "other")
	typ, start, length, process, client := d.uint8(), d.uint64(), d.uint64(), d.uint32(), string(d.bytes())
	if typ != lockWrite || start != 5 || length != 5 || process != 42 || client != "guest" {
		t.Errorf("in the way is type %d at %d, %d bytes, of %d %q", typ, start, length, process, client)
	}
	d = two.must(tgetlock, g, uint8(lockRead), uint64(10), uint64(3), uint32(1), "other")
	typ, start, length = d.uint8(), d.uint64(), d.uint64()
	if typ != lockUnlock || start != 10 || length != 3 {
		t.Errorf("nothing is in the way, but the answer is type %d at %d, %d bytes", typ, start, length)
	}
}

// Linux asks without the kind of lock.
func TestGetlockOfLinuxTellsAReadLock(t *testing.T) {
	b := serving(t, "")
	one, two := b.attached(t, 0), b.attached(t, 0)
	f, g := one.create("f", oRdWr, 0o644), two.create("f", oRdWr, 0o644)
	one.mustLock(f, lockRead, 5, 5, 42)
	d := two.must(tgetlock, g, uint8(lockUnlock), uint64(0), uint64(0), uint32(1), "other")
	typ, start, length, process := d.uint8(), d.uint64(), d.uint64(), d.uint32()
	if typ != lockRead || start != 5 || length != 5 || process != 42 {
		t.Errorf("in the way is type %d at %d, %d bytes, of %d", typ, start, length, process)
	}
}

func TestLocksNeedTheAccessThatTheFileWasOpenedFor(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.clunk(c.create("f", oRdWr, 0o644))
	r, w := c.open("f", 0), c.open("f", oWrOnly)
	c.mustFail(syscall.EBADF, tlock, lockFields(r, lockWrite, 0, 0, 0, 1)...)
	c.mustFail(syscall.EBADF, tlock, lockFields(w, lockRead, 0, 0, 0, 1)...)
	c.mustFail(vfs.EINVAL, tlock, lockFields(c.walk("f"), lockRead, 0, 0, 0, 1)...)
	c.mustFail(vfs.EINVAL, tlock, lockFields(r, 3, 0, 0, 0, 1)...)
	c.mustFail(vfs.EINVAL, tlock, lockFields(r, lockRead, 0, 1<<63, 1<<63+1, 1)...)
}

func TestLocksEndWithTheFIDAndWithTheConnection(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f, g := c.create("f", oRdWr, 0o644), c.create("g", oRdWr, 0o644)
	c.mustLock(f, lockWrite, 0, 0, 1)
	c.mustLock(g, lockWrite, 0, 0, 1)
	c.clunk(f)
	if n := b.count(lock.KindRange); n != 1 {
		t.Errorf("%d locks after one of two files was clunked", n)
	}
	c.nc.Close()
	b.gone(t)
	if left := b.locks.Snapshot(); len(left) != 0 {
		t.Errorf("left after the end of the connection: %+v", left)
	}
}

// gone waits until no connection is left.
func (b *bench) gone(t testing.TB) {
	t.Helper()
	if err := b.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestBlockingLockIsAnsweredWhenItIsGranted(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	c.mustLock(f, lockWrite, 0, 0, 1)
	waiting := c.send(tlock, lockFields(f, lockWrite, lockBlock, 0, 0, 2)...)
	c.getattr(f) // others are answered meanwhile
	b.waitFor(t, lock.KindWait)
	c.send(tlock, lockFields(f, lockUnlock, 0, 0, 0, 1)...)
	answered := map[uint16]uint8{}
	for range 2 {
		_, tag, body, err := c.receive()
		if err != nil {
			t.Fatal(err)
		}
		answered[tag] = body.uint8()
	}
	if st, ok := answered[waiting]; !ok || st != lockSuccess {
		t.Errorf("answers %v", answered)
	}
}

// waitFor waits until the table has something of a kind.
func (b *bench) waitFor(t testing.TB, kind lock.Kind) {
	t.Helper()
	for b.count(kind) == 0 {
		select {
		case <-t.Context().Done():
			t.Fatal("nothing comes")
		default:
		}
	}
}

func TestCircleOfWaitsIsADeadlock(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	c.mustLock(f, lockWrite, 0, 1, 1)
	c.mustLock(f, lockWrite, 1, 1, 2)
	c.send(tlock, lockFields(f, lockWrite, lockBlock, 1, 1, 1)...)
	b.waitFor(t, lock.KindWait)
	c.mustFail(vfs.EDEADLK, tlock, lockFields(f, lockWrite, lockBlock, 0, 1, 2)...)
}

func TestFlushCancelsAWaitForALock(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	c.mustLock(f, lockWrite, 0, 0, 1)
	waiting := c.send(tlock, lockFields(f, lockWrite, lockBlock, 0, 0, 2)...)
	b.waitFor(t, lock.KindWait)
	flush := c.send(tflush, waiting)
	typ, tag, body, err := c.receive()
	if err != nil || typ != rlerror || tag != waiting || body.uint32() != uint32(syscall.EINTR) {
		t.Errorf("first comes type %d for tag %d, %v; want the lock's EINTR", typ, tag, err)
	}
	if typ, tag, _, err = c.receive(); err != nil || typ != tflush+1 || tag != flush {
		t.Errorf("then comes type %d for tag %d, %v", typ, tag, err)
	}
	if n := b.count(lock.KindWait); n != 0 {
		t.Errorf("%d still wait", n)
	}
	c.must(tflush, uint16(4711)) // of nothing
	c.must(tflush, c.tag+1)      // of itself
}

func TestVersionAndTheEndOfTheConnectionCancelWaits(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	wait := func() {
		c.mustLock(f, lockWrite, 0, 0, 1)
		c.send(tlock, lockFields(f, lockWrite, lockBlock, 0, 0, 2)...)
		b.waitFor(t, lock.KindWait)
	}
	wait()
	c.send(tversion, uint32(maxMsize), dialect)
	if typ, _, _, err := c.receive(); err != nil || typ != rlerror {
		t.Fatalf("type %d, %v; want the lock's error", typ, err)
	}
	if typ, _, _, err := c.receive(); err != nil || typ != tversion+1 {
		t.Fatalf("type %d, %v", typ, err)
	}
	if left := b.locks.Snapshot(); len(left) != 0 {
		t.Errorf("left after Tversion: %+v", left)
	}
	c.must(tattach, uint32(0), uint32(noFID), "", "data", uint32(0))
	f = c.open("f", oRdWr)
	wait()
	c.nc.Close()
	b.gone(t)
	if left := b.locks.Snapshot(); len(left) != 0 {
		t.Errorf("left after the end of the connection: %+v", left)
	}
}

func TestNoLockIsGrantedInTheGracePeriod(t *testing.T) {
	c := serving(t, "", func(c *Config) { c.InGrace = func() bool { return true } }).attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	if st := c.lock(f, lockRead, 0, 0, 0, 1); st != lockGrace {
		t.Errorf("status %d", st)
	}
}

func TestOpensMeetSharesOfOtherProtocols(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	key := b.key(t, "f")
	if err := b.locks.SetShare(t.Context(), key, nfsOwner, lock.ShareRead, lock.ShareWrite); err != lock.ErrShareConflict {
		t.Errorf("denying writes while it is open for that: %v", err)
	}
	c.clunk(f)
	if err := b.locks.SetShare(t.Context(), key, nfsOwner, lock.ShareRead, lock.ShareWrite); err != nil {
		t.Fatal(err)
	}
	c.open("f", 0)
	c.mustFail(vfs.EACCES, tlopen, c.walk("f"), uint32(oRdWr))
	if err := c.setattr(c.walk("f"), setattrSize, 0, 0, 0, 0, vfs.Timespec{}, vfs.Timespec{}); err != vfs.EACCES {
		t.Errorf("truncating: %v", err)
	}
}

func TestOpenWaitsForALeaseToBeGivenBack(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	c.clunk(c.create("f", oRdWr, 0o644))
	recalled := make(chan struct{})
	lease, ok := b.locks.Grant(b.key(t, "f"), nfsOwner, lock.Write, func() { close(recalled) })
	if !ok {
		t.Fatal("no lease")
	}
	f := c.walk("f")
	tag := c.send(tlopen, f, uint32(oRdWr))
	<-recalled
	c.getattr(f) // answered meanwhile
	lease.Return()
	if typ, got, _, err := c.receive(); err != nil || typ != tlopen+1 || got != tag {
		t.Errorf("type %d for tag %d, %v", typ, got, err)
	}
}

func TestLocksOfASilentClientGiveWay(t *testing.T) {
	b := serving(t, "")
	silent := b.attached(t, 0)
	f := silent.create("f", oRdWr, 0o644)
	silent.mustLock(f, lockWrite, 0, 0, 1)
	b.mu.Lock()
	for c := range b.conns {
		c.silent = func() bool { return true }
	}
	b.mu.Unlock()
	other := b.attached(t, 0)
	g := other.open("f", oRdWr)
	other.mustLock(g, lockWrite, 0, 0, 1)
	if _, _, _, err := silent.receive(); err == nil {
		t.Error("the silent client is still connected")
	}
}

func TestWaitsForLocksDoNotKeepOthersFromUnlocking(t *testing.T) {
	b := serving(t, "", func(c *Config) { c.MaxInFlight, c.MaxLockWaits = 2, 10 })
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	c.mustLock(f, lockWrite, 0, 0, 1)
	for i := range uint32(10) {
		c.send(tlock, lockFields(f, lockRead, lockBlock, 0, 0, 2+i)...)
	}
	for b.count(lock.KindWait) < 10 {
		c.getattr(f)
	}
	if st := c.lock(f, lockRead, lockBlock, 0, 0, 100); st != lockBlocked {
		t.Errorf("status %d where too many wait", st)
	}
	c.send(tlock, lockFields(f, lockUnlock, 0, 0, 0, 1)...)
	for range 11 {
		if typ, _, d, err := c.receive(); err != nil || typ != tlock+1 || d.uint8() != lockSuccess {
			t.Fatalf("type %d, %v", typ, err)
		}
	}
}
