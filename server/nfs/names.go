package nfs

import (
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
)

// The operations that change a directory's entries, OPEN apart.

// takeName takes one component of a path from the arguments.
func (c *compound) takeName() (string, nfs4.Status) {
	name := c.args.Opaque(nfs4.OpaqueLimit)
	if c.badXDR() {
		return "", nfs4.ErrBadxdr
	}
	if st := checkName(name); st != nfs4.OK {
		return "", st
	}
	return string(name), nfs4.OK
}

// createArgs is CREATE4args.
type createArgs struct {
	typ    nfs4.FileType
	target string   // of a symbolic link
	rdev   vfs.Rdev // of a device
	name   string
	attrs  vfs.SetAttr
	given  bitmap
}

func (c *compound) decodeCreate() (a createArgs, st nfs4.Status) {
	a.typ = nfs4.FileType(c.args.Uint32())
	switch a.typ {
	case nfs4.TypeLnk:
		a.target = c.args.String(c.args.Remaining())
	case nfs4.TypeBlk, nfs4.TypeChr:
		a.rdev = vfs.Rdev{Major: c.args.Uint32(), Minor: c.args.Uint32()}
	}
	name := c.args.Opaque(nfs4.OpaqueLimit)
	if c.badXDR() {
		return a, nfs4.ErrBadxdr
	}
	a.name = string(name)
	a.attrs, a.given, st = c.decodeCreateAttrs(false)
	if st == nfs4.OK {
		st = checkName(name)
	}
	return a, st
}

// create is CREATE (RFC 8881 §18.4): everything but regular files.
func (c *compound) create() nfs4.Status {
	a, st := c.decodeCreate()
	if st != nfs4.OK {
		return st
	}
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	node, change, err := c.makeNode(cred, &a)
	if err != nil {
		return statusOf(err)
	}
	c.setCur(object{c.cur.exp, node})
	c.encodeChange(change)
	a.given.encode(&c.reply.Encoder)
	return nfs4.OK
}

func (c *compound) makeNode(cred *vfs.Cred, a *createArgs) (vfs.Node, vfs.DirChange, error) {
	ctx, dir := c.call.Ctx, c.cur.node
	switch a.typ {
	case nfs4.TypeDir:
		return dir.Mkdir(ctx, cred, a.name, &a.attrs)
	case nfs4.TypeLnk:
		switch {
		case a.target == "":
			return nil, vfs.DirChange{}, vfs.EINVAL
		case len(a.target) > vfs.MaxSymlink:
			return nil, vfs.DirChange{}, vfs.ENAMETOOLONG
		}
		// A symbolic link has no mode of its own on Linux.
		a.attrs.Set &^= vfs.SetMode
		return dir.Symlink(ctx, cred, a.name, a.target, &a.attrs)
	case nfs4.TypeBlk, nfs4.TypeChr, nfs4.TypeFifo, nfs4.TypeSock:
		m, ok := dir.(vfs.Mknoder)
		if !ok {
			return nil, vfs.DirChange{}, nfs4.ErrBadtype
		}
		return m.Mknod(ctx, cred, a.name, specialTypes[a.typ], a.rdev, &a.attrs)
	}
	return nil, vfs.DirChange{}, nfs4.ErrBadtype
}

var specialTypes = map[nfs4.FileType]vfs.FileType{
	nfs4.TypeBlk:  vfs.TypeBlock,
	nfs4.TypeChr:  vfs.TypeChar,
	nfs4.TypeFifo: vfs.TypeFIFO,
	nfs4.TypeSock: vfs.TypeSocket,
}

// remove is REMOVE (RFC 8881 §18.25): of whatever has the name.
func (c *compound) remove() nfs4.Status {
	name, st := c.takeName()
	if st != nfs4.OK {
		return st
	}
	// An open that a client has yet to reclaim finds its file again only
	// if it is still there.
	if c.srv.clients.InGrace() {
		return nfs4.ErrGrace
	}
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	change, err := c.cur.node.Remove(c.call.Ctx, cred, name, false)
	if vfs.ErrnoOf(err) == vfs.EISDIR {
		change, err = c.cur.node.Remove(c.call.Ctx, cred, name, true)
	}
	if err != nil {
		return statusOf(err)
	}
	c.encodeChange(change)
	return nfs4.OK
}

// rename is RENAME (RFC 8881 §18.26): from the saved filehandle's directory to
// the current one's.
func (c *compound) rename() nfs4.Status {
	from, st := c.takeName()
	if st != nfs4.OK {
		return st
	}
	to, st := c.takeName()
	if st != nfs4.OK {
		return st
	}
	if st := c.sameExport(); st != nfs4.OK {
		return st
	}
	if c.srv.clients.InGrace() {
		return nfs4.ErrGrace
	}
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	fromChange, toChange, err := c.saved.node.Rename(c.call.Ctx, cred, from, c.cur.node, to, 0)
	if err != nil {
		return renameStatus(err)
	}
	c.encodeChange(fromChange)
	c.encodeChange(toChange)
	return nfs4.OK
}

// renameStatus is statusOf, but RENAME has no NFS4ERR_ISDIR: what cannot take
// the place of what is there is told by NFS4ERR_EXIST (RFC 8881 §18.26.3).
func renameStatus(err error) nfs4.Status {
	if vfs.ErrnoOf(err) == vfs.EISDIR {
		return nfs4.ErrExist
	}
	return statusOf(err)
}

// link is LINK (RFC 8881 §18.9): the saved filehandle gets a name in the
// current directory.
func (c *compound) link() nfs4.Status {
	name, st := c.takeName()
	if st != nfs4.OK {
		return st
	}
	if st := c.sameExport(); st != nfs4.OK {
		return st
	}
	source, ok := c.saved.node.(vfs.Linker)
	if !ok || !c.saved.exp.FS.Caps().HardLinks {
		return nfs4.ErrNotsupp
	}
	at, err := c.saved.node.GetAttr(c.call.Ctx, vfs.AttrType)
	if err != nil {
		return statusOf(err)
	}
	if at.Type == vfs.TypeDirectory {
		return nfs4.ErrIsdir
	}
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	change, err := source.Link(c.call.Ctx, cred, c.cur.node, name)
	if err != nil {
		return statusOf(err)
	}
	c.encodeChange(change)
	return nfs4.OK
}

// sameExport checks that there is a saved filehandle and that it lies in the
// file system of the current one.
func (c *compound) sameExport() nfs4.Status {
	switch c.saved.exp {
	case nil:
		return nfs4.ErrNofilehandle
	case c.cur.exp:
		return nfs4.OK
	}
	return nfs4.ErrXdev
}

// readlink is READLINK (RFC 8881 §18.24).
func (c *compound) readlink() nfs4.Status {
	at, err := c.cur.node.GetAttr(c.call.Ctx, vfs.AttrType)
	if err != nil {
		return statusOf(err)
	}
	if at.Type != vfs.TypeSymlink {
		return nfs4.ErrWrongType
	}
	cred := c.caller()
	c.mayBlockOn(&c.cur)
	target, err := c.cur.node.ReadLink(c.call.Ctx, cred)
	if err != nil {
		return statusOf(err)
	}
	c.reply.String(target)
	return nfs4.OK
}
