package lock

import (
	"context"
	"slices"
)

// Lease is a promise to a client that nobody else changes a file, or for a
// Write lease even opens it, before the client has been asked: what NFSv4 calls
// a delegation (RFC 8881 §10.4).
type Lease struct {
	table  *Table
	key    Key
	owner  Owner
	typ    Type
	recall func()
	asked  bool
}

// excludes reports whether what another client is about to do, and whether that
// changes the file or forbids to read it, breaks the lease.
func (l *Lease) excludes(c Client, write bool) bool {
	return l.owner.Client != c && (write || l.typ == Write)
}

// Grant gives a lease if no other client has the file open, or has a lease on
// it, in a way that it excludes. recall is called once, when somebody wants
// what the lease excludes; the holder then gives it back by Return.
func (t *Table) Grant(k Key, owner Owner, typ Type, recall func()) (*Lease, bool) {
	if owner == (Owner{}) {
		return nil, false
	}
	l := &Lease{table: t, key: k, owner: owner, typ: typ, recall: recall}
	granted := false
	t.on(k, func(f *file) {
		if granted = f.shares.allow(l) && !f.leased(owner.Client, typ == Write); granted {
			f.withLocks().leases = append(f.withLocks().leases, l)
			f.note(owner.Client, 1)
		}
	})
	if !granted {
		return nil, false
	}
	return l, true
}

// allow reports whether no other client has the file open in a way that the
// lease excludes.
func (s *shares) allow(l *Lease) bool {
	if l.typ == Read && s.access[1] == 0 && s.deny[0] == 0 {
		return true
	}
	return !slices.ContainsFunc(s.list, func(sh share) bool { return l.excludes(sh.owner.Client, sh.breaksRead()) })
}

func (f *file) leased(c Client, write bool) bool {
	return f.locks != nil && slices.ContainsFunc(f.locks.leases, func(l *Lease) bool { return l.excludes(c, write) })
}

// Return gives the lease back. Doing so twice does nothing.
func (l *Lease) Return() {
	l.table.peek(l.key, func(f *file) {
		if f.locks != nil {
			f.dropLeases(func(o *Lease) bool { return o == l })
		}
	})
}

func (f *file) dropLeases(which func(*Lease) bool) {
	f.locks.leases = slices.DeleteFunc(f.locks.leases, func(l *Lease) bool {
		if !which(l) {
			return false
		}
		f.note(l.owner.Client, -1)
		return true
	})
}

// breakLeases asks for the leases of other clients that are in the way and
// returns one of their owners, a zero Owner if there is none.
func (f *file) breakLeases(owner Owner, write bool) (by Owner) {
	if f.locks == nil {
		return Owner{}
	}
	for _, l := range f.locks.leases {
		if !l.excludes(owner.Client, write) {
			continue
		}
		by = l.owner
		if !l.asked {
			l.asked = true
			f.later(l.recall)
		}
	}
	return by
}

// BreakLeases asks for the leases that exclude what owner is about to do to the
// file other than to open it: to remove, rename or change it, or to read it,
// which write tells apart. It fails with ErrLeaseBreaking while there are any.
func (t *Table) BreakLeases(k Key, owner Owner, write bool) error {
	return t.settle(context.Background(), func() (by Owner, err error) {
		t.peek(k, func(f *file) { by = f.breakLeases(owner, write) })
		if by != (Owner{}) {
			return by, ErrLeaseBreaking
		}
		return by, nil
	})
}
