package nfs

import (
	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

func decodeStateID(d *xdr.Decoder) (sid nfs4.StateID) {
	sid.Seq = d.Uint32()
	copy(sid.Other[:], d.Fixed(nfs4.OtherLen))
	return sid
}

func fixed16(d *xdr.Decoder) (b [16]byte) {
	copy(b[:], d.Fixed(16))
	return b
}

// takeStateID takes a stateid from the arguments and puts the current stateid
// in the place of the special value that stands for it.
func (c *compound) takeStateID() nfs4.StateID {
	sid := decodeStateID(c.args)
	if sid != nfs4.Current {
		return sid
	}
	if !c.curSID.valid {
		return nfs4.Invalid // fails as NFS4ERR_BAD_STATEID wherever it is used
	}
	return c.curSID.id
}

func (c *compound) encodeStateID(sid nfs4.StateID) {
	c.reply.Uint32(sid.Seq)
	c.reply.Fixed(sid.Other[:])
}

func (c *compound) encodeChange(ch vfs.DirChange) {
	c.reply.Bool(ch.Atomic)
	c.reply.Uint64(ch.Before)
	c.reply.Uint64(ch.After)
}

// fileRef is a File to read or write through, for the time of an operation.
type fileRef struct {
	vfs.File
	shared *clients.File // of an open; nil if File was opened for this use
}

func (f *fileRef) release() {
	if f.shared != nil {
		f.shared.Release()
	} else {
		f.File.Close()
	}
}

// fileFor returns the file through which I/O on an object by sid goes (RFC
// 8881 §8.2.3, §9.1.2). want is one of lock.ShareRead and lock.ShareWrite.
func (c *compound) fileFor(o *object, sid nfs4.StateID, want lock.Share) (fileRef, nfs4.Status) {
	if sid.Special() {
		return c.fileWithoutOpen(o, sid, want)
	}
	st, err := c.client.Find(sid)
	if err != nil {
		return fileRef{}, statusOf(err)
	}
	open := st.Of()
	if !o.is(open.Key) {
		return fileRef{}, nfs4.ErrBadStateid
	}
	if open.Access()&want == 0 {
		if want == lock.ShareWrite {
			return fileRef{}, nfs4.ErrOpenmode
		}
		// A client that has a file open for writing only may need to
		// read around what it writes (RFC 8881 §18.22.3); it may if the
		// caller may and no other open denies it (§9.1.2).
		if err := open.CheckAccess(want); err != nil {
			return fileRef{}, lockedStatus(err)
		}
		return c.openForUse(o, want)
	}
	f, err := open.Use()
	if err != nil {
		return fileRef{}, statusOf(err)
	}
	return fileRef{f.File, f}, nfs4.OK
}

// fileWithoutOpen is fileFor by one of the special stateids.
func (c *compound) fileWithoutOpen(o *object, sid nfs4.StateID, want lock.Share) (fileRef, nfs4.Status) {
	if sid != nfs4.Anonymous && sid != nfs4.ReadBypass {
		return fileRef{}, nfs4.ErrBadStateid
	}
	if c.srv.clients.InGrace() {
		return fileRef{}, nfs4.ErrGrace // an open that denies this may be reclaimed yet
	}
	if sid != nfs4.ReadBypass || want != lock.ShareRead {
		if err := c.srv.locks.CheckAccess(o.key(), lock.Owner{}, want); err != nil {
			return fileRef{}, lockedStatus(err)
		}
	}
	return c.openForUse(o, want)
}

// lockedStatus is statusOf for I/O that another's open denies: NFS4ERR_SHARE_DENIED
// is of OPEN alone (RFC 8881 §15.1.8).
func lockedStatus(err error) nfs4.Status {
	if st := statusOf(err); st != nfs4.ErrShareDenied {
		return st
	}
	return nfs4.ErrLocked
}

// openForUse opens an object as the caller for the time of an operation.
func (c *compound) openForUse(o *object, want lock.Share) (fileRef, nfs4.Status) {
	if st := c.checkRegular(o); st != nfs4.OK {
		return fileRef{}, st
	}
	cred := c.callerOn(o.exp)
	f, err := c.openNode(o.node, cred, openHow(want)|vfs.OpenOwner, false)
	if err != nil {
		return fileRef{}, statusOf(err)
	}
	return fileRef{File: f}, nfs4.OK
}

// is reports whether the object is the file of that key.
func (o *object) is(k lock.Key) bool {
	return o.exp.ID == k.Export && string(o.node.Handle()) == k.Handle
}

// testStateID is TEST_STATEID (RFC 8881 §18.48).
func (c *compound) testStateID() nfs4.Status {
	n := c.args.Count(c.args.Remaining(), stateIDLen)
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	c.reply.Uint32(uint32(n))
	for range n {
		sid := decodeStateID(c.args)
		st := nfs4.ErrBadStateid
		if !sid.Special() {
			_, err := c.client.Find(sid)
			st = statusOf(err)
		}
		c.reply.Uint32(uint32(st))
	}
	return nfs4.OK
}

// freeStateID is FREE_STATEID (RFC 8881 §18.38).
func (c *compound) freeStateID() nfs4.Status {
	sid := c.takeStateID()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if sid.Special() {
		return nfs4.ErrBadStateid
	}
	st, err := c.client.Find(sid)
	if err != nil {
		return statusOf(err)
	}
	l, ok := st.(*clients.Locks)
	if !ok {
		return nfs4.ErrLocksHeld // an open: it ends with CLOSE
	}
	return statusOf(l.Free())
}
