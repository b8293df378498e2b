package nfs

import (
	"context"
	"time"

	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/vfs/lock"
)

// takeLockType takes nfs_lock_type4.
func (c *compound) takeLockType() (typ lock.Type, wait bool) {
	switch c.args.Uint32() {
	case nfs4.LockRead:
		return lock.Read, false
	case nfs4.LockWrite:
		return lock.Write, false
	case nfs4.LockReadW:
		return lock.Read, true
	case nfs4.LockWriteW:
		return lock.Write, true
	}
	c.args.Fail()
	return 0, false
}

// lock is LOCK (RFC 8881 §18.10).
func (c *compound) lock() nfs4.Status {
	typ, wait := c.takeLockType()
	reclaim := c.args.Bool()
	offset, length := c.args.Uint64(), c.args.Uint64()
	fresh := c.args.Bool()
	var sid nfs4.StateID
	var owner string
	if fresh {
		c.args.Uint32() // open seqid: 4.0 only
		sid = c.takeStateID()
		c.args.Uint32() // lock seqid
		c.args.Uint64() // clientid: the session's counts
		owner = c.args.String(nfs4.OpaqueLimit)
	} else {
		sid = c.takeStateID()
		c.args.Uint32()
	}
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	rng, err := lock.NewRange(offset, length)
	if err != nil {
		return statusOf(err)
	}
	if st := c.mayLock(reclaim); st != nfs4.OK {
		return st
	}
	req := clients.LockRequest{Range: rng, Type: typ}
	if wait {
		req.Notify = c.notifier(owner, sid)
	}
	c.mayBlockOn(&c.cur)
	var holder *lock.Holder
	if fresh {
		o, st := c.findOpen(sid)
		if st != nfs4.OK {
			return st
		}
		sid, holder, err = o.LockNew(c.call.Ctx, owner, req)
	} else {
		l, st := c.findLocks(sid)
		if st != nfs4.OK {
			return st
		}
		sid, holder, err = l.Lock(c.call.Ctx, req)
	}
	switch {
	case err != nil:
		return statusOf(err)
	case holder != nil && reclaim:
		return nfs4.ErrReclaimConflict
	case holder != nil:
		return c.denied(holder)
	}
	c.curSID = currentStateID{sid, true}
	c.encodeStateID(sid)
	return nfs4.OK
}

// mayLock checks what forbids a lock before the file is looked at.
func (c *compound) mayLock(reclaim bool) nfs4.Status {
	if st := c.checkRegular(&c.cur); st != nfs4.OK {
		return st
	}
	if reclaim {
		return statusOf(c.client.CheckReclaim())
	}
	return statusOf(c.client.CheckGrant())
}

// denied appends LOCK4denied.
func (c *compound) denied(h *lock.Holder) nfs4.Status {
	length := h.Range.End - h.Range.Start + 1
	if h.Range.End == ^uint64(0) {
		length = ^uint64(0)
	}
	c.reply.Uint64(h.Range.Start)
	c.reply.Uint64(length)
	typ := uint32(nfs4.LockRead)
	if h.Type == lock.Write {
		typ = nfs4.LockWrite
	}
	c.reply.Uint32(typ)
	id, owner := nfs4.ClientID(0), h.Owner.Name
	if cl, ok := h.Owner.Client.(*clients.Client); ok {
		owner = owner[1:]
		if cl == c.client { // to others its id is a secret: see clients.Registry
			id = cl.ID
		}
	}
	c.reply.Uint64(uint64(id))
	c.reply.String(owner)
	c.keepBody = true
	return nfs4.ErrDenied
}

// lockt is LOCKT (RFC 8881 §18.11).
func (c *compound) lockt() nfs4.Status {
	typ, _ := c.takeLockType()
	offset, length := c.args.Uint64(), c.args.Uint64()
	c.args.Uint64() // clientid
	owner := c.args.String(nfs4.OpaqueLimit)
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	rng, err := lock.NewRange(offset, length)
	if err != nil {
		return statusOf(err)
	}
	if st := c.checkRegular(&c.cur); st != nfs4.OK {
		return st
	}
	if c.srv.clients.InGrace() {
		return nfs4.ErrGrace
	}
	c.mayBlockOn(&c.cur)
	holder, err := c.srv.locks.Test(c.call.Ctx, c.cur.key(), clients.LockOwner(c.client, owner), rng, typ)
	switch {
	case err != nil:
		return statusOf(err)
	case holder != nil:
		return c.denied(holder)
	}
	return nfs4.OK
}

// locku is LOCKU (RFC 8881 §18.12).
func (c *compound) locku() nfs4.Status {
	c.takeLockType()
	c.args.Uint32() // seqid
	sid := c.takeStateID()
	offset, length := c.args.Uint64(), c.args.Uint64()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	rng, err := lock.NewRange(offset, length)
	if err != nil {
		return statusOf(err)
	}
	l, st := c.findLocks(sid)
	if st != nfs4.OK {
		return st
	}
	c.mayBlockOn(&c.cur)
	if sid, err = l.Unlock(rng); err != nil {
		return statusOf(err)
	}
	c.curSID = currentStateID{sid, true}
	c.encodeStateID(sid)
	return nfs4.OK
}

// findLocks returns the lock state on the current filehandle that sid names.
func (c *compound) findLocks(sid nfs4.StateID) (*clients.Locks, nfs4.Status) {
	if sid.Special() {
		return nil, nfs4.ErrBadStateid
	}
	l, err := c.client.FindLocks(sid)
	if err != nil {
		return nil, statusOf(err)
	}
	if !c.cur.is(l.Of().Key) {
		return nil, nfs4.ErrBadStateid
	}
	return l, nfs4.OK
}

// notifyTimeout bounds how long a client may take to answer CB_NOTIFY_LOCK.
const notifyTimeout = 10 * time.Second

// notifier returns a function that tells the client that a lock it waits for
// may be had (CB_NOTIFY_LOCK, RFC 8881 §20.11). A client that cannot be told,
// or is slow to answer what it has been told, goes on polling.
func (c *compound) notifier(owner string, sid nfs4.StateID) func() {
	if owner == "" {
		if l, err := c.client.FindLocks(sid); err == nil {
			owner = l.Owner
		}
	}
	srv, client := c.srv, c.client
	fh := c.appendFH(nil, &c.cur)
	return func() {
		client.Hint(srv.background, func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, notifyTimeout)
			defer cancel()
			_, err := client.CallBack(ctx, nfs4.OpCBNotifyLock, func(e *xdr.Encoder) {
				e.Opaque(fh)
				e.Uint64(uint64(client.ID))
				e.String(owner)
			})
			if err != nil {
				srv.log.Debug().Err(err).Stringer("client", client).Msg("lock notice not delivered; the client polls")
			}
		})
	}
}
