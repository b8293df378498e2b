package nfs

import (
	"errors"
	"slices"
	"strings"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
)

// Extended attributes (RFC 8276). The protocol knows those of users only and
// leaves out the prefix that they have on Linux.
const xattrPrefix = "user."

// takeXattrName takes the name of an extended attribute and returns it as
// package vfs knows it.
func (c *compound) takeXattrName() (string, nfs4.Status) {
	name := c.args.Opaque(nfs4.OpaqueLimit)
	switch {
	case c.badXDR():
		return "", nfs4.ErrBadxdr
	case len(name) == 0 || slices.Contains(name, 0):
		return "", nfs4.ErrInval
	case len(xattrPrefix)+len(name) > vfs.MaxName:
		return "", nfs4.ErrNametoolong
	}
	return xattrPrefix + string(name), nfs4.OK
}

// xattrs returns the current object's extended attributes and the caller.
func (c *compound) xattrs() (vfs.Xattrer, *vfs.Cred, nfs4.Status) {
	x, ok := c.cur.node.(vfs.Xattrer)
	if !ok || !c.cur.exp.FS.Caps().Xattrs {
		return nil, nil, nfs4.ErrNotsupp
	}
	cred := c.caller()
	c.call.MayBlock()
	return x, cred, nfs4.OK
}

// getxattr is GETXATTR (RFC 8276 §8.4.1).
func (c *compound) getxattr() nfs4.Status {
	name, st := c.takeXattrName()
	if st != nfs4.OK {
		return st
	}
	x, cred, st := c.xattrs()
	if st != nfs4.OK {
		return st
	}
	value, err := x.GetXattr(c.call.Ctx, cred, name)
	if err != nil {
		return xattrStatus(err)
	}
	c.reply.Opaque(value)
	return nfs4.OK
}

// setxattr is SETXATTR (RFC 8276 §8.4.2).
func (c *compound) setxattr() nfs4.Status {
	how := c.args.Uint32()
	name, st := c.takeXattrName()
	if st != nfs4.OK {
		return st
	}
	value := c.args.Opaque(c.args.Remaining())
	if c.badXDR() || how > nfs4.SetxattrReplace {
		return nfs4.ErrBadxdr
	}
	if len(value) > vfs.MaxXattr {
		return nfs4.ErrXattr2big
	}
	return c.changeXattrs(func(x vfs.Xattrer, cred *vfs.Cred) error {
		return x.SetXattr(c.call.Ctx, cred, name, value, vfs.XattrFlags(how))
	})
}

// removexattr is REMOVEXATTR (RFC 8276 §8.4.4).
func (c *compound) removexattr() nfs4.Status {
	name, st := c.takeXattrName()
	if st != nfs4.OK {
		return st
	}
	return c.changeXattrs(func(x vfs.Xattrer, cred *vfs.Cred) error {
		return x.RemoveXattr(c.call.Ctx, cred, name)
	})
}

// changeXattrs makes a change and appends the object's change attribute before
// and after. Others may have changed it in between.
func (c *compound) changeXattrs(change func(vfs.Xattrer, *vfs.Cred) error) nfs4.Status {
	x, cred, st := c.xattrs()
	if st != nfs4.OK {
		return st
	}
	before, err := c.cur.node.GetAttr(c.call.Ctx, vfs.AttrChange)
	if err != nil {
		return statusOf(err)
	}
	if err := change(x, cred); err != nil {
		return xattrStatus(err)
	}
	after, err := c.cur.node.GetAttr(c.call.Ctx, vfs.AttrChange)
	if err != nil {
		return statusOf(err)
	}
	c.encodeChange(vfs.DirChange{Before: before.Change, After: after.Change})
	return nfs4.OK
}

// listxattrs is LISTXATTRS (RFC 8276 §8.4.3). The cookie counts the names
// given so far, in their order.
func (c *compound) listxattrs() nfs4.Status {
	cookie, maxCount := c.args.Uint64(), c.args.Uint32()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	x, cred, st := c.xattrs()
	if st != nfs4.OK {
		return st
	}
	names, err := x.ListXattr(c.call.Ctx, cred)
	if err != nil {
		return xattrStatus(err)
	}
	names = userXattrs(names)
	if cookie > uint64(len(names)) {
		return nfs4.ErrBadCookie
	}
	names = names[cookie:]
	const fixed = 8 + 4 + 4 // cookie, number of names, eof
	room := int(min(maxCount, uint32(c.room()))) - fixed
	n := 0
	for n < len(names) {
		if room -= 4 + (len(names[n])+3)&^3; room < 0 {
			break
		}
		n++
	}
	if room < 0 && n == 0 {
		return nfs4.ErrToosmall
	}
	c.reply.Uint64(cookie + uint64(n))
	c.reply.Uint32(uint32(n))
	for _, name := range names[:n] {
		c.reply.String(name)
	}
	c.reply.Bool(n == len(names))
	return nfs4.OK
}

// userXattrs keeps the names of users' attributes, without prefix, in order.
func userXattrs(names []string) []string {
	users := make([]string, 0, len(names))
	for _, name := range names {
		if user, ok := strings.CutPrefix(name, xattrPrefix); ok && user != "" {
			users = append(users, user)
		}
	}
	slices.Sort(users)
	return users
}

// xattrStatus is statusOf; a value that is too long for the file system has a
// status of its own (RFC 8276 §8.4.2.3).
func xattrStatus(err error) nfs4.Status {
	if errors.Is(err, vfs.ERANGE) {
		return nfs4.ErrXattr2big
	}
	return statusOf(err)
}
