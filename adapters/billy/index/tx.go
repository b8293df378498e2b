package index

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Tx reads the table and, in an Update, writes it. It is valid until the
// function that got it returns.
type Tx struct {
	t      *Table
	writes map[string][]byte // nil in a View
}

func recordKey(ino uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{keyRecord}, ino))
}

func nameKey(n Name) string {
	return string(append(binary.BigEndian.AppendUint64([]byte{keyName}, n.Dir), n.Name...))
}

func ownKey(own uint64) string {
	return string(binary.BigEndian.AppendUint64([]byte{keyOwn}, own))
}

// get returns the value of a key, nil if there is none.
func (tx *Tx) get(key string) ([]byte, error) {
	v, staged := tx.pending(key)
	if staged {
		return v, nil
	}
	return tx.t.bucket.Get([]byte(key))
}

// pending returns the value of a key that is not committed yet.
func (tx *Tx) pending(key string) (value []byte, ok bool) {
	for _, m := range []map[string][]byte{tx.writes, tx.t.staged, tx.t.flying} {
		if v, ok := m[key]; ok {
			return v, true
		}
	}
	return nil, false
}

// version is what must be committed for all that the Tx sees to be durable.
func (tx *Tx) version() uint64 {
	if tx.writes != nil {
		return tx.t.version + 1
	}
	return tx.t.version
}

// Node returns the record of a number, ErrUnknown if there is none.
func (tx *Tx) Node(ino uint64) (*Record, error) {
	b, err := tx.get(recordKey(ino))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, ErrUnknown
	}
	return decodeRecord(ino, b)
}

// Lookup returns what a name leads to; ok is false if the table does not know
// the name.
func (tx *Tx) Lookup(n Name) (e Entry, ok bool, err error) {
	key := nameKey(n)
	b, err := tx.get(key)
	if err != nil || b == nil {
		return Entry{}, false, err
	}
	e, err = decodeEntry(b)
	if _, ok := tx.pending(key); ok {
		e.Since = tx.version()
	}
	return e, err == nil, err
}

// ByOwn returns the record of the node that the file system itself calls own,
// ErrUnknown if there is none.
func (tx *Tx) ByOwn(own uint64) (*Record, error) {
	b, err := tx.get(ownKey(own))
	if err != nil {
		return nil, err
	}
	if len(b) != 8 {
		return nil, ErrUnknown
	}
	return tx.Node(binary.BigEndian.Uint64(b))
}

// Path returns the names that lead from the root to a node: by the first of
// its own, if it has several. ErrUnknown if it has none.
func (tx *Tx) Path(r *Record) ([]string, error) {
	var path []string
	for r.Ino != Root {
		if len(r.Names) == 0 {
			return nil, ErrUnknown
		}
		path = append(path, r.Names[0].Name)
		var err error
		if r, err = tx.Node(r.Names[0].Dir); err != nil {
			return nil, err
		}
	}
	slices.Reverse(path)
	return path, nil
}

// Within reports whether the node ino is dir or lies somewhere below it.
func (tx *Tx) Within(ino, dir uint64) (bool, error) {
	for ino != dir {
		if ino == Root {
			return false, nil
		}
		r, err := tx.Node(ino)
		if err != nil {
			return false, err
		}
		if len(r.Names) == 0 {
			return false, nil
		}
		ino = r.Names[0].Dir
	}
	return true, nil
}

