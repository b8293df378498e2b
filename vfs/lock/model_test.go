package lock

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// cells is how many bytes the model has; the last one stands for all bytes to
// the end of the file.
const cells = 24

// model is byte-range locks as a naive reader of fcntl(2) would do them: for
// each byte, what each owner has of it.
type model struct {
	owners []Owner
	bytes  [][cells]Type
}

func (m *model) conflicts(who int, first, last int, typ Type) bool {
	for o := range m.owners {
		for c := first; c <= last; c++ {
			has := m.bytes[o][c]
			if o != who && (has == Write || has == Read && typ == Write) {
				return true
			}
		}
	}
	return false
}

func (m *model) set(who int, first, last int, typ Type) {
	for c := first; c <= last; c++ {
		m.bytes[who][c] = typ
	}
}

func rangeOf(first, last int) Range {
	if last == cells-1 {
		return Range{uint64(first), eof}
	}
	return Range{uint64(first), uint64(last)}
}

// held returns an owner's locks, each as long as it can be.
func (m *model) held(who int) (held []Holder) {
	for c := 0; c < cells; {
		first, typ := c, m.bytes[who][c]
		for c++; c < cells && m.bytes[who][c] == typ; c++ {
		}
		if typ != none {
			held = append(held, Holder{m.owners[who], rangeOf(first, c-1), typ})
		}
	}
	return held
}

func TestByteRangesAreAsInANaiveModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runModel(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func runModel(t *testing.T, rnd *rand.Rand) {
	table := NewTable()
	m := &model{}
	// Owners of one client conflict like any others.
	c1, c2 := newClient(table, "1"), newClient(table, "2")
	for i, c := range []*client{c1, c1, c2, c2} {
		var bytes [cells]Type
		for b := range bytes {
			bytes[b] = none
		}
		m.owners, m.bytes = append(m.owners, Owner{c, fmt.Sprint(i)}), append(m.bytes, bytes)
	}
	for range 400 {
		who := rnd.IntN(len(m.owners))
		first := rnd.IntN(cells)
		last := min(cells-1, first+rnd.IntN(1+rnd.IntN(cells)))
		typ := Type(rnd.IntN(2))
		r := rangeOf(first, last)
		switch rnd.IntN(10) {
		case 0, 1, 2, 3:
			table.Unlock(key("f"), m.owners[who], r)
			m.set(who, first, last, none)
		case 4:
			h, err := table.Test(ctx, key("f"), m.owners[who], r, typ)
			m.check(t, who, r, typ, m.conflicts(who, first, last, typ), h, err)
		default:
			refused := m.conflicts(who, first, last, typ)
			h, err := table.Lock(ctx, key("f"), m.owners[who], r, typ)
			m.check(t, who, r, typ, refused, h, err)
			if !refused {
				m.set(who, first, last, typ)
			}
		}
		m.compare(t, table)
	}
	for _, o := range m.owners {
		table.ReleaseOwner(key("f"), o)
	}
	mustBeEmpty(t, table)
}

// check compares the answer of Lock or Test with what the model expects.
func (m *model) check(t *testing.T, who int, r Range, typ Type, refused bool, h *Holder, err error) {
	t.Helper()
	if err != nil || refused != (h != nil) {
		t.Fatalf("%v %v: holder %v, error %v; refused should be %v", r, typ, h, err, refused)
	}
	if h == nil {
		return
	}
	if h.Owner == m.owners[who] || !h.Range.overlaps(r) || typ == Read && h.Type == Read {
		t.Fatalf("%v is not in the way of %v %v", *h, r, typ)
	}
	if !slices.Contains(m.held(slices.Index(m.owners, h.Owner)), *h) {
		t.Fatalf("nobody holds %v", *h)
	}
}

// compare compares everything the table knows with the model.
func (m *model) compare(t *testing.T, table *Table) {
	t.Helper()
	got := map[Owner][]Holder{}
	for _, e := range table.Snapshot() {
		got[e.Owner] = append(got[e.Owner], Holder{e.Owner, e.Range, e.Type})
	}
	for who, o := range m.owners {
		want := m.held(who)
		if !slices.Equal(got[o], want) {
			t.Fatalf("owner %s holds %v, want %v", o.Name, got[o], want)
		}
		if table.HasLocks(key("f"), o) != (len(want) > 0) {
			t.Fatalf("HasLocks(%s) is wrong", o.Name)
		}
		if table.index.holds(o) != (len(want) > 0) {
			t.Fatalf("the index is wrong about %s", o.Name)
		}
	}
}
