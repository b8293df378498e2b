package clients

import (
	"context"
	"sync/atomic"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs/lock"
)

// Locks is what one lock-owner of a client has locked of one file under one
// open: the state behind a lock stateid (RFC 8881 §9.1.4).
type Locks struct {
	Owner  string
	open   *Open
	serial uint32
	seq    atomic.Uint32
}

// StateID implements State.
func (l *Locks) StateID() nfs4.StateID {
	return nfs4.StateID{Seq: l.seq.Load(), Other: l.open.Client.other(l.serial)}
}

// Of implements State.
func (l *Locks) Of() *Open { return l.open }

// LockOwner is how package lock knows the owner.
func (l *Locks) LockOwner() lock.Owner { return LockOwner(l.open.Client, l.Owner) }

// LockOwner is how package lock knows a lock-owner of a client. The letter
// keeps it apart from an open-owner of the same name.
func LockOwner(c *Client, owner string) lock.Owner { return lock.Owner{Client: c, Name: "l" + owner} }

// LockRequest is a LOCK.
type LockRequest struct {
	Range lock.Range
	Type  lock.Type
	// Notify, if not nil, is called once when a range that was denied may
	// be had: the client asked to wait.
	Notify func()
}

// LockNew is LOCK by a lock-owner that is new to the file (RFC 8881 §18.10).
// A denial leaves no state behind.
func (o *Open) LockNew(ctx context.Context, owner string, req LockRequest) (nfs4.StateID, *lock.Holder, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nfs4.StateID{}, nil, nfs4.ErrBadStateid
	}
	l, fresh, err := o.locksOf(owner)
	if err != nil {
		return nfs4.StateID{}, nil, err
	}
	sid, holder, err := l.lock(ctx, req)
	if fresh && (holder != nil || err != nil) {
		o.forget(l)
	}
	return sid, holder, err
}

// locksOf returns the owner's lock state on the file; fresh says that it was
// made now. o.mu is held.
func (o *Open) locksOf(owner string) (l *Locks, fresh bool, err error) {
	if l = o.locks[owner]; l != nil {
		return l, false, nil
	}
	l = &Locks{Owner: owner, open: o}
	o.Client.mu.Lock()
	l.serial, err = o.Client.addState(l)
	o.Client.mu.Unlock()
	if err != nil {
		return nil, false, err
	}
	if o.locks == nil {
		o.locks = make(map[string]*Locks, 1)
	}
	o.locks[owner] = l
	return l, true, nil
}

// forget takes away a lock state that holds nothing. o.mu is held.
func (o *Open) forget(l *Locks) {
	o.Client.mu.Lock()
	delete(o.Client.states, l.serial)
	o.Client.mu.Unlock()
	delete(o.locks, l.Owner)
}

// Lock is LOCK by a lock-owner that has a stateid.
func (l *Locks) Lock(ctx context.Context, req LockRequest) (nfs4.StateID, *lock.Holder, error) {
	l.open.mu.Lock()
	defer l.open.mu.Unlock()
	if l.open.closed {
		return nfs4.StateID{}, nil, nfs4.ErrBadStateid
	}
	return l.lock(ctx, req)
}

// lock is called with the open's mu held.
func (l *Locks) lock(ctx context.Context, req LockRequest) (nfs4.StateID, *lock.Holder, error) {
	need := lock.ShareRead
	if req.Type == lock.Write {
		need = lock.ShareWrite
	}
	if l.open.access&need == 0 {
		return nfs4.StateID{}, nil, nfs4.ErrOpenmode
	}
	table := l.open.Client.reg.cfg.Locks
	holder, err := table.Lock(ctx, l.open.Key, l.LockOwner(), req.Range, req.Type)
	if err != nil {
		return nfs4.StateID{}, nil, err
	}
	if holder != nil {
		if req.Notify != nil {
			table.Notify(l.open.Key, l.LockOwner(), req.Range, req.Type, req.Notify)
		}
		return nfs4.StateID{}, holder, nil
	}
	if l.open.Client.isDead() {
		table.ReleaseOwner(l.open.Key, l.LockOwner())
		return nfs4.StateID{}, nil, nfs4.ErrExpired
	}
	l.seq.Store(nextSeq(l.seq.Load()))
	return l.StateID(), nil, nil
}

// Unlock is LOCKU (RFC 8881 §18.12).
func (l *Locks) Unlock(r lock.Range) (nfs4.StateID, error) {
	l.open.mu.Lock()
	defer l.open.mu.Unlock()
	if l.open.closed {
		return nfs4.StateID{}, nfs4.ErrBadStateid
	}
	if err := l.open.Client.reg.cfg.Locks.Unlock(l.open.Key, l.LockOwner(), r); err != nil {
		return nfs4.StateID{}, err
	}
	l.seq.Store(nextSeq(l.seq.Load()))
	return l.StateID(), nil
}

// Free is FREE_STATEID of a lock stateid (RFC 8881 §18.38): it must hold no
// lock.
func (l *Locks) Free() error {
	l.open.mu.Lock()
	defer l.open.mu.Unlock()
	if l.open.closed {
		return nfs4.ErrBadStateid
	}
	if l.open.Client.reg.cfg.Locks.HasLocks(l.open.Key, l.LockOwner()) {
		return nfs4.ErrLocksHeld
	}
	l.open.forget(l)
	return nil
}