// Entries returns what the table knows of a directory's entries, by name.
func (tx *Tx) Entries(dir uint64) (map[string]Entry, error) {
	prefix := nameKey(Name{Dir: dir})
	found := make(map[string]Entry)
	err := tx.t.bucket.ForEach([]byte(prefix), func(key, value []byte) error {
		e, err := decodeEntry(value)
		found[string(key[len(prefix):])] = e
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, m := range []map[string][]byte{tx.t.flying, tx.t.staged, tx.writes} {
		for key, value := range m {
			name, ok := strings.CutPrefix(key, prefix)
			switch {
			case !ok:
			case value == nil:
				delete(found, name)
			default:
				e, err := decodeEntry(value)
				if err != nil {
					return nil, err
				}
				e.Since = tx.version()
				found[name] = e
			}
		}
	}
	return found, nil
}

// number returns one that was never given before.
func (tx *Tx) number() uint64 {
	tx.t.last++
	return tx.t.last
}

// NextChange returns a change attribute above all that were ever told.
func (tx *Tx) NextChange() uint64 {
	tx.t.change++
	return tx.t.change
}

// Add makes a node with a new number and r's names, and returns its entry
// under the first of them. r.Ino and r.Tag are set.
func (tx *Tx) Add(r *Record) (Entry, error) {
	if r.Ino == 0 {
		r.Ino = tx.number()
	}
	var tag [8]byte
	rand.Read(tag[:]) // never fails
	r.Tag = binary.BigEndian.Uint64(tag[:])
	r.Change = tx.NextChange()
	tx.Put(r)
	e := Entry{Ino: r.Ino, Cookie: r.Ino, Since: tx.version()}
	for _, n := range r.Names {
		if err := tx.vacate(n); err != nil {
			return e, err
		}
		tx.writes[nameKey(n)] = e.encode()
	}
	if r.Own != 0 {
		tx.writes[ownKey(r.Own)] = binary.BigEndian.AppendUint64(nil, r.Ino)
	}
	return e, nil
}

// Put changes a record but for its names.
func (tx *Tx) Put(r *Record) { tx.writes[recordKey(r.Ino)] = r.encode() }

// Name gives a node a further name. Whatever has the name loses it.
func (tx *Tx) Name(r *Record, n Name) (Entry, error) {
	if err := tx.vacate(n); err != nil {
		return Entry{}, err
	}
	e := Entry{Ino: r.Ino, Cookie: tx.number(), Since: tx.version()}
	r.Names = append(r.Names, n)
	tx.writes[nameKey(n)] = e.encode()
	tx.Put(r)
	return e, nil
}

// vacate takes a name away from the node that has it, and the node with it if
// that was its last one.
func (tx *Tx) vacate(n Name) error {
	e, ok, err := tx.Lookup(n)
	if err != nil || !ok {
		return err
	}
	old, err := tx.Node(e.Ino)
	if errors.Is(err, ErrUnknown) {
		return nil
	}
	if err != nil {
		return err
	}
	tx.Unname(old, n)
	if len(old.Names) == 0 && !old.Removed {
		return tx.Forget(old)
	}
	return nil
}

// Unname takes a name away from a node, which may have none then.
func (tx *Tx) Unname(r *Record, n Name) {
	r.Names = slices.DeleteFunc(r.Names, func(m Name) bool { return m == n })
	tx.writes[nameKey(n)] = nil
	tx.Put(r)
}

// Forget takes a node away with all of its names. Its number never comes back.
func (tx *Tx) Forget(r *Record) error {
	for _, n := range r.Names {
		tx.writes[nameKey(n)] = nil
	}
	tx.writes[recordKey(r.Ino)] = nil
	if r.Own == 0 {
		return nil
	}
	key := ownKey(r.Own)
	b, err := tx.get(key)
	if err == nil && len(b) == 8 && binary.BigEndian.Uint64(b) == r.Ino { // not another node's by now
		tx.writes[key] = nil
	}
	return err
}

// Move is a rename that is about to be made, or that a crash cut short.
type Move struct {
	Ino      uint64
	From, To Name
}

// SetMove notes the rename that is about to be made; nil that it is over.
func (tx *Tx) SetMove(m *Move) {
	if m == nil {
		tx.writes[string(keyMove)] = nil
		return
	}
	r := Record{Names: []Name{m.From, m.To}}
	tx.writes[string(keyMove)] = append(binary.BigEndian.AppendUint64(nil, m.Ino), r.encode()...)
}

// Move returns the rename that was being made, nil if there is none.
func (tx *Tx) Move() (*Move, error) {
	b, err := tx.get(string(keyMove))
	if err != nil || len(b) < 8 {
		return nil, err
	}
	r, err := decodeRecord(0, b[8:])
	if err != nil || len(r.Names) != 2 {
		return nil, err
	}
	return &Move{binary.BigEndian.Uint64(b), r.Names[0], r.Names[1]}, nil
}

// Old returns the numbers of the nodes that nobody has named since day, as of
// the last Flush.
func (tx *Tx) Old(day uint32) ([]uint64, error) {
	var old []uint64
	err := tx.t.bucket.ForEach([]byte{keyRecord}, func(key, value []byte) error {
		ino := binary.BigEndian.Uint64(key[1:])
		r, err := decodeRecord(ino, value)
		if err == nil && r.Seen < day && ino != Root {
			old = append(old, ino)
		}
		return err
	})
	return old, err
}

// Removed returns the nodes that had lost their last name when the process
// ended.
func (tx *Tx) Removed() ([]*Record, error) {
	var removed []*Record
	err := tx.t.bucket.ForEach([]byte{keyRecord}, func(key, value []byte) error {
		r, err := decodeRecord(binary.BigEndian.Uint64(key[1:]), value)
		if err == nil && r.Removed {
			removed = append(removed, r)
		}
		return err
	})
	return removed, err
}
