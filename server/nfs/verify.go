package nfs

import (
	"bytes"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
)

// verify is VERIFY (RFC 8881 §18.31).
func (c *compound) verify() nfs4.Status {
	same, st := c.sameAttrs()
	if st == nfs4.OK && !same {
		return nfs4.ErrNotSame
	}
	return st
}

// nverify is NVERIFY (RFC 8881 §18.15).
func (c *compound) nverify() nfs4.Status {
	same, st := c.sameAttrs()
	if st == nfs4.OK && same {
		return nfs4.ErrSame
	}
	return st
}

// sameAttrs takes a fattr4 and compares it with what GETATTR would answer,
// byte by byte: XDR has one form for each value.
func (c *compound) sameAttrs() (same bool, st nfs4.Status) {
	want := decodeBitmap(c.args)
	values := c.args.Opaque(c.args.Remaining())
	if c.badXDR() {
		return false, nfs4.ErrBadxdr
	}
	have := c.supported(c.cur.exp)
	switch {
	case want.intersects(&writeOnlyAttrs), want.has(nfs4.AttrRdattrError):
		return false, nfs4.ErrInval
	case !want.within(&have):
		return false, nfs4.ErrAttrnotsupp
	}
	c.mayBlockOn(&c.cur)
	var is xdr.Encoder
	w, err := c.newAttrWriter(&is, c.cur.exp, want)
	if err != nil {
		return false, statusOf(err)
	}
	defer w.free()
	if err := w.load(c.cur.node); err != nil {
		return false, statusOf(err)
	}
	w.write()
	d := xdr.NewDecoder(is.Buf)
	if decodeBitmap(&d) != want {
		return false, nfs4.ErrAttrnotsupp // time_create, which this object has not
	}
	return bytes.Equal(d.Opaque(d.Remaining()), values), nfs4.OK
}
