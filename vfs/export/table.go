package export

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// Table is the exports that are served. Reading takes no lock: a request that
// is under way goes on with the export it found when Replace comes in between.
type Table struct {
	now atomic.Pointer[snapshot]
}

// snapshot is never changed after it was stored.
type snapshot struct {
	list   []*Export // by name
	byName map[string]*Export
	byID   map[uint32]*Export
}

// NewTable makes a table of these exports, under the conditions of Replace.
func NewTable(exports []*Export) (*Table, error) {
	t := new(Table)
	if err := t.Replace(exports); err != nil {
		return nil, err
	}
	return t, nil
}

// Replace serves these exports from now on and no others. Names must be valid
// (see CheckName), and names and ids different from each other and ids from 0;
// otherwise nothing changes. It closes nothing: the caller knows which file
// systems are no longer served and when requests on them have ended.
func (t *Table) Replace(exports []*Export) error {
	s := &snapshot{
		list:   slices.Clone(exports),
		byName: make(map[string]*Export, len(exports)),
		byID:   make(map[uint32]*Export, len(exports)),
	}
	for _, e := range s.list {
		if err := CheckName(e.Name); err != nil {
			return err
		}
		if e.ID == 0 {
			return fmt.Errorf("export %q has id 0, which is reserved", e.Name)
		}
		if s.byName[e.Name] != nil {
			return fmt.Errorf("export %q is there twice", e.Name)
		}
		if other := s.byID[e.ID]; other != nil {
			return fmt.Errorf("exports %q and %q have the same id %d", other.Name, e.Name, e.ID)
		}
		s.byName[e.Name], s.byID[e.ID] = e, e
	}
	slices.SortFunc(s.list, func(a, b *Export) int { return strings.Compare(a.Name, b.Name) })
	t.now.Store(s)
	return nil
}

// List returns the exports sorted by name. The slice is shared and must not be
// modified.
func (t *Table) List() []*Export { return t.now.Load().list }

// ByName returns the export of that name, nil if there is none.
func (t *Table) ByName(name string) *Export { return t.now.Load().byName[name] }

// ByID returns the export of that id, nil if there is none.
func (t *Table) ByID(id uint32) *Export { return t.now.Load().byID[id] }
