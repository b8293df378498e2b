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

	"github.com/fsva/fsva/vfs"
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
//
// Locks are taken in the order sharedFile.mu, waiting, beneath.mu, one shard.mu,
// index.mu.
type Table struct {
	seed    maphash.Seed
	shards  [64]shard
	index   index
	beneath beneath

	// waiting makes one of the search for a circle of waiters and the start
	// of the wait that might close it.
	waiting sync.Mutex
	waits   map[Owner]*waiter
}

// shard is the files whose keys have the same hash.
type shard struct {
	index *index

	mu    sync.Mutex
	files map[Key]*file // those of which anything is held or waited for
	later []func()      // to call when mu is unlocked
}

// NewTable returns an empty table.
func NewTable(options ...func(*Table)) *Table {
	t := &Table{seed: maphash.MakeSeed(), waits: make(map[Owner]*waiter)}
	t.index.clients = make(map[Client]*holdings)
	t.beneath.files = make(map[Key]*sharedFile)
	for _, o := range options {
		o(t)
	}
	for i := range t.shards {
		t.shards[i].index = &t.index
		t.shards[i].files = make(map[Key]*file)
	}
	return t
}

func (t *Table) shard(k Key) *shard {
	return &t.shards[maphash.Comparable(t.seed, k)%uint64(len(t.shards))]
}

// on runs do on the file's state with its shard locked, and afterwards what do
// left to be called without.
func (t *Table) on(k Key, do func(*file)) {
	s := t.shard(k)
	s.mu.Lock()
	f := s.files[k]
	if f == nil {
		f = &file{shard: s, key: k}
		s.files[k] = f
	}
	s.finish(f, do)
}

// peek is on for what has nothing to do if nothing is held of the file.
func (t *Table) peek(k Key, do func(*file)) {
	s := t.shard(k)
	s.mu.Lock()
	f := s.files[k]
	if f == nil {
		s.mu.Unlock()
		return
	}
	s.finish(f, do)
}

// finish is the rest of on and peek. It unlocks s.mu.
func (s *shard) finish(f *file, do func(*file)) {
	do(f)
	if f.trim() {
		delete(s.files, f.key)
	}
	later := s.later
	s.later = nil
	s.mu.Unlock()
	for _, call := range later {
		call()
	}
}

// settle runs try until what stands in its way is no courtesy, and returns its
// last error. try returns the owner in the way, or a zero Owner.
func (t *Table) settle(ctx context.Context, try func() (Owner, error)) error {
	for {
		by, err := try()
		if by == (Owner{}) {
			return err
		}
		expired, e := expire(ctx, by.Client)
		if e != nil {
			return e
		}
		if !expired {
			return err
		}
		if e := ctx.Err(); e != nil {
			return e
		}
	}
}

// expire ends the courtesy of a client; false if it is none. No lock is held.
func expire(ctx context.Context, c Client) (bool, error) {
	if c == nil || !c.Courtesy() {
		return false, nil
	}
	return true, c.Expire(ctx)
}

// ReleaseClient gives back everything a client holds or waits for. What the
// client asks for at the same time may come after it: the protocol has to
// refuse that, or give it back.
func (t *Table) ReleaseClient(c Client) {
	for _, f := range t.index.files(c) {
		t.less(f.key, whole, func(f *file) { f.releaseClient(c) })
	}
}

// SetShare makes access and deny what owner has of the file, in the place of
// what it had; zeroes take it away. It fails, and changes nothing, with
// ErrShareConflict if another open excludes it, with ErrLeaseBreaking if a
// lease does, and as Client.Expire did. To set less than the owner has cannot
// fail.
func (t *Table) SetShare(ctx context.Context, k Key, owner Owner, access, deny Share) error {
	if owner == (Owner{}) {
		return vfs.EINVAL
	}
	if access|deny == 0 {
		t.peek(k, func(f *file) { f.dropShare(owner) })
		return nil
	}
	return t.settle(ctx, func() (by Owner, err error) {
		t.on(k, func(f *file) { by, err = f.setShare(share{owner, access, deny}) })
		return by, err
	})
}

