package lock

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsva/fsva/vfs"
)

// wait calls LockWait in a goroutine; the result comes over the channel. It
// returns when the call has ended or waits. Only in a synctest bubble.
func wait(c context.Context, table *Table, k Key, o Owner, r Range, typ Type) <-chan error {
	done := make(chan error, 1)
	go func() { done <- table.LockWait(c, k, o, r, typ) }()
	synctest.Wait()
	return done
}

// ended returns the result of a wait, and whether there is one.
func ended(done <-chan error) (error, bool) {
	synctest.Wait()
	select {
	case err := <-done:
		return err, true
	default:
		return nil, false
	}
}

func mustWait(t *testing.T, what string, done <-chan error) {
	t.Helper()
	if err, over := ended(done); over {
		t.Fatalf("%s does not wait: %v", what, err)
	}
}

func mustEnd(t *testing.T, what string, done <-chan error, want error) {
	t.Helper()
	if err, over := ended(done); !over || !errors.Is(err, want) {
		t.Fatalf("%s: over %v, error %v, want %v", what, over, err, want)
	}
}

func TestWaitersAreServedInTheOrderTheyCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		first := owner(table, "first")
		mustLock(t, table, key("f"), first, whole, Write)
		owners := []Owner{first}
		var waits []<-chan error
		for i := range 10 {
			o := owner(table, fmt.Sprint(i))
			owners = append(owners, o)
			waits = append(waits, wait(ctx, table, key("f"), o, Range{5, 9}, Write))
		}
		for i, done := range waits {
			mustWait(t, fmt.Sprint(i), done)
			table.ReleaseOwner(key("f"), owners[i])
			mustEnd(t, fmt.Sprint(i), done, nil)
		}
		table.ReleaseOwner(key("f"), owners[10])
		mustBeEmpty(t, table)
	})
}

func TestReadersDoNotOvertakeAWaitingWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		reader, writer, late, apart := owner(table, "reader"), owner(table, "writer"), owner(table, "late"), owner(table, "apart")
		mustLock(t, table, key("f"), reader, Range{0, 9}, Read)
		w := wait(ctx, table, key("f"), writer, Range{0, 9}, Write)
		l := wait(ctx, table, key("f"), late, Range{5, 5}, Read)
		mustWait(t, "the writer", w)
		mustWait(t, "the late reader", l)
		mustEnd(t, "who wants other bytes", wait(ctx, table, key("f"), apart, Range{10, 19}, Write), nil)

		table.Unlock(key("f"), reader, whole)
		mustEnd(t, "the writer", w, nil)
		mustWait(t, "the late reader", l)
		table.Unlock(key("f"), writer, whole)
		mustEnd(t, "the late reader", l, nil)
	})
}

// A reader that holds a lock the writer waits for would wait for itself if it
// stood in the queue behind the writer.
func TestWhoHoldsALockDoesNotStandBehindThoseThatWaitForIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b, c := owner(table, "a"), owner(table, "b"), owner(table, "c")
		mustLock(t, table, key("f"), a, Range{0, 9}, Read)
		mustLock(t, table, key("f"), c, Range{20, 29}, Write)
		writer := wait(ctx, table, key("f"), b, Range{0, 19}, Write)
		mustWait(t, "the writer", writer)

		mustEnd(t, "a lock of free bytes", wait(ctx, table, key("f"), a, Range{5, 15}, Read), nil)
		far := wait(ctx, table, key("f"), a, Range{5, 25}, Read)
		mustWait(t, "a lock that c is in the way of", far)
		table.Unlock(key("f"), c, whole)
		mustEnd(t, "it", far, nil)
		mustWait(t, "the writer", writer)
		table.Unlock(key("f"), a, whole)
		mustEnd(t, "the writer", writer, nil)
	})
}

// a holds f and waits for g; b holds g and waits for h; c holds h.
func TestWaitThatClosesACircleOverFilesIsADeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b, c := owner(table, "a"), owner(table, "b"), owner(table, "c")
		mustLock(t, table, key("f"), a, Range{0, 9}, Write)
		mustLock(t, table, key("g"), b, Range{0, 9}, Write)
		mustLock(t, table, key("g"), c, Range{10, 19}, Write)
		ab := wait(ctx, table, key("g"), a, Range{0, 9}, Write)
		bc := wait(ctx, table, key("g"), b, Range{10, 19}, Read)
		mustEnd(t, "the wait that closes the circle", wait(ctx, table, key("f"), c, Range{5, 5}, Read), vfs.EDEADLK)
		mustWait(t, "a", ab)
		mustWait(t, "b", bc)

		// Bytes of f that a does not hold are no deadlock, nor is it one
		// when c has given up what the circle hung on.
		mustEnd(t, "c elsewhere in f", wait(ctx, table, key("f"), c, Range{10, 19}, Write), nil)
		table.Unlock(key("g"), c, whole)
		mustEnd(t, "b", bc, nil)
		ca := wait(ctx, table, key("f"), c, Range{5, 5}, Read)
		mustWait(t, "c", ca)
		table.ReleaseOwner(key("g"), b)
		mustEnd(t, "a", ab, nil)
		table.ReleaseOwner(key("f"), a)
		mustEnd(t, "c", ca, nil)
	})
}

