package nfs

import "github.com/fsva/fsva/server/nfs/nfs4"

// getattr is GETATTR (RFC 8881 §18.7). Attributes that the object does not
// have are left out; those that can only be set are an error.
func (c *compound) getattr() nfs4.Status {
	want := decodeBitmap(c.args)
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if want.intersects(&writeOnlyAttrs) {
		return nfs4.ErrInval
	}
	c.mayBlockOn(&c.cur)
	return statusOf(c.encodeAttrs(&c.cur, want))
}
