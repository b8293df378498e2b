package nfs

import (
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// key is how package lock knows the object.
func (o *object) key() lock.Key {
	return lock.Key{Export: o.exp.ID, Handle: string(o.node.Handle())}
}

// setCur makes an object the current filehandle. The current stateid goes
// with the old one (RFC 8881 §16.2.3.1.2).
func (c *compound) setCur(o object) {
	c.cur = o
	c.curSID = currentStateID{}
}

// putfh is PUTFH (RFC 8881 §18.19).
func (c *compound) putfh() nfs4.Status {
	wire := c.args.Opaque(nfs4.MaxFH)
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	id, handle, err := c.srv.handles.Open(wire)
	if err != nil {
		return nfs4.ErrBadhandle
	}
	exp := c.srv.export(id)
	if exp == nil {
		return nfs4.ErrStale
	}
	if st := c.enter(exp); st != nfs4.OK {
		return st
	}
	node, err := exp.FS.Resolve(c.call.Ctx, handle)
	if err != nil {
		return statusOf(err)
	}
	c.setCur(object{exp, node})
	return nfs4.OK
}

// putrootfh is PUTROOTFH (RFC 8881 §18.21), and PUTPUBFH (§18.20), which
// means the same here.
func (c *compound) putrootfh() nfs4.Status {
	c.setCur(object{c.srv.pseudo, c.srv.pseudo.FS.Root()})
	return nfs4.OK
}

// getfh is GETFH (RFC 8881 §18.8).
func (c *compound) getfh() nfs4.Status {
	at := c.reply.Reserve()
	c.reply.Buf = c.appendFH(c.reply.Buf, &c.cur)
	n := c.reply.Len() - at - 4
	c.reply.Put(at, uint32(n))
	for range -n & 3 {
		c.reply.Buf = append(c.reply.Buf, 0)
	}
	return nfs4.OK
}

// appendFH appends the wire form of an object's filehandle.
func (c *compound) appendFH(dst []byte, o *object) []byte {
	return c.srv.handles.Append(dst, o.exp.ID, o.node.Handle())
}

// savefh is SAVEFH (RFC 8881 §18.28).
func (c *compound) savefh() nfs4.Status {
	c.saved, c.savedSID = c.cur, c.curSID
	return nfs4.OK
}

// restorefh is RESTOREFH (RFC 8881 §18.27).
func (c *compound) restorefh() nfs4.Status {
	if c.saved.exp == nil {
		return nfs4.ErrNofilehandle
	}
	c.cur, c.curSID = c.saved, c.savedSID
	return nfs4.OK
}

// lookup is LOOKUP (RFC 8881 §18.13).
func (c *compound) lookup() nfs4.Status {
	name := c.args.Opaque(nfs4.OpaqueLimit)
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if st := checkName(name); st != nfs4.OK {
		return st
	}
	o, st := c.lookupIn(&c.cur, string(name))
	if st != nfs4.OK {
		return st
	}
	c.setCur(o)
	return nfs4.OK
}

// lookupIn finds a name in a directory, across the border of an export.
func (c *compound) lookupIn(dir *object, name string) (object, nfs4.Status) {
	cred := c.callerOn(dir.exp)
	c.mayBlockOn(dir)
	node, err := dir.node.Lookup(c.call.Ctx, cred, name)
	if err != nil {
		return object{}, c.lookupStatus(dir, err)
	}
	o := c.cross(object{dir.exp, node})
	if o.exp != dir.exp {
		if st := c.enter(o.exp); st != nfs4.OK {
			return object{}, st
		}
	}
	return o, nfs4.OK
}

// lookupStatus is statusOf, and tells a symbolic link in the place of a
// directory apart, which the client then follows (RFC 8881 §15.1.2.8).
func (c *compound) lookupStatus(dir *object, err error) nfs4.Status {
	st := statusOf(err)
	if st == nfs4.ErrNotdir {
		if a, err := dir.node.GetAttr(c.call.Ctx, vfs.AttrType); err == nil && a.Type == vfs.TypeSymlink {
			return nfs4.ErrSymlink
		}
	}
	return st
}

// lookupp is LOOKUPP (RFC 8881 §18.14). Above the root of an export is the
// pseudo root, and above that nothing.
func (c *compound) lookupp() nfs4.Status {
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	node, err := c.cur.node.Parent(c.call.Ctx, cred)
	switch {
	case err == nil:
		c.setCur(object{c.cur.exp, node})
	case vfs.ErrnoOf(err) == vfs.ENOENT && c.cur.exp != c.srv.pseudo:
		c.setCur(object{c.srv.pseudo, c.srv.pseudo.FS.Root()})
	default:
		return c.lookupStatus(&c.cur, err)
	}
	return nfs4.OK
}

// mayBlockOn tells the transport that metadata of the object may take a while
// to come.
func (c *compound) mayBlockOn(o *object) {
	if !o.exp.FS.Caps().Local {
		c.call.MayBlock()
	}
}

// checkName checks a name of one component from the wire. Names are bytes, as
// they are in Linux: a guest can unpack an archive of the days before UTF-8, and
// get at what is there already. The attribute fs_charset_cap says so (RFC 8881
// §14.4).
func checkName(name []byte) nfs4.Status {
	switch {
	case len(name) == 0:
		return nfs4.ErrInval
	case len(name) > vfs.MaxName:
		return nfs4.ErrNametoolong
	case string(name) == "." || string(name) == "..":
		return nfs4.ErrBadname
	}
	for _, b := range name {
		if b == '/' || b == 0 {
			return nfs4.ErrBadchar
		}
	}
	return nfs4.OK
}