func TestTwoReadersThatBothWantToWriteAreADeadlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b := owner(table, "a"), owner(table, "b")
		mustLock(t, table, key("f"), a, whole, Read)
		mustLock(t, table, key("f"), b, whole, Read)
		up := wait(ctx, table, key("f"), a, Range{0, 0}, Write)
		mustWait(t, "the first", up)
		mustEnd(t, "the second", wait(ctx, table, key("f"), b, Range{0, 0}, Write), vfs.EDEADLK)
		table.Unlock(key("f"), b, Range{0, 0})
		mustEnd(t, "the first", up, nil)
	})
}

func TestDowngradeLetsReadersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b := owner(table, "a"), owner(table, "b")
		mustLock(t, table, key("f"), a, Range{0, 9}, Write)
		reader := wait(ctx, table, key("f"), b, Range{5, 9}, Read)
		mustLock(t, table, key("f"), a, Range{0, 5}, Read)
		mustWait(t, "the reader", reader)
		mustLock(t, table, key("f"), a, Range{6, 9}, Read)
		mustEnd(t, "the reader", reader, nil)
	})
}

// A waiter that is served may itself give up an exclusive lock.
func TestDowngradeByAWaiterLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b, c := owner(table, "a"), owner(table, "b"), owner(table, "c")
		mustLock(t, table, key("f"), a, Range{0, 9}, Write)
		mustLock(t, table, key("f"), b, Range{10, 19}, Write)
		reader := wait(ctx, table, key("f"), c, Range{0, 0}, Read)
		told := 0
		table.Notify(key("f"), owner(table, "d"), Range{1, 1}, Read, func() { told++ })
		down := wait(ctx, table, key("f"), a, Range{0, 19}, Read)
		mustWait(t, "the reader", reader)
		table.Unlock(key("f"), b, whole)
		mustEnd(t, "the downgrade", down, nil)
		mustEnd(t, "the reader", reader, nil)
		if told != 1 {
			t.Errorf("notified %d times, want once", told)
		}
	})
}

func TestCancelledWaitLeavesNothingAndLetsOthersPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b, c := owner(table, "a"), owner(table, "b"), owner(table, "c")
		mustLock(t, table, key("f"), a, Range{0, 9}, Read)
		cancelled, cancel := context.WithCancel(ctx)
		writer := wait(cancelled, table, key("f"), b, Range{0, 9}, Write)
		reader := wait(ctx, table, key("f"), c, Range{0, 9}, Read)
		mustWait(t, "the reader behind the writer", reader)
		cancel()
		mustEnd(t, "the writer", writer, context.Canceled)
		mustEnd(t, "the reader", reader, nil)
		if table.HasLocks(key("f"), b) {
			t.Error("the writer has a lock")
		}
		table.ReleaseOwner(key("f"), a)
		table.ReleaseOwner(key("f"), c)
		mustBeEmpty(t, table)
	})
}

func TestReleaseOfAClientEndsItsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		a, b := owner(table, "a"), owner(table, "b")
		mustLock(t, table, key("f"), a, whole, Write)
		done := wait(ctx, table, key("f"), b, whole, Write)
		table.ReleaseClient(b.Client)
		mustEnd(t, "the wait", done, ErrReleased)
		table.ReleaseClient(a.Client)
		mustBeEmpty(t, table)
	})
}

// The holder is alive when the wait starts, and nothing happens in the table
// when it falls silent.
func TestWaiterOutlivesAHolderThatFallsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := NewTable()
		silent := newClient(table, "silent")
		mustLock(t, table, key("f"), Owner{silent, "o"}, whole, Write)
		done := wait(ctx, table, key("f"), owner(table, "live"), whole, Write)
		time.Sleep(3 * courtesyCheck) // the bubble's clock
		mustWait(t, "who waits for the living", done)
		silent.silent.Store(true)
		time.Sleep(courtesyCheck)
		mustEnd(t, "who waits for the silent", done, nil)
	})
}

