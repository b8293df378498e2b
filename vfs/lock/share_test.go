package lock

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

const both = ShareRead | ShareWrite

func TestShareConflicts(t *testing.T) {
	for access1 := range both + 1 {
		for deny1 := range both + 1 {
			for access2 := range both + 1 {
				for deny2 := range both + 1 {
					table := NewTable()
					a, b := owner(table, "a"), owner(table, "b")
					mustShare(t, table, key("f"), a, access1, deny1)
					err := table.SetShare(ctx, key("f"), b, access2, deny2)
					if want := access1&deny2 != 0 || access2&deny1 != 0; want != errors.Is(err, ErrShareConflict) {
						t.Errorf("access %d deny %d after access %d deny %d: %v", access2, deny2, access1, deny1, err)
					}
				}
			}
		}
	}
}

func TestAnOwnerDoesNotConflictWithItself(t *testing.T) {
	table := NewTable()
	a := owner(table, "a")
	mustShare(t, table, key("f"), a, both, both)
	mustShare(t, table, key("f"), a, ShareRead, ShareWrite)
	mustShare(t, table, key("f"), a, both, both)
	if err := table.CheckAccess(key("f"), a, both); err != nil {
		t.Error(err)
	}
	if err := table.CheckAccess(key("f"), Owner{}, ShareRead); !errors.Is(err, ErrShareConflict) {
		t.Errorf("anonymous access: %v", err)
	}
	mustShare(t, table, key("f"), a, 0, 0)
	if err := table.CheckAccess(key("f"), Owner{}, both); err != nil {
		t.Error(err)
	}
	mustBeEmpty(t, table)
}

func TestSetShareThatFailsChangesNothing(t *testing.T) {
	table := NewTable()
	a, b := owner(table, "a"), owner(table, "b")
	mustShare(t, table, key("f"), a, ShareRead, 0)
	mustShare(t, table, key("f"), b, ShareWrite, 0)
	if err := table.SetShare(ctx, key("f"), a, both, ShareWrite); !errors.Is(err, ErrShareConflict) {
		t.Fatal(err)
	}
	want := Entry{Key: key("f"), Owner: a, Kind: KindShare, Access: ShareRead}
	if got := table.Snapshot()[0]; got != want {
		t.Errorf("the share is %+v, want %+v", got, want)
	}
}

// As many owners as it takes to have them found by a map, and fewer again.
func TestSharesOfManyOwnersAreAsInANaiveModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	table := NewTable()
	type opened struct{ access, deny Share }
	model := map[Owner]opened{}
	var owners []Owner
	for i := range 3 * manyShares {
		owners = append(owners, owner(table, fmt.Sprint(i)))
	}
	for range 5000 {
		o := owners[rnd.IntN(len(owners))]
		var want opened
		if rnd.IntN(3) > 0 {
			want.access = Share(1 + rnd.IntN(3))
		}
		if want.access != 0 && rnd.IntN(20) == 0 {
			want.deny = Share(rnd.IntN(4))
		}
		conflict := false
		for other, has := range model {
			if other != o && (has.access&want.deny != 0 || has.deny&want.access != 0) {
				conflict = true
			}
		}
		err := table.SetShare(ctx, key("f"), o, want.access, want.deny)
		if errors.Is(err, ErrShareConflict) != conflict {
			t.Fatalf("%+v: %v, want a conflict: %v", want, err, conflict)
		}
		switch {
		case conflict:
		case want == opened{}:
			delete(model, o)
		default:
			model[o] = want
		}
	}
	got := table.Snapshot()
	if len(got) != len(model) {
		t.Errorf("%d shares, want %d", len(got), len(model))
	}
	for _, e := range got {
		if want := model[e.Owner]; want != (opened{e.Access, e.Deny}) {
			t.Errorf("%s has %+v, want %+v", e.Owner.Name, e, want)
		}
	}
	for _, o := range owners {
		table.ReleaseClient(o.Client)
	}
	mustBeEmpty(t, table)
}
