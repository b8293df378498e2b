package lock

import (
	"errors"
	"testing"
)

func TestLeaseIsGrantedOnlyIfNobodyElseIsExcluded(t *testing.T) {
	tests := []struct {
		access, deny Share // of another client
		read, write  bool  // may be granted
	}{
		{0, 0, true, true},
		{ShareRead, 0, true, false},
		{ShareRead, ShareWrite, true, false},
		{ShareRead, ShareRead, false, false},
		{ShareWrite, 0, false, false},
		{both, both, false, false},
	}
	for _, tt := range tests {
		for typ, want := range map[Type]bool{Read: tt.read, Write: tt.write} {
			table := NewTable()
			me := newClient(table, "me")
			mustShare(t, table, key("f"), owner(table, "other"), tt.access, tt.deny)
			if _, ok := table.Grant(key("f"), Owner{me, "o"}, typ, nil); ok != want {
				t.Errorf("lease %d beside access %d deny %d: %v", typ, tt.access, tt.deny, ok)
			}
		}
	}
}

func TestLeasesExcludeEachOtherAsLocksDo(t *testing.T) {
	for _, tt := range []struct {
		first, second Type
		want          bool
	}{{Read, Read, true}, {Read, Write, false}, {Write, Read, false}, {Write, Write, false}} {
		table := NewTable()
		if _, ok := table.Grant(key("f"), owner(table, "a"), tt.first, nil); !ok {
			t.Fatal("the first was refused")
		}
		if _, ok := table.Grant(key("f"), owner(table, "b"), tt.second, nil); ok != tt.want {
			t.Errorf("%d after %d: %v", tt.second, tt.first, ok)
		}
	}
}

func TestAClientDoesNotBreakItsOwnLease(t *testing.T) {
	table := NewTable()
	c := newClient(table, "c")
	mustShare(t, table, key("f"), Owner{c, "1"}, both, 0)
	l, ok := table.Grant(key("f"), Owner{c, "1"}, Write, func() { t.Error("recalled") })
	if !ok {
		t.Fatal("refused because of an open of the same client")
	}
	mustShare(t, table, key("f"), Owner{c, "2"}, both, 0)
	if err := table.BreakLeases(key("f"), Owner{c, "3"}, true); err != nil {
		t.Error(err)
	}
	l.Return()
	l.Return()
	table.ReleaseClient(c)
	mustBeEmpty(t, table)
}

func TestConflictRecallsALeaseOnceAndWaitsForItsReturn(t *testing.T) {
	open := func(access, deny Share) func(*Table, Owner) error {
		return func(tb *Table, o Owner) error { return tb.SetShare(ctx, key("f"), o, access, deny) }
	}
	breaks := func(write bool) func(*Table, Owner) error {
		return func(tb *Table, o Owner) error { return tb.BreakLeases(key("f"), o, write) }
	}
	tests := []struct {
		name  string
		lease Type
		do    func(*Table, Owner) error
		want  error
	}{
		{"reading beside a read lease", Read, open(ShareRead, 0), nil},
		{"reading and denying writes", Read, open(ShareRead, ShareWrite), nil},
		{"reading and denying reads", Read, open(ShareRead, ShareRead), ErrLeaseBreaking},
		{"writing beside a read lease", Read, open(ShareWrite, 0), ErrLeaseBreaking},
		{"reading beside a write lease", Write, open(ShareRead, 0), ErrLeaseBreaking},
		{"getting attributes beside a read lease", Read, breaks(false), nil},
		{"removing beside a read lease", Read, breaks(true), ErrLeaseBreaking},
		{"getting attributes beside a write lease", Write, breaks(false), ErrLeaseBreaking},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := NewTable()
			recalled := 0
			l, _ := table.Grant(key("f"), owner(table, "holder"), tt.lease, func() {
				recalled++
				table.HasLocks(key("f"), Owner{}) // deadlocks if called with a lock held
			})
			other := owner(table, "other")
			for range 3 {
				if err := tt.do(table, other); !errors.Is(err, tt.want) {
					t.Fatalf("%v, want %v", err, tt.want)
				}
			}
			if want := map[bool]int{true: 1}[tt.want != nil]; recalled != want {
				t.Errorf("recalled %d times, want %d", recalled, want)
			}
			l.Return()
			if err := tt.do(table, other); err != nil {
				t.Errorf("after the return: %v", err)
			}
			table.SetShare(ctx, key("f"), other, 0, 0)
			mustBeEmpty(t, table)
		})
	}
}

// The holder may give the lease back from within recall.
func TestLeaseReturnedByRecallItself(t *testing.T) {
	table := NewTable()
	var l *Lease
	l, _ = table.Grant(key("f"), owner(table, "holder"), Write, func() { l.Return() })
	other := owner(table, "other")
	if err := table.SetShare(ctx, key("f"), other, ShareRead, 0); !errors.Is(err, ErrLeaseBreaking) {
		t.Errorf("the first try: %v", err)
	}
	mustShare(t, table, key("f"), other, ShareRead, 0)
}