func TestNotifyCallsOnceWhenTheWayIsFree(t *testing.T) {
	table := NewTable()
	a, b, c := owner(table, "a"), owner(table, "b"), owner(table, "c")
	mustLock(t, table, key("f"), a, Range{0, 9}, Read)
	mustLock(t, table, key("f"), b, Range{5, 14}, Read)
	told := 0
	call := func() {
		told++
		table.HasLocks(key("f"), a) // deadlocks if called with a lock held
	}
	table.Notify(key("f"), c, Range{0, 19}, Write, call)
	for _, step := range []struct {
		name string
		do   func()
		want int
	}{
		{"nothing is released", func() {}, 0},
		{"one of two is released", func() { table.Unlock(key("f"), a, whole) }, 0},
		{"the other is released in part", func() { table.Unlock(key("f"), b, Range{5, 10}) }, 0},
		{"all is released", func() { table.Unlock(key("f"), b, whole) }, 1},
		{"it happens again", func() {
			mustLock(t, table, key("f"), a, whole, Write)
			table.Unlock(key("f"), a, whole)
		}, 1},
		{"nothing is in the way", func() { table.Notify(key("f"), c, whole, Write, call) }, 2},
	} {
		if step.do(); told != step.want {
			t.Errorf("told %d times when %s, want %d", told, step.name, step.want)
		}
	}
	mustBeEmpty(t, table)
}

func TestNotifyIsForgottenOnCancelReplacementAndRelease(t *testing.T) {
	table := NewTable()
	a, b, c := owner(table, "a"), owner(table, "b"), owner(table, "c")
	mustLock(t, table, key("f"), a, whole, Write)
	var told []string
	notify := func(o Owner, r Range, name string) func() {
		return table.Notify(key("f"), o, r, Write, func() { told = append(told, name) })
	}
	cancel := notify(b, Range{0, 0}, "cancelled")
	notify(b, Range{1, 1}, "replaced")
	notify(b, Range{1, 1}, "replacing")
	notify(b, Range{2, 2}, "another range")
	notify(c, Range{1, 1}, "released")
	cancel()
	cancel()
	table.ReleaseClient(c.Client)
	table.ReleaseOwner(key("f"), a)
	if want := []string{"replacing", "another range"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	mustBeEmpty(t, table)
}

func TestWhatOneClientCanPileUpIsBounded(t *testing.T) {
	table := NewTable()
	a, b := owner(table, "a"), owner(table, "b")
	mustLock(t, table, key("f"), b, Range{0, 1 << 40}, Write)
	told := 0
	for i := range uint64(maxNotices + 10) {
		table.Notify(key("f"), a, Range{i, i}, Read, func() { told++ })
	}
	table.ReleaseOwner(key("f"), b)
	if told != maxNotices {
		t.Errorf("told %d times, want %d", told, maxNotices)
	}

	// Many owners, so that no list gets long.
	for i := range uint64(maxRanges) {
		o := Owner{a.Client, fmt.Sprint(i % 1024)}
		mustLock(t, table, key(fmt.Sprint(i%16)), o, Range{i * 4, i*4 + 2}, Read)
	}
	if _, err := table.Lock(ctx, key("f"), a, whole, Write); err != syscall.ENOLCK {
		t.Errorf("one more: %v", err)
	}
	o, k := Owner{a.Client, "0"}, key("0")
	if err := table.Unlock(k, o, Range{1, 1}); err != syscall.ENOLCK {
		t.Errorf("a hole: %v", err)
	}
	mustLock(t, table, k, o, Range{1, 2}, Read) // held already
	if err := table.Unlock(k, o, Range{0, 1}); err != nil {
		t.Errorf("a smaller lock: %v", err)
	}
	mustLock(t, table, key("f"), b, whole, Write)
	table.ReleaseClient(a.Client)
	table.ReleaseClient(b.Client)
	mustBeEmpty(t, table)
}

// Owners lock two of a few files at once, in any order, so that there are
// deadlocks all the time; whoever is told of one starts over.
func TestLocksExcludeUnderLoadAndDeadlocksAreResolved(t *testing.T) {
	table := NewTable()
	const files, rounds = 3, 300
	var inside [files]atomic.Int32
	var group sync.WaitGroup
	for n := range 6 {
		o, rnd := owner(table, fmt.Sprint(n)), rand.New(rand.NewPCG(uint64(n), 1))
		group.Go(func() {
			for range rounds {
				first := rnd.IntN(files)
				second := (first + 1 + rnd.IntN(files-1)) % files
				for !lockBoth(t, table, o, &inside, first, second) {
				}
			}
		})
	}
	group.Wait()
	mustBeEmpty(t, table)
}

// lockBoth reports whether it got both locks.
func lockBoth(t *testing.T, table *Table, o Owner, inside *[3]atomic.Int32, files ...int) bool {
	for _, f := range files {
		k := key(fmt.Sprint(f))
		err := table.LockWait(ctx, k, o, Range{3, 7}, Write)
		if err == vfs.EDEADLK {
			return false
		}
		if err != nil {
			t.Error(err)
			return true
		}
		if inside[f].Add(1) != 1 {
			t.Error("two owners have an exclusive lock")
		}
		defer table.Unlock(k, o, whole)
		defer inside[f].Add(-1)
	}
	return true
}
