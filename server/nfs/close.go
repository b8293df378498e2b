package nfs

import (
	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs/lock"
)

// close is CLOSE (RFC 8881 §18.2).
func (c *compound) close() nfs4.Status {
	c.args.Uint32() // seqid: 4.0 only
	sid := c.takeStateID()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	o, st := c.findOpen(sid)
	if st != nfs4.OK {
		return st
	}
	if err := o.Close(c.call.Ctx); err != nil {
		return statusOf(err)
	}
	c.curSID = currentStateID{nfs4.Invalid, true}
	c.encodeStateID(nfs4.Invalid) // §18.2.4: what a client should find here
	return nfs4.OK
}

// openDowngrade is OPEN_DOWNGRADE (RFC 8881 §18.18).
func (c *compound) openDowngrade() nfs4.Status {
	sid := c.takeStateID()
	c.args.Uint32() // seqid
	access, deny := c.args.Uint32(), c.args.Uint32()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	access &^= nfs4.ShareWantMask
	if access == 0 || access > nfs4.ShareAccessBoth || deny > nfs4.ShareDenyBoth {
		return nfs4.ErrInval
	}
	o, st := c.findOpen(sid)
	if st != nfs4.OK {
		return st
	}
	sid, err := o.Downgrade(c.call.Ctx, lock.Share(access), lock.Share(deny))
	if err != nil {
		return statusOf(err)
	}
	c.curSID = currentStateID{sid, true}
	c.encodeStateID(sid)
	return nfs4.OK
}

// findOpen returns the open of the current filehandle that sid names.
func (c *compound) findOpen(sid nfs4.StateID) (*clients.Open, nfs4.Status) {
	if sid.Special() {
		return nil, nfs4.ErrBadStateid
	}
	o, err := c.client.FindOpen(sid)
	if err != nil {
		return nil, statusOf(err)
	}
	if !c.cur.is(o.Key) {
		return nil, nfs4.ErrBadStateid
	}
	return o, nfs4.OK
}

// delegReturn is DELEGRETURN (RFC 8881 §18.6): no delegation has been given.
func (c *compound) delegReturn() nfs4.Status {
	c.takeStateID()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	return nfs4.ErrBadStateid
}
