package index

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func openTable(t *testing.T, dir string) *Table {
	t.Helper()
	tab, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// crash opens what a kill at this moment would leave of the table in dir, which
// stays open.
func crash(t *testing.T, dir string) *Table {
	t.Helper()
	left := t.TempDir()
	b, err := os.ReadFile(filepath.Join(dir, "state.db"))
	if err == nil {
		err = os.WriteFile(filepath.Join(left, "state.db"), b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	tab := openTable(t, left)
	t.Cleanup(func() { closeTable(t, tab) })
	return tab
}

func closeTable(t *testing.T, tab *Table) {
	t.Helper()
	if err := tab.Close(); err != nil {
		t.Error(err)
	}
}

// add stages a node under a name in the root.
func add(t *testing.T, tab *Table, name string) (r *Record) {
	t.Helper()
	err := tab.Update(func(tx *Tx) error {
		r = &Record{Type: vfs.TypeRegular, Names: []Name{{Root, name}}}
		_, err := tx.Add(r)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func commit(t *testing.T, tab *Table) {
	t.Helper()
	if err := tab.Commit(); err != nil {
		t.Fatal(err)
	}
}

// lookup returns the number that a name in the root has, 0 if it has none.
func lookup(t *testing.T, tab *Table, name string) uint64 {
	t.Helper()
	var e Entry
	err := tab.View(func(tx *Tx) (err error) {
		e, _, err = tx.Lookup(Name{Root, name})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return e.Ino
}

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	for _, r := range []*Record{
		{Ino: 7, Names: []Name{{Root, "x"}}},
		{Ino: 1 << 60, Tag: 1, Own: 2, Type: vfs.TypeSocket, Removed: true, Seen: 3, Kept: vfs.AttrMode | KeptAtime | KeptMtime,
			Mode: 0o7777, UID: 1 << 31, GID: 5, Atime: vfs.Timespec{Sec: -1, Nsec: 999_999_999}, Mtime: vfs.Timespec{Sec: 1 << 40},
			MtimeBase: vfs.Timespec{Nsec: 1}, Ctime: vfs.Timespec{Sec: 2}, Btime: vfs.Timespec{Sec: 3}, Change: 1 << 50, State: 9,
			Names: []Name{{1, "a"}, {2, "b\xff\n"}}},
	} {
		got, err := decodeRecord(r.Ino, r.encode())
		if err != nil || !reflect.DeepEqual(got, r) {
			t.Errorf("%+v became %+v, %v", r, got, err)
		}
		for n := range r.encode() {
			if got, err := decodeRecord(r.Ino, r.encode()[:n]); err == nil && len(got.Names) == len(r.Names) {
				t.Errorf("%d bytes of %d are taken for all", n, len(r.encode()))
			}
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add((&Record{Names: []Name{{2, "name"}}}).encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := decodeRecord(1, b)
		if err != nil {
			return
		}
		again, err := decodeRecord(1, r.encode())
		if err != nil || !reflect.DeepEqual(r, again) {
			t.Errorf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestWhatIsStagedIsSeenAtOnceAndLostInACrash(t *testing.T) {
	dir := t.TempDir()
	tab := openTable(t, dir)
	defer closeTable(t, tab)
	kept := add(t, tab, "kept")
	commit(t, tab)
	lost := add(t, tab, "lost")
	if got := lookup(t, tab, "lost"); got != lost.Ino {
		t.Errorf("the staged name leads to %d, want %d", got, lost.Ino)
	}

	after := crash(t, dir)
	if got := lookup(t, after, "kept"); got != kept.Ino {
		t.Errorf("the committed name leads to %d, want %d", got, kept.Ino)
	}
	if got := lookup(t, after, "lost"); got != 0 {
		t.Errorf("the name that was only staged leads to %d", got)
	}
	// Its number may be given again, since nobody has seen it, and the tag
	// would tell the two apart if somebody had.
	if next := add(t, after, "next"); next.Ino == kept.Ino || next.Tag == lost.Tag {
		t.Errorf("a new node is %d with tag %x", next.Ino, next.Tag)
	}
}

func TestNumbersAreNeverGivenTwice(t *testing.T) {
	dir := t.TempDir()
	seen := map[uint64]bool{}
	for range 3 {
		tab := openTable(t, dir)
		for i := range 10 {
			r := add(t, tab, fmt.Sprint("name", i)) // which takes it from the one before
			if seen[r.Ino] || r.Ino < first {
				t.Errorf("number %d is given again", r.Ino)
			}
			seen[r.Ino] = true
		}
		closeTable(t, tab)
	}
}

func TestChangeAttributesGrowOverCrashes(t *testing.T) {
	dir := t.TempDir()
	tab := openTable(t, dir)
	if tab.Floor() != 0 {
		t.Errorf("a new table has floor %d", tab.Floor())
	}
	r := add(t, tab, "file")
	commit(t, tab)
	var told uint64
	err := tab.Update(func(tx *Tx) error { // which is not committed
		told = tx.NextChange()
		r.Change = told
		tx.Put(r)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if after := crash(t, dir); after.Floor() <= told {
		t.Errorf("%d was told, and after the crash the floor is %d", told, after.Floor())
	}
	closeTable(t, tab)
	tab = openTable(t, dir)
	defer closeTable(t, tab)
	if tab.Floor() != 0 {
		t.Errorf("after an orderly end the floor is %d", tab.Floor())
	}
}

func TestCommitsFromManyAreAllDurable(t *testing.T) {
	dir := t.TempDir()
	tab := openTable(t, dir)
	defer closeTable(t, tab)
	const writers, each = 8, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				add(t, tab, fmt.Sprint(w, ".", i))
				if err := tab.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	after := crash(t, dir)
	numbers := map[uint64]bool{}
	for w := range writers {
		for i := range each {
			numbers[lookup(t, after, fmt.Sprint(w, ".", i))] = true
		}
	}
	if len(numbers) != writers*each || numbers[0] {
		t.Errorf("%d numbers of %d", len(numbers), writers*each)
	}
}

func TestAFailedUpdateLeavesNothing(t *testing.T) {
	tab := openTable(t, "")
	defer closeTable(t, tab)
	err := tab.Update(func(tx *Tx) error {
		if _, err := tx.Add(&Record{Names: []Name{{Root, "name"}}}); err != nil {
			return err
		}
		return errors.New("changed my mind")
	})
	if err == nil || lookup(t, tab, "name") != 0 {
		t.Errorf("the name is there, %v", err)
	}
}

func TestEntriesAreWhatIsCommittedAndStaged(t *testing.T) {
	tab := openTable(t, t.TempDir())
	defer closeTable(t, tab)
	add(t, tab, "committed")
	gone := add(t, tab, "gone")
	commit(t, tab)
	add(t, tab, "staged")
	err := tab.Update(func(tx *Tx) error {
		if err := tx.Forget(gone); err != nil {
			return err
		}
		entries, err := tx.Entries(Root)
		if _, there := entries["gone"]; there || len(entries) != 2 {
			t.Errorf("within the update the entries are %v", entries)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = tab.View(func(tx *Tx) error {
		entries, err := tx.Entries(Root)
		if len(entries) != 2 || entries["committed"].Since != 0 || entries["staged"].Since == 0 {
			t.Errorf("the entries are %v", entries)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
