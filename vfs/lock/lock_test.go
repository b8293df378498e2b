package lock

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
)

var ctx = context.Background()

// client is a Client whose lease runs out when a test says so.
type client struct {
	name    string
	table   *Table
	silent  atomic.Bool
	expired atomic.Int32
	fail    error // what Expire returns instead of doing anything
}

func (c *client) String() string { return c.name }
func (c *client) Courtesy() bool { return c.silent.Load() }

func (c *client) Expire(context.Context) error {
	if c.fail != nil {
		return c.fail
	}
	c.expired.Add(1)
	c.table.ReleaseClient(c)
	return nil
}

func newClient(t *Table, name string) *client { return &client{name: name, table: t} }

// owner makes an owner of a client of its own.
func owner(t *Table, name string) Owner { return Owner{newClient(t, name), name} }

func key(handle string) Key { return Key{1, handle} }

func mustLock(t *testing.T, table *Table, k Key, o Owner, r Range, typ Type) {
	t.Helper()
	if h, err := table.Lock(ctx, k, o, r, typ); h != nil || err != nil {
		t.Fatalf("Lock(%v, %v, %v) = %v, %v", o.Name, r, typ, h, err)
	}
}

func mustShare(t *testing.T, table *Table, k Key, o Owner, access, deny Share) {
	t.Helper()
	if err := table.SetShare(ctx, k, o, access, deny); err != nil {
		t.Fatalf("SetShare(%v, %v, %v): %v", o.Name, access, deny, err)
	}
}

// mustBeEmpty fails the test if the table remembers anything.
func mustBeEmpty(t *testing.T, table *Table) {
	t.Helper()
	for i := range table.shards {
		if n := len(table.shards[i].files); n > 0 {
			t.Errorf("shard %d has %d files of which nothing is held", i, n)
		}
	}
	if n := len(table.index.clients); n > 0 {
		t.Errorf("the index has %d clients that hold nothing", n)
	}
	if n := len(table.waits); n > 0 {
		t.Errorf("%d owners wait of whom none does", n)
	}
}

func TestCourtesyGivesWayToAConflict(t *testing.T) {
	tests := map[string]struct {
		hold func(*Table, Owner)
		want func(*Table, Owner) error
	}{
		"share": {
			func(tb *Table, o Owner) { tb.SetShare(ctx, key("f"), o, ShareWrite, ShareWrite) },
			func(tb *Table, o Owner) error { return tb.SetShare(ctx, key("f"), o, ShareWrite, 0) },
		},
		"anonymous access": {
			func(tb *Table, o Owner) { tb.SetShare(ctx, key("f"), o, ShareRead, ShareWrite) },
			func(tb *Table, _ Owner) error { return tb.CheckAccess(key("f"), Owner{}, ShareWrite) },
		},
		"lock": {
			func(tb *Table, o Owner) { tb.Lock(ctx, key("f"), o, whole, Write) },
			func(tb *Table, o Owner) error { return denied(tb.Lock(ctx, key("f"), o, Range{5, 5}, Read)) },
		},
		"test": {
			func(tb *Table, o Owner) { tb.Lock(ctx, key("f"), o, whole, Read) },
			func(tb *Table, o Owner) error { return denied(tb.Test(ctx, key("f"), o, Range{5, 5}, Write)) },
		},
		"waiting lock": {
			func(tb *Table, o Owner) { tb.Lock(ctx, key("f"), o, whole, Write) },
			func(tb *Table, o Owner) error { return tb.LockWait(ctx, key("f"), o, whole, Write) },
		},
		"lease": {
			func(tb *Table, o Owner) { tb.Grant(key("f"), o, Write, func() {}) },
			func(tb *Table, o Owner) error { return tb.BreakLeases(key("f"), o, true) },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			table := NewTable()
			c := newClient(table, "silent")
			tt.hold(table, Owner{c, "o"})
			mustShare(t, table, key("other"), Owner{c, "o"}, ShareRead, 0)
			c.silent.Store(true)
			if err := tt.want(table, owner(table, "live")); err != nil {
				t.Fatal(err)
			}
			if n := c.expired.Load(); n != 1 {
				t.Errorf("expired %d times, want once", n)
			}
			if len(table.index.files(c)) != 0 {
				t.Error("the silent client still has something")
			}
		})
	}
}

// denied makes an error of a Holder.
func denied(h *Holder, err error) error {
	if h != nil {
		return errors.New("denied because of " + h.Owner.Name)
	}
	return err
}

func TestCourtesyIsKeptWhileNobodyConflicts(t *testing.T) {
	table := NewTable()
	c := newClient(table, "silent")
	o := Owner{c, "o"}
	mustShare(t, table, key("f"), o, ShareRead, 0)
	mustLock(t, table, key("f"), o, Range{0, 9}, Write)
	c.silent.Store(true)

	live := owner(table, "live")
	mustShare(t, table, key("f"), live, ShareRead|ShareWrite, 0)
	mustLock(t, table, key("f"), live, Range{10, 19}, Write)
	if c.expired.Load() != 0 || !table.HasLocks(key("f"), o) {
		t.Error("a client was expired that was in nobody's way")
	}
}

