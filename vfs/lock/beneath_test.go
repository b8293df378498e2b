package lock

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// kernel is a file that several appliances lock: a table in which each of them
// is one owner.
type kernel struct {
	*Table
	open atomic.Int32 // SharedLocks that are not closed
}

// appliance is the table of one that shares the file.
func (k *kernel) appliance(name string) *Table {
	return NewTable(WithBeneath(func(_ context.Context, key Key) (vfs.SharedLocks, error) {
		if key.Handle == "private" {
			return nil, nil
		}
		k.open.Add(1)
		return &kernelLocks{k, key, Owner{&client{name: name}, "the appliance"}}, nil
	}))
}

type kernelLocks struct {
	kernel *kernel
	key    Key
	owner  Owner
}

func (l *kernelLocks) rangeOf(off, length int64) Range {
	if length == 0 {
		return Range{uint64(off), eof}
	}
	return Range{uint64(off), uint64(off + length - 1)}
}

func (l *kernelLocks) Set(_ context.Context, off, length int64, kind vfs.LockKind) error {
	r := l.rangeOf(off, length)
	if kind == vfs.Unlocked {
		return l.kernel.Unlock(l.key, l.owner, r)
	}
	by, err := l.kernel.Lock(ctx, l.key, l.owner, r, Type(kind-vfs.LockedRead))
	if by != nil {
		err = vfs.EAGAIN
	}
	return err
}

func (l *kernelLocks) Test(_ context.Context, off, length int64, kind vfs.LockKind) (found vfs.SharedLock, err error) {
	by, err := l.kernel.Test(ctx, l.key, l.owner, l.rangeOf(off, length), Type(kind-vfs.LockedRead))
	if by == nil || err != nil {
		return found, err
	}
	found = vfs.SharedLock{Off: int64(by.Range.Start), Kind: vfs.LockedRead + vfs.LockKind(by.Type)}
	if by.Range.End != eof {
		found.Length = int64(by.Range.Length())
	}
	return found, nil
}

func (l *kernelLocks) Close() error {
	l.kernel.open.Add(-1)
	l.kernel.ReleaseOwner(l.key, l.owner)
	return nil
}

// What two appliances grant and refuse must be what one would, to the owners of
// both.
func TestTwoTablesOverOneFileDecideAsOneTable(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		k := &kernel{Table: NewTable()}
		tables := []*Table{k.appliance("a"), k.appliance("b")}
		one := NewTable()
		var owners []Owner
		for range 4 {
			owners = append(owners, Owner{&client{}, "x"})
		}
		file := key("f")
		for range 60 {
			n := rnd.IntN(len(owners))
			own, owner := tables[n%2], owners[n]
			r := Range{Start: rnd.Uint64N(20)}
			r.End = r.Start + rnd.Uint64N(10)
			if rnd.IntN(10) == 0 {
				r.End = eof
			}
			typ := Type(rnd.IntN(2))
			switch rnd.IntN(8) {
			case 0:
				own.ReleaseOwner(file, owner)
				one.ReleaseOwner(file, owner)
			case 1:
				own.ReleaseClient(owner.Client)
				one.ReleaseClient(owner.Client)
			case 2, 3:
				if err := errors.Join(own.Unlock(file, owner, r), one.Unlock(file, owner, r)); err != nil {
					t.Fatal(err)
				}
			case 4:
				got, err1 := own.Test(ctx, file, owner, r, typ)
				want, err2 := one.Test(ctx, file, owner, r, typ)
				if err1 != nil || err2 != nil || (got == nil) != (want == nil) {
					t.Fatalf("test of %v: %v, %v; one table has %v, %v", r, got, err1, want, err2)
				}
			default:
				got, err1 := own.Lock(ctx, file, owner, r, typ)
				want, err2 := one.Lock(ctx, file, owner, r, typ)
				if err1 != nil || err2 != nil || (got == nil) != (want == nil) {
					t.Fatalf("lock of %v: %v, %v; one table has %v, %v", r, got, err1, want, err2)
				}
			}
		}
		for _, o := range owners {
			for _, own := range tables {
				own.ReleaseClient(o.Client)
			}
		}
		if held := k.Snapshot(); len(held) != 0 || k.open.Load() != 0 {
			t.Fatalf("in the end %v are held, by %d", held, k.open.Load())
		}
	}
}

