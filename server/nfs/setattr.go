package nfs

import (
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// setattr is SETATTR (RFC 8881 §18.30). Its result tells which attributes
// were set; when it fails, that is none.
func (c *compound) setattr() nfs4.Status {
	given, st := c.setAttrs()
	if st == nfs4.OK {
		given.encode(&c.reply.Encoder)
	}
	return st
}

// setAttrs does it all or, as far as the file system can, not at all.
func (c *compound) setAttrs() (bitmap, nfs4.Status) {
	sid := c.takeStateID()
	chg, st := c.takeAttrs(&settableAttrs)
	if st != nfs4.OK {
		return bitmap{}, st
	}
	cred := c.caller()
	c.call.MayBlock()
	// Only a change of the size depends on the stateid (§18.30.3).
	if chg.set.Has(vfs.SetSize) {
		f, st := c.fileToTruncate(sid)
		if st != nfs4.OK {
			return bitmap{}, st
		}
		defer f.release()
		chg.set.Via = f.File
	}
	if chg.given.has(nfs4.AttrModeSetMasked) || chg.set.Has(vfs.SetMode) {
		at, err := c.cur.node.GetAttr(c.call.Ctx, vfs.AttrType|vfs.AttrMode)
		if err != nil {
			return bitmap{}, statusOf(err)
		}
		chg.applyMask(at.Mode)
		if at.Type == vfs.TypeSymlink {
			chg.set.Set &^= vfs.SetMode // it has none; clients that restore trees set it all the same
		}
	}
	if chg.set.Set == 0 {
		return chg.given, nfs4.OK
	}
	err := c.cur.node.SetAttr(c.call.Ctx, cred, &chg.set)
	if err == nil && chg.set.Via != nil {
		err = c.makeDurable(chg.set.Via)
	}
	return chg.given, statusOf(err)
}

// fileToTruncate opens the current file for a change of its size, which needs
// what a WRITE by the stateid would need.
func (c *compound) fileToTruncate(sid nfs4.StateID) (fileRef, nfs4.Status) {
	switch st := c.checkRegular(&c.cur); st {
	case nfs4.OK:
		return c.fileFor(&c.cur, sid, lock.ShareWrite)
	case nfs4.ErrSymlink, nfs4.ErrWrongType:
		return fileRef{}, nfs4.ErrInval
	default:
		return fileRef{}, st
	}
}
