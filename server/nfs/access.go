package nfs

import (
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
)

// The rights that ACCESS can be asked about.
const (
	baseAccess   = vfs.AccessRead | vfs.AccessLookup | vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete | vfs.AccessExecute
	xattrAccess  = vfs.AccessXattrRead | vfs.AccessXattrWrite | vfs.AccessXattrList // RFC 8276 §8.5
	changeAccess = vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete | vfs.AccessXattrWrite
)

// access is ACCESS (RFC 8881 §18.1).
func (c *compound) access() nfs4.Status {
	want := vfs.Access(c.args.Uint32())
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	known := baseAccess
	if c.minor >= 2 {
		known |= xattrAccess
	}
	if want&^known != 0 {
		return nfs4.ErrInval
	}
	if !c.cur.exp.FS.Caps().Xattrs {
		want &^= xattrAccess
	}
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	granted, err := c.cur.node.Access(c.call.Ctx, cred, want)
	if err != nil {
		return statusOf(err)
	}
	if c.cur.exp.ReadOnly {
		granted &^= changeAccess
	}
	c.reply.Uint32(uint32(want))
	c.reply.Uint32(uint32(granted & want))
	return nfs4.OK
}
