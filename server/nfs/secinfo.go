package nfs

import (
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/vfs"
)

// secinfo is SECINFO (RFC 8881 §18.29).
func (c *compound) secinfo() nfs4.Status {
	name, st := c.takeName()
	if st != nfs4.OK {
		return st
	}
	if _, st := c.lookupIn(&c.cur, name); st != nfs4.OK {
		return st
	}
	c.flavors()
	return nfs4.OK
}

// secinfoNoName is SECINFO_NO_NAME (RFC 8881 §18.45).
func (c *compound) secinfoNoName() nfs4.Status {
	style := c.args.Uint32()
	if style > nfs4.SecinfoParent {
		c.args.Fail()
	}
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if style == nfs4.SecinfoParent {
		cred := c.caller()
		_, err := c.cur.node.Parent(c.call.Ctx, cred)
		if err != nil && (vfs.ErrnoOf(err) != vfs.ENOENT || c.cur.exp == c.srv.pseudo) {
			return statusOf(err)
		}
	}
	c.flavors()
	return nfs4.OK
}

// flavors appends the security flavors of every export, the best first, and
// takes the current filehandle away, which both operations do (RFC 8881
// §2.6.3.1.1.8). Who comes with AUTH_NONE is the anonymous user.
func (c *compound) flavors() {
	c.reply.Uint32(2)
	c.reply.Uint32(rpc.AuthSys)
	c.reply.Uint32(rpc.AuthNone)
	c.setCur(object{})
}