func TestFailureToExpireIsReportedAndChangesNothing(t *testing.T) {
	table := NewTable()
	c := newClient(table, "silent")
	c.fail = errors.New("disk is full")
	o := Owner{c, "o"}
	mustShare(t, table, key("f"), o, ShareRead, ShareWrite)
	mustLock(t, table, key("f"), o, whole, Write)
	c.silent.Store(true)

	live := owner(table, "live")
	if err := table.SetShare(ctx, key("f"), live, ShareWrite, 0); !errors.Is(err, c.fail) {
		t.Errorf("SetShare: %v", err)
	}
	if h, err := table.Lock(ctx, key("f"), live, whole, Write); h != nil || !errors.Is(err, c.fail) {
		t.Errorf("Lock: %v, %v", h, err)
	}
	if err := table.LockWait(ctx, key("f"), live, whole, Write); !errors.Is(err, c.fail) {
		t.Errorf("LockWait: %v", err)
	}
	if !table.HasLocks(key("f"), o) || table.HasLocks(key("f"), live) {
		t.Error("locks changed")
	}
	table.ReleaseClient(c)
	mustBeEmpty(t, table)
}

func TestReleaseClientLeavesNothingOfItAndAllOfOthers(t *testing.T) {
	table := NewTable()
	gone, stays := newClient(table, "gone"), newClient(table, "stays")
	for _, handle := range []string{"a", "b", "c"} {
		for i, name := range []string{"x", "y"} {
			at := Range{uint64(i), uint64(i)}
			for _, c := range []*client{gone, stays} {
				o := Owner{c, name}
				mustShare(t, table, key(handle), o, ShareRead, 0)
				mustLock(t, table, key(handle), o, at, Read)
				table.Notify(key(handle), o, at, Write, func() {})
			}
		}
		if _, ok := table.Grant(key(handle), Owner{gone, "x"}, Read, func() {}); !ok {
			t.Fatal("lease refused")
		}
	}
	table.ReleaseClient(gone)
	kinds := map[Kind]int{}
	for _, e := range table.Snapshot() {
		if e.Owner.Client == gone {
			t.Errorf("left: %+v", e)
		}
		kinds[e.Kind]++
	}
	// With the other's locks gone the notices were due.
	if kinds[KindShare] != 6 || kinds[KindRange] != 6 || kinds[KindNotice] != 0 {
		t.Errorf("the other client has %v", kinds)
	}
	table.ReleaseClient(stays)
	mustBeEmpty(t, table)
}

func TestNobodyCannotHoldAnything(t *testing.T) {
	table := NewTable()
	if err := table.SetShare(ctx, key("f"), Owner{}, ShareRead, 0); err == nil {
		t.Error("SetShare succeeded")
	}
	if _, err := table.Lock(ctx, key("f"), Owner{}, whole, Read); err == nil {
		t.Error("Lock succeeded")
	}
	if err := table.LockWait(ctx, key("f"), Owner{}, whole, Read); err == nil {
		t.Error("LockWait succeeded")
	}
	if _, ok := table.Grant(key("f"), Owner{}, Read, func() {}); ok {
		t.Error("Grant succeeded")
	}
	mustBeEmpty(t, table)
}

func TestSnapshotIsSorted(t *testing.T) {
	table := NewTable()
	a, b := newClient(table, "a"), newClient(table, "b")
	mustLock(t, table, key("f"), Owner{b, "2"}, Range{20, 29}, Write)
	mustLock(t, table, key("f"), Owner{b, "2"}, Range{0, 9}, Read)
	mustShare(t, table, key("f"), Owner{b, "2"}, ShareRead, ShareWrite)
	mustShare(t, table, key("e"), Owner{b, "1"}, ShareRead, 0)
	mustShare(t, table, Key{0, "z"}, Owner{a, "1"}, ShareWrite, 0)
	table.Grant(key("f"), Owner{a, "3"}, Read, func() {})
	table.Notify(key("f"), Owner{a, "3"}, Range{25, 25}, Read, func() {})
	want := []Entry{
		{Key: Key{0, "z"}, Owner: Owner{a, "1"}, Kind: KindShare, Access: ShareWrite},
		{Key: key("e"), Owner: Owner{b, "1"}, Kind: KindShare, Access: ShareRead},
		{Key: key("f"), Owner: Owner{a, "3"}, Kind: KindNotice, Range: Range{25, 25}, Type: Read},
		{Key: key("f"), Owner: Owner{a, "3"}, Kind: KindLease, Type: Read},
		{Key: key("f"), Owner: Owner{b, "2"}, Kind: KindShare, Access: ShareRead, Deny: ShareWrite},
		{Key: key("f"), Owner: Owner{b, "2"}, Kind: KindRange, Range: Range{0, 9}, Type: Read},
		{Key: key("f"), Owner: Owner{b, "2"}, Kind: KindRange, Range: Range{20, 29}, Type: Write},
	}
	got := table.Snapshot()
	if len(got) != len(want) {
		t.Fatalf("%d entries, want %d: %+v", len(got), len(want), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("entry %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}
