// Package index remembers what a file system that knows only paths cannot: a
// number for every node, under which names it is found, and the attributes
// that the file system has no place for.
//
// A [Record] belongs to a number. A name is a pair of the directory's number
// and the entry's name, so that the rename of a directory changes one record
// whatever lies below it. Numbers only grow and are never given twice; a random
// tag beside each tells the nodes of one table from those of another.
//
// Changes are staged in memory, where every later read finds them, and become
// durable together with [Table.Commit]: those who commit at the same time share
// one fsync. Nothing that follows from a change may leave the process before it
// is committed, or a crash could give a number a second meaning. A kill between
// the two is safe: what was staged has never been seen by anybody.
//
// The table lives in a database of package state, in a directory of its own or
// in memory.
package index

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
)

const (
	// Root is the number of the top directory.
	Root = 2
	// first is the lowest number of other nodes. It leaves room below for
	// the cookies that NFS reserves (RFC 8881 §18.23.3).
	first = 16
)

// ErrUnknown says that the table has no such number.
var ErrUnknown = vfs.Errorf(vfs.ESTALE, "no such number")

// Keys, by their first byte.
const (
	keyRecord = 'i' // number, 8 bytes big endian → Record
	keyName   = 'n' // number of the directory, name → Entry
	keyOwn    = 'o' // number that the file system itself gives → number
	keyMeta   = 'm' // → meta
	keyMove   = 'r' // → Move
)

// Table is an open index. Its methods may be called from many goroutines at
// once.
type Table struct {
	store    *state.Store
	bucket   *state.Bucket
	volatile bool // it ends with the process
	meta     meta // but last as it was at Open

	// flush is held while a group of changes is committed. It comes before
	// mu, which guards what follows and is never held for a commit.
	flush   sync.Mutex
	mu      sync.RWMutex
	last    uint64            // the last number given
	change  uint64            // the last change attribute given
	staged  map[string][]byte // changes since the last commit began; nil deletes
	flying  map[string][]byte // changes that are being committed
	version uint64            // counts the Updates
	durable uint64            // how many of them are committed
}

// meta is what a table knows of itself.
type meta struct {
	last  uint64 // number given
	floor uint64 // see Floor
	clean bool   // it was closed, and not since opened
}

// Open opens the table in dir, which it makes if need be and which belongs to
// it alone. With dir "" the table ends with the process.
func Open(dir string) (*Table, error) {
	store, err := state.Open(dir)
	if err != nil {
		return nil, err
	}
	t := &Table{store: store, bucket: store.Bucket("index"), volatile: dir == "", staged: make(map[string][]byte)}
	if err := t.start(); err != nil {
		store.Close()
		return nil, err
	}
	return t, nil
}

// start reads what the last process left.
func (t *Table) start() error {
	b, err := t.bucket.Get([]byte{keyMeta})
	if err != nil {
		return err
	}
	epoch := t.store.BootCount() << 32
	t.change = epoch
	t.meta = meta{last: first}
	if b != nil {
		if t.meta, err = decodeMeta(b); err != nil {
			return err
		}
		if !t.meta.clean {
			// Changes may have been told whose records were only staged.
			t.meta.floor = epoch
		}
	}
	t.meta.clean = false
	t.last = t.meta.last
	return t.bucket.Put([]byte{keyMeta}, t.meta.encode())
}

// Close makes everything durable and gives the table back. No call is under
// way and none follows.
func (t *Table) Close() error {
	t.meta.clean = true
	t.version++ // for the next line to have something to do
	err := t.Flush()
	return errors.Join(err, t.store.Close())
}

// Floor is the least change attribute that may be told: a record with a lower
// one is from before a crash that may have lost later ones.
func (t *Table) Floor() uint64 { return t.meta.floor }

// Starts is how often the table was opened, this time included.
func (t *Table) Starts() uint64 { return t.store.BootCount() }

// View runs read on the table as it is at one moment.
func (t *Table) View(read func(*Tx) error) error {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return read(&Tx{t: t})
}

// Update runs change and stages what it writes. When it fails nothing is
// staged.
func (t *Table) Update(change func(*Tx) error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	tx := &Tx{t: t, writes: make(map[string][]byte)}
	last := t.last
	if err := change(tx); err != nil {
		t.last = last
		return err
	}
	maps.Copy(t.staged, tx.writes)
	t.version++
	return nil
}

// backlog is how many changes may be staged before somebody commits them.
const backlog = 8 << 10

// Full reports that so much is staged that it is time for a Commit even though
// nobody needs one.
func (t *Table) Full() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return len(t.staged) > backlog
}

// Commit returns when everything staged before is as durable as the table is.
func (t *Table) Commit() error {
	t.mu.RLock()
	version := t.version
	t.mu.RUnlock()
	return t.CommitTo(version)
}

// CommitTo returns when what an Entry's Since says is as durable as the table
// is.
func (t *Table) CommitTo(version uint64) error {
	t.mu.RLock()
	done := t.durable >= version || t.volatile && len(t.staged) <= backlog
	t.mu.RUnlock()
	if done {
		return nil
	}
	return t.flushTo(version)
}

// Flush has everything in the database, where Old looks.
func (t *Table) Flush() error {
	t.mu.RLock()
	version := t.version
	t.mu.RUnlock()
	return t.flushTo(version)
}

func (t *Table) flushTo(version uint64) error {
	t.flush.Lock()
	defer t.flush.Unlock()
	t.mu.Lock()
	if t.durable >= version { // by somebody else's commit
		t.mu.Unlock()
		return nil
	}
	t.flying, t.staged = t.staged, make(map[string][]byte)
	version = t.version
	now := t.meta
	now.last = t.last
	t.flying[string(keyMeta)] = now.encode()
	t.mu.Unlock()

	err := t.bucket.Apply(changes(t.flying)) // nobody writes to flying

	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.durable, t.flying = version, nil
		return nil
	}
	for key, value := range t.flying { // the next one tries again
		if _, newer := t.staged[key]; !newer {
			t.staged[key] = value
		}
	}
	t.flying = nil
	return err
}

// changes are those of a group, in the order in which the database likes them.
func changes(group map[string][]byte) []state.Change {
	list := make([]state.Change, 0, len(group))
	for key, value := range group {
		list = append(list, state.Change{Key: []byte(key), Value: value})
	}
	slices.SortFunc(list, func(a, b state.Change) int { return bytes.Compare(a.Key, b.Key) })
	return list
}

func (m meta) encode() []byte {
	b := binary.BigEndian.AppendUint64(nil, m.last)
	b = binary.BigEndian.AppendUint64(b, m.floor)
	if m.clean {
		return append(b, 1)
	}
	return append(b, 0)
}

func decodeMeta(b []byte) (meta, error) {
	if len(b) != 17 {
		return meta{}, fmt.Errorf("index of a file system: its head has %d bytes", len(b))
	}
	return meta{binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:]), b[16] != 0}, nil
}
