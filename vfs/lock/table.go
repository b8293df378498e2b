// Package lock decides what excludes what, for all protocols in one place:
// POSIX byte ranges (fcntl(2)), share reservations (NFSv4's OPEN with its deny
// modes) and leases (delegations).
//
// A [Table] knows files by [Key] and holders by [Owner], which is a [Client]
// of some protocol and a name that this protocol chose. A client that has
// fallen silent is asked whether it is only kept as a courtesy; if so, what it
// holds gives way to whoever wants it.
package lock

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
)

// Key is a file by identity: the export and the node's handle.
type Key struct {
	Export uint32
	Handle string
}

// Client is who holds locks: a client of one of the protocols. It must be
// comparable.
type Client interface {
	// String names protocol and client, for listings.
	String() string
	// Courtesy reports whether the client has been silent for longer than
	// its lease, so that it keeps what it holds only until somebody else
	// wants it.
	Courtesy() bool
	// Expire ends the courtesy: the client gives back everything by
	// ReleaseClient, or has come back to life meanwhile.
	Expire(ctx context.Context) error
}

// Owner is a holder of locks or shares. The zero Owner is nobody in
// particular: it holds nothing and everything conflicts with it.
type Owner struct {
	Client Client
	Name   string // chosen by the protocol
}

// Share is what a file is open for, or what an open denies to others.
type Share uint8

const (
	ShareRead  Share = 1
	ShareWrite Share = 2
)

// Type is the type of a lock or lease.
type Type uint8

const (
	Read  Type = iota // shared
	Write             // exclusive
)

// Holder is a byte-range lock that is held.
type Holder struct {
	Owner Owner
	Range Range
	Type  Type
}

var (
	// ErrShareConflict means that another open denies the access asked
	// for, or has the access that was to be denied.
	ErrShareConflict = errors.New("another open of the file excludes this one")
	// ErrLeaseBreaking means that a lease is in the way and its holder has
	// been asked to give it back: try again later.
	ErrLeaseBreaking = errors.New("a lease on the file is being recalled")
)

// Table holds all locks. Its methods may be called from many goroutines; none
// calls a Client, or a function it was given, with a lock of its own held.
type Table struct {
	seed   maphash.Seed
	shards [64]shard

	// waiting serialises what can close a circle of waiters: it is taken
	// before shard.mu.
	waiting sync.Mutex
	waits   map[Owner]*waiter

	// index lists the files a client has something of. It is taken after
	// shard.mu and is a leaf.
	index   sync.Mutex
	clients map[Client]map[Key]int
}

type shard struct {
	mu    sync.Mutex
	files map[Key]*file
}

// NewTable returns an empty table.
func NewTable() *Table {
	t := &Table{seed: maphash.MakeSeed(), waits: make(map[Owner]*waiter), clients: make(map[Client]map[Key]int)}
	for i := range t.shards {
		t.shards[i].files = make(map[Key]*file)
	}
	return t
}

func (t *Table) shard(k Key) *shard {
	return &t.shards[(maphash.String(t.seed, k.Handle)^uint64(k.Export))%uint64(len(t.shards))]
}

// on runs f on the file's state with its shard locked, and afterwards what f
// left to be called without.
func (t *Table) on(k Key, f func(*file)) {
	s := t.shard(k)
	s.mu.Lock()
	fl := s.files[k]
	if fl == nil {
		fl = &file{table: t, key: k}
		s.files[k] = fl
	}
	f(fl)
	later := fl.later
	fl.later = nil
	if fl.empty() {
		delete(s.files, k)
	}
	s.mu.Unlock()
	for _, call := range later {
		call()
	}
}

// settle runs try on the file until what stands in its way is no courtesy: it
// returns the owner in the way, or a zero Owner.
func (t *Table) settle(ctx context.Context, k Key, try func(*file) Owner) error {
	for {
		var blocker Owner
		t.on(k, func(f *file) { blocker = try(f) })
		if blocker.Client == nil || !blocker.Client.Courtesy() {
			return nil
		}
		if err := blocker.Client.Expire(ctx); err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// count notes that a client has one thing more, or less, of a file.
func (t *Table) count(c Client, k Key, by int) {
	if c == nil {
		return
	}
	t.index.Lock()
	defer t.index.Unlock()
	keys := t.clients[c]
	if keys == nil {
		keys = make(map[Key]int)
		t.clients[c] = keys
	}
	if keys[k] += by; keys[k] == 0 {
		delete(keys, k)
		if len(keys) == 0 {
			delete(t.clients, c)
		}
	}
}

// ReleaseClient gives back everything a client holds or waits for.
func (t *Table) ReleaseClient(c Client) {
	t.index.Lock()
	keys := make([]Key, 0, len(t.clients[c]))
	for k := range t.clients[c] {
		keys = append(keys, k)
	}
	t.index.Unlock()
	for _, k := range keys {
		t.on(k, func(f *file) { f.releaseClient(c) })
	}
}

// SetShare makes access and deny what owner has of the file, in the place of
// what it had; zeroes take it away. It fails with ErrShareConflict and changes
// nothing if another open excludes it.
func (t *Table) SetShare(ctx context.Context, k Key, owner Owner, access, deny Share) error {
	var err error
	e := t.settle(ctx, k, func(f *file) Owner {
		var blocker Owner
		blocker, err = f.setShare(owner, access, deny)
		return blocker
	})
	if e != nil {
		return e
	}
	return err
}

// CheckAccess fails with ErrShareConflict if an open of another owner denies
// the access.
func (t *Table) CheckAccess(k Key, owner Owner, access Share) error {
	var err error
	e := t.settle(context.Background(), k, func(f *file) Owner {
		blocker := f.shareConflict(owner, access, 0)
		err = nil
		if blocker != (Owner{}) {
			err = ErrShareConflict
		}
		return blocker
	})
	if e != nil {
		return e
	}
	return err
}

// Lock sets a lock, in the place of what owner holds of these bytes. If a lock
// of another owner is in the way that is returned and nothing changes.
func (t *Table) Lock(ctx context.Context, k Key, owner Owner, r Range, typ Type) (*Holder, error) {
	var holder *Holder
	err := t.settle(ctx, k, func(f *file) Owner {
		if holder = f.conflict(owner, r, typ); holder != nil {
			return holder.Owner
		}
		f.set(owner, r, typ)
		return Owner{}
	})
	if err != nil {
		return nil, err
	}
	return holder, nil
}

// Test returns a lock that would be in the way of Lock, nil if there is none.
func (t *Table) Test(ctx context.Context, k Key, owner Owner, r Range, typ Type) (*Holder, error) {
	var holder *Holder
	err := t.settle(ctx, k, func(f *file) Owner {
		if holder = f.conflict(owner, r, typ); holder != nil {
			return holder.Owner
		}
		return Owner{}
	})
	return holder, err
}

// Unlock gives back the bytes of r that owner holds, if any.
func (t *Table) Unlock(k Key, owner Owner, r Range) error {
	t.on(k, func(f *file) { f.clear(owner, r) })
	return nil
}

// HasLocks reports whether owner holds a byte-range lock on the file.
func (t *Table) HasLocks(k Key, owner Owner) bool {
	has := false
	t.on(k, func(f *file) { has = f.held[owner] != nil })
	return has
}

// ReleaseOwner gives back the byte-range locks of an owner on a file.
func (t *Table) ReleaseOwner(k Key, owner Owner) {
	t.on(k, func(f *file) { f.clear(owner, whole) })
}
