package p9fs

import (
	"slices"
	"testing"

	"github.com/hugelgupf/p9/fsimpl/templatefs"
	"github.com/hugelgupf/p9/p9"
)

// inert is a File that can be closed.
type inert struct {
	templatefs.NoopFile
	templatefs.XattrUnimplemented
	templatefs.NotLockable
	p9.DefaultWalkGetAttr
}

func testTable() *table { return newTable(100, 100, 1, newFID(inert{}, nil)) }

// at makes an entry known at a place, as an operation does that met it there.
func (t *table) at(id uint64, dir *entry, name string) *entry {
	e := t.adopt(id, place{dir, name}, newFID(inert{}, nil))
	t.release(e)
	return e
}

func TestDirectoriesThatOthersMovedMakeNoCircle(t *testing.T) {
	table := testTable()
	a := table.at(2, table.root, "a")
	b := table.at(3, a, "b")
	table.at(4, b, "file")
	// Others take b out of a, and move a into it.
	table.at(2, b, "a")
	if top := table.climb(a, nil); top != b {
		t.Errorf("the way up from a ends at %d, want b", top.id)
	}
	table.at(3, table.root, "b")
	if top := table.climb(a, nil); top != table.root {
		t.Errorf("the way up from a ends at %d, want the root", top.id)
	}
	if len(a.places) != 1 || len(b.places) != 1 || table.root.kids != 1 {
		t.Errorf("a has %d places, b %d, the root %d entries", len(a.places), len(b.places), table.root.kids)
	}
}

func TestAFileIsKnownByItsLastNames(t *testing.T) {
	table := testTable()
	var e *entry
	for i := range maxPlaces + 1 {
		e = table.at(2, table.root, string(rune('a'+i)))
	}
	if slices.Contains(e.places, place{table.root, "a"}) || len(e.places) != maxPlaces {
		t.Errorf("places %v", e.places)
	}
}

func TestANumberThatIsGivenAgainMakesAnotherNode(t *testing.T) {
	table := testTable()
	old := table.at(2, table.root, "a")
	table.unnamed(old, place{table.root, "a"}, true)
	if e := table.at(2, table.root, "b"); e == old || e.born != 1 {
		t.Errorf("born %d", e.born)
	}
	if _, err := table.use(2, 0); err == nil {
		t.Error("the old node leads to the new one")
	}
}
