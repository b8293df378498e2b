package nfs

import (
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// readdir is READDIR (RFC 8881 §18.23). Cookies are those of the file system,
// which stay valid while entries come and go, so the cookie verifier is always
// zero. dircount is only a hint, of which maxcount already takes care.
func (c *compound) readdir() nfs4.Status {
	cookie := c.args.Uint64()
	verifier := c.args.Uint64()
	c.args.Uint32() // dircount
	maxCount := c.args.Uint32()
	want := decodeBitmap(c.args)
	switch {
	case c.badXDR():
		return nfs4.ErrBadxdr
	case want.intersects(&writeOnlyAttrs):
		return nfs4.ErrInval
	case cookie == 1 || cookie == 2:
		return nfs4.ErrBadCookie
	case cookie != 0 && verifier != 0:
		return nfs4.ErrNotSame
	}
	cred := c.caller()
	w, err := c.newAttrWriter(&c.reply.Encoder, c.cur.exp, want)
	if err != nil {
		return statusOf(err)
	}
	defer w.free()
	c.call.MayBlock() // a directory can be long
	l := listing{c: c, w: w, want: want, limit: c.reply.Len() + int(min(maxCount, uint32(c.room())))}
	return l.run(cred, cookie)
}

// listing is the result of a READDIR in the making.
type listing struct {
	c       *compound
	w       *attrWriter
	want    bitmap
	limit   int // where in the reply the result must end at the latest
	entries int
	status  nfs4.Status // why it cannot go on
}

// listingTail is what follows the last entry: no further entry, and eof.
const listingTail = 8

func (l *listing) run(cred *vfs.Cred, cookie uint64) nfs4.Status {
	reply := l.c.reply
	reply.Uint64(0) // cookieverf
	need := l.w.need
	if l.c.cur.exp == l.c.srv.pseudo {
		need |= vfs.AttrNode // to see where a junction leads
	}
	eof, err := l.c.cur.node.ReadDir(l.c.call.Ctx, cred, cookie, need, l.emit)
	switch {
	case err != nil:
		return statusOf(err)
	case l.status != nfs4.OK:
		return l.status
	case l.entries == 0 && !eof, reply.Len()+listingTail > l.limit:
		return nfs4.ErrToosmall
	}
	reply.Bool(false)
	reply.Bool(eof)
	return nfs4.OK
}

// emit appends an entry4, unless it has no room.
func (l *listing) emit(e *vfs.DirEntry) bool {
	if vfs.ErrnoOf(e.Err) == vfs.ENOENT {
		return true // it went while the directory was read
	}
	reply := l.c.reply
	start := reply.Len()
	reply.Bool(true)
	reply.Uint64(e.Cookie)
	reply.String(e.Name)
	if l.status = l.attrs(e); l.status != nfs4.OK {
		return false
	}
	if reply.Len()+listingTail > l.limit {
		reply.Truncate(start)
		return false
	}
	l.entries++
	return true
}

// attrs appends the attributes of an entry.
func (l *listing) attrs(e *vfs.DirEntry) nfs4.Status {
	err := e.Err
	if err == nil {
		if o := l.c.cross(object{l.c.cur.exp, e.Node}); o.exp != l.c.cur.exp && l.c.enter(o.exp) == nfs4.OK {
			err = l.rootAttrs(o.exp)
		} else {
			l.w.node, l.w.at = e.Node, e.Attr
			l.w.write()
		}
	}
	if err == nil {
		return nfs4.OK
	}
	// Unless the client asks for the error of an entry as an attribute of
	// it, one fails the whole (RFC 8881 §18.23.3).
	if !l.want.has(nfs4.AttrRdattrError) {
		return statusOf(err)
	}
	only := bitmapOf(nfs4.AttrRdattrError)
	only.encode(&l.c.reply.Encoder)
	l.c.reply.Uint32(4)
	l.c.reply.Uint32(uint32(statusOf(err)))
	return nfs4.OK
}

// rootAttrs appends the attributes of the root of an export, which shows in
// the place of its junction.
func (l *listing) rootAttrs(exp *export.Export) error {
	return l.c.encodeAttrs(&object{exp, exp.FS.Root()}, l.want)
}