// CheckAccess fails with ErrShareConflict if an open of another owner denies
// the access.
func (t *Table) CheckAccess(k Key, owner Owner, access Share) error {
	return t.settle(context.Background(), func() (by Owner, err error) {
		t.peek(k, func(f *file) { by = f.shares.conflict(share{owner: owner, access: access}) })
		if by != (Owner{}) {
			return by, ErrShareConflict
		}
		return by, nil
	})
}

// Lock sets a lock, in the place of what owner holds of these bytes, as
// fcntl(2) F_SETLK does. If a lock of another owner is in the way, that is
// returned, without an error, and nothing changes. ENOLCK if the client would
// hold more than 131072 ranges; the other errors are Client.Expire's.
func (t *Table) Lock(ctx context.Context, k Key, owner Owner, r Range, typ Type) (*Holder, error) {
	if owner == (Owner{}) {
		return nil, vfs.EINVAL
	}
	return t.obstacle(ctx, func() (by *Holder, err error) {
		shared, err := t.enterShared(ctx, k, true)
		if err != nil {
			return nil, err
		}
		if shared != nil {
			defer t.leaveShared(k, shared)
			return t.lockShared(ctx, shared, k, owner, r, typ)
		}
		t.on(k, func(f *file) {
			if by = f.blocker(owner, r, typ); by == nil {
				err = f.lock(owner, r, typ)
			}
		})
		return by, err
	})
}

// Test returns a lock that would be in the way of Lock, nil if there is none.
// Errors are Client.Expire's.
func (t *Table) Test(ctx context.Context, k Key, owner Owner, r Range, typ Type) (*Holder, error) {
	return t.obstacle(ctx, func() (*Holder, error) {
		shared, err := t.enterShared(ctx, k, true)
		if err != nil {
			return nil, err
		}
		if shared != nil {
			defer t.leaveShared(k, shared)
		}
		by := t.testOwn(k, owner, r, typ)
		if by == nil && shared != nil {
			return shared.test(ctx, r, typ)
		}
		return by, nil
	})
}

// testOwn returns one of the table's own locks that is in the way.
func (t *Table) testOwn(k Key, owner Owner, r Range, typ Type) (by *Holder) {
	t.peek(k, func(f *file) { by = f.blocker(owner, r, typ) })
	return by
}

// obstacle runs try until the lock that is in its way is no courtesy, and
// returns that. Between two tries no lock of the table's is held: who gives way
// takes the same ones.
func (t *Table) obstacle(ctx context.Context, try func() (*Holder, error)) (by *Holder, err error) {
	err = t.settle(ctx, func() (owner Owner, err error) {
		if by, err = try(); by != nil {
			owner = by.Owner
		}
		return owner, err
	})
	if err != nil {
		return nil, err
	}
	return by, nil
}

// Unlock gives back the bytes of r that owner holds, if any. ENOLCK if that
// would leave the client with more than 131072 ranges, because a hole makes two
// of one.
func (t *Table) Unlock(k Key, owner Owner, r Range) (err error) {
	t.less(k, r, func(f *file) { err = f.unlock(owner, r) })
	return err
}

// less runs do, which gives back locks on r, and gives them back beneath.
func (t *Table) less(k Key, r Range, do func(*file)) {
	shared, _ := t.enterShared(context.Background(), k, false) // asks nobody
	t.peek(k, do)
	if shared != nil {
		t.restore(k, shared, r)
		t.leaveShared(k, shared)
	}
}

// HasLocks reports whether owner holds a byte-range lock on the file.
func (t *Table) HasLocks(k Key, owner Owner) (has bool) {
	t.peek(k, func(f *file) { has = f.locks != nil && len(f.locks.owners[owner]) > 0 })
	return has
}

// ReleaseOwner gives back the byte-range locks of an owner on a file.
func (t *Table) ReleaseOwner(k Key, owner Owner) {
	t.less(k, whole, func(f *file) { f.unlock(owner, whole) }) // needs no more ranges: cannot fail
}
