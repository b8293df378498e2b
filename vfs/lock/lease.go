package lock

import (
	"context"
	"slices"
)

// Lease is a promise to a client that nobody else changes a file, or for a
// Write lease even opens it, before the client has been asked: what NFSv4 calls
// a delegation.
type Lease struct {
	table  *Table
	key    Key
	owner  Owner
	typ    Type
	recall func()
	asked  bool
}

// Grant gives a lease if no other client has the file open in a way that it
// excludes. recall is called once, when somebody wants what the lease excludes;
// the holder then gives it back by Return.
func (t *Table) Grant(k Key, owner Owner, typ Type, recall func()) (*Lease, bool) {
	var l *Lease
	t.on(k, func(f *file) {
		for _, s := range f.shares.list {
			if s.owner.Client != owner.Client && (typ == Write || s.access&ShareWrite != 0) {
				return
			}
		}
		for _, o := range f.leases {
			if o.owner.Client != owner.Client && (typ == Write || o.typ == Write) {
				return
			}
		}
		l = &Lease{table: t, key: k, owner: owner, typ: typ, recall: recall}
		f.leases = append(f.leases, l)
		t.count(owner.Client, k, 1)
	})
	return l, l != nil
}

// Return gives the lease back. Doing so twice does nothing.
func (l *Lease) Return() {
	l.table.on(l.key, func(f *file) { f.dropLease(l) })
}

func (f *file) dropLease(l *Lease) {
	if i := slices.Index(f.leases, l); i >= 0 {
		f.leases = slices.Delete(f.leases, i, i+1)
		f.table.count(l.owner.Client, f.key, -1)
	}
}

// breakLeases asks for the leases of other clients that are in the way and
// returns one of their owners, a zero Owner if there is none.
func (f *file) breakLeases(owner Owner, write bool) (by Owner) {
	for _, l := range f.leases {
		if l.owner.Client == owner.Client || l.typ == Read && !write {
			continue
		}
		by = l.owner
		if !l.asked {
			l.asked = true
			f.later = append(f.later, l.recall)
		}
	}
	return by
}

// BreakLeases asks for the leases that exclude what owner is about to do to the
// file; write says that it changes the file. It fails with ErrLeaseBreaking
// while there are any.
func (t *Table) BreakLeases(ctx context.Context, k Key, owner Owner, write bool) error {
	var by Owner
	err := t.settle(ctx, k, func(f *file) Owner {
		by = f.breakLeases(owner, write)
		return by
	})
	if err == nil && by != (Owner{}) {
		return ErrLeaseBreaking
	}
	return err
}