func TestWhoWaitsGetsALockThatWasHeldOutside(t *testing.T) {
	k := &kernel{Table: NewTable()}
	a, b := k.appliance("a"), k.appliance("b")
	x, y := Owner{&client{}, "x"}, Owner{&client{}, "y"}
	if by, err := a.Lock(ctx, key("f"), x, whole, Write); by != nil || err != nil {
		t.Fatal(by, err)
	}
	by, err := b.Lock(ctx, key("f"), y, Range{5, 6}, Read)
	if err != nil || by == nil || by.Owner != Outside || by.Type != Write || by.Range != whole {
		t.Fatalf("in the way is %v, %v", by, err)
	}
	got := make(chan error)
	go func() { got <- b.LockWait(ctx, key("f"), y, Range{5, 6}, Read) }()
	a.ReleaseOwner(key("f"), x)
	if err := <-got; err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := a.LockWait(ended, key("f"), x, whole, Write); !errors.Is(err, context.Canceled) {
		t.Errorf("a wait that was ended: %v", err)
	}
}

// Who gives way takes the same locks of the table as who asks.
func TestSilentClientGivesWayOnASharedFile(t *testing.T) {
	asks := map[string]func(*Table, Owner) (*Holder, error){
		"lock": func(a *Table, o Owner) (*Holder, error) { return a.Lock(ctx, key("f"), o, whole, Write) },
		"test": func(a *Table, o Owner) (*Holder, error) { return a.Test(ctx, key("f"), o, whole, Write) },
		"wait": func(a *Table, o Owner) (*Holder, error) { return nil, a.LockWait(ctx, key("f"), o, whole, Write) },
	}
	for name, ask := range asks {
		t.Run(name, func(t *testing.T) {
			k := &kernel{Table: NewTable()}
			a := k.appliance("a")
			c := newClient(a, "silent")
			mustLock(t, a, key("f"), Owner{c, "x"}, whole, Write)
			c.silent.Store(true)
			if by, err := ask(a, owner(a, "y")); by != nil || err != nil {
				t.Errorf("in the way is %v, %v", by, err)
			}
			if c.expired.Load() != 1 {
				t.Errorf("the silent client was asked %d times to give way", c.expired.Load())
			}
		})
	}
}

// What is held stays held beneath, whoever else asks meanwhile.
func TestLockBeneathIsKeptWhileOthersTest(t *testing.T) {
	k := &kernel{Table: NewTable()}
	a := k.appliance("a")
	x, y, elsewhere := owner(a, "x"), owner(a, "y"), Owner{&client{}, "elsewhere"}
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := a.Test(ctx, key("f"), y, whole, Write); err != nil {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	for range 20000 {
		mustLock(t, a, key("f"), x, whole, Write)
		if by, err := k.Test(ctx, key("f"), elsewhere, whole, Write); by == nil || err != nil {
			t.Errorf("the lock is not held beneath: %v, %v", by, err)
			break
		}
		if err := a.Unlock(key("f"), x, whole); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	asking.Wait()
}

func TestFileThatIsNotSharedHasNothingBeneath(t *testing.T) {
	k := &kernel{Table: NewTable()}
	a, b := k.appliance("a"), k.appliance("b")
	for _, own := range []*Table{a, b} {
		if by, err := own.Lock(ctx, key("private"), Owner{&client{}, "x"}, whole, Write); by != nil || err != nil {
			t.Error(by, err)
		}
	}
	if k.open.Load() != 0 {
		t.Error("something is open beneath")
	}
}
