package billy

import (
	"context"
	"os"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// SetAttr implements vfs.Node.
func (n *node) SetAttr(_ context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	if set == nil || set.Set == 0 {
		return nil
	}
	if err := n.fs.writable(); err != nil {
		return err
	}
	b, err := n.prepare(cred, set)
	if err != nil {
		return err
	}
	if b != nil {
		err = b.write(func(file billy.File) error { return b.truncate(file, int64(set.Size)) })
		if err == nil {
			err = n.fs.touch(n.ino, true)
		}
		if err == nil && cred.UID != 0 {
			err = n.dropSetID()
		}
		if err2 := n.fs.release(b); err == nil {
			err = err2
		}
		if err != nil {
			return err
		}
	}
	if set.Set&^vfs.SetSize != 0 {
		if err := n.apply(cred, set); err != nil {
			return err
		}
	}
	return n.fs.names.Commit()
}

// prepare checks that cred may make the change, and opens the file if its size
// is to be set.
func (n *node) prepare(cred *vfs.Cred, set *vfs.SetAttr) (*body, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return nil, err
	}
	fi, err := n.lstat(p)
	if err != nil {
		return nil, err
	}
	a, err := n.fs.attr(p.Record, fi)
	if err != nil {
		return nil, err
	}
	if set.Has(vfs.SetSize) {
		if err := n.mayTruncate(cred, &a, set); err != nil {
			return nil, err
		}
	}
	if err := n.fs.maySet(cred, &a, set); err != nil || !set.Has(vfs.SetSize) {
		return nil, err
	}
	return n.fs.acquire(n.ino), nil
}

func (n *node) mayTruncate(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) error {
	switch {
	case n.typ == vfs.TypeDirectory:
		return vfs.EISDIR
	case n.typ != vfs.TypeRegular:
		return vfs.EINVAL
	case set.Size > n.fs.opt.MaxFileSize:
		return vfs.EFBIG
	}
	if via, ok := set.Via.(*file); ok && via.node.fs == n.fs && via.node.ino == n.ino && via.how&vfs.OpenWrite != 0 {
		return nil
	}
	if !vfs.Permit(cred, a, mayWrite) {
		return vfs.EACCES
	}
	return nil
}

// maySet checks that cred may change what set has beside the size of a node
// with these attributes.
func (f *FS) maySet(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) error {
	if f.opt.Owner.Fixed && (set.Has(vfs.SetUID) && set.UID != a.UID || set.Has(vfs.SetGID) && set.GID != a.GID ||
		set.Has(vfs.SetMode) && set.Mode&0o7777 != a.Mode) {
		return vfs.EPERM
	}
	if cred.UID == 0 {
		return nil
	}
	owner := cred.UID == a.UID
	switch {
	case set.Has(vfs.SetUID|vfs.SetGID|vfs.SetMode|vfs.SetAtime|vfs.SetMtime) && !owner,
		set.Has(vfs.SetUID) && set.UID != a.UID,
		set.Has(vfs.SetGID) && set.GID != a.GID && !cred.InGroup(set.GID):
		return vfs.EPERM
	case set.Has(vfs.SetAtimeNow|vfs.SetMtimeNow) && !owner && !vfs.Permit(cred, a, mayWrite): // utimensat(2)
		return vfs.EACCES
	}
	return nil
}

// apply changes everything but the size.
func (n *node) apply(cred *vfs.Cred, set *vfs.SetAttr) error {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return err
	}
	fi, err := n.lstat(p)
	if err != nil {
		return err
	}
	a, err := n.fs.attr(p.Record, fi)
	if err != nil {
		return err
	}
	return n.fs.settle(p, fi, n.fs.wanted(cred, &a, set))
}

// wish is attributes that a node is to have.
type wish struct {
	set          vfs.SetMask // SetMode, SetUID for both owners, SetAtime, SetMtime
	mode         uint32
	uid, gid     uint32
	atime, mtime vfs.Timespec
}

// wanted is what set makes of a node with attributes a.
func (f *FS) wanted(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) wish {
	w := wish{mode: a.Mode, uid: a.UID, gid: a.GID, atime: a.Atime, mtime: a.Mtime}
	now := vfs.TimespecOf(f.opt.Clock())
	if set.Has(vfs.SetUID | vfs.SetGID) {
		w.set |= vfs.SetUID
		if set.Has(vfs.SetUID) {
			w.uid = set.UID
		}
		if set.Has(vfs.SetGID) {
			w.gid = set.GID
		}
		if mode := withoutSetID(a.Mode); a.Type != vfs.TypeDirectory && mode != a.Mode { // chown(2)
			w.set |= vfs.SetMode
			w.mode = mode
		}
	}
	if set.Has(vfs.SetMode) {
		w.set |= vfs.SetMode
		w.mode = set.Mode & 0o7777
		if a.Type != vfs.TypeDirectory && cred.UID != 0 && !cred.InGroup(w.gid) { // chmod(2)
			w.mode &^= vfs.ModeSetGID
		}
	}
	switch {
	case set.Has(vfs.SetAtime):
		w.set, w.atime = w.set|vfs.SetAtime, set.Atime
	case set.Has(vfs.SetAtimeNow):
		w.set, w.atime = w.set|vfs.SetAtime, now
	}
	switch {
	case set.Has(vfs.SetMtime):
		w.set, w.mtime = w.set|vfs.SetMtime, set.Mtime
	case set.Has(vfs.SetMtimeNow):
		w.set, w.mtime = w.set|vfs.SetMtime, now
	}
	return w
}

// settle gives a node attributes: the file system those it takes, and the index
// the rest. The tree is locked.
func (f *FS) settle(p place, fi os.FileInfo, w wish) error {
	has := native(fi)
	asked, err := f.ask(p, &has, w)
	if err != nil {
		return err
	}
	if asked {
		if fi, err = f.lstat(p.path); err != nil {
			return errnoOf(err)
		}
		has = native(fi)
	}
	return f.names.Update(func(tx *index.Tx) error {
		r, err := tx.Node(p.Ino)
		if err != nil {
			return err
		}
		f.keep(r, &has, w)
		f.changed(tx, r, false)
		return nil
	})
}

// ask has the file system change what it can. That cred may do it was checked
// before: what the file system does not permit, it does not permit to this
// process, as with chown to one that is not root. Owner comes before mode, since
// chown(2) takes bits of that away.
func (f *FS) ask(p place, has *vfs.Attr, w wish) (asked bool, err error) {
	try := func(err error) error {
		if err == nil {
			asked = true
		}
		switch errno := vfs.ErrnoOf(errnoOf(err)); errno {
		case vfs.EPERM, vfs.EACCES, vfs.EOPNOTSUPP, syscall.ENOSYS:
			return nil // then it is the index that keeps it
		}
		return errnoOf(err)
	}
	told := has.Valid&vfs.AttrOwner != 0 // else nobody would see it
	if w.set&vfs.SetUID != 0 && f.can.change != nil && told && (has.UID != w.uid || has.GID != w.gid) {
		if err := try(f.can.change.Lchown(p.path, int(w.uid), int(w.gid))); err != nil {
			return asked, err
		}
	}
	if p.Type == vfs.TypeSymlink { // the rest would go through to the target
		return asked, nil
	}
	if w.set&vfs.SetMode != 0 && f.can.chmod != nil && (has.Mode != w.mode || asked) {
		if err := try(f.can.chmod.Chmod(p.path, vfs.FileMode(w.mode))); err != nil {
			return asked, err
		}
	}
	if w.set&(vfs.SetAtime|vfs.SetMtime) != 0 && f.can.change != nil {
		if err := try(f.can.change.Chtimes(p.path, w.atime.Time(), w.mtime.Time())); err != nil {
			return asked, err
		}
	}
	return asked, nil
}

// keep puts into a record what of a wish the file system does not show.
func (f *FS) keep(r *index.Record, has *vfs.Attr, w wish) {
	note := func(bit vfs.AttrMask, shown bool) bool {
		if shown {
			r.Kept &^= bit
		} else {
			r.Kept |= bit
		}
		return !shown
	}
	if w.set&vfs.SetMode != 0 && note(vfs.AttrMode, has.Mode == w.mode && f.opt.Owner.Mask == 0) {
		r.Mode = w.mode
	}
	if w.set&vfs.SetUID != 0 && note(vfs.AttrOwner, has.Valid&vfs.AttrOwner != 0 && has.UID == w.uid && has.GID == w.gid) {
		r.UID, r.GID = w.uid, w.gid
	}
	if w.set&vfs.SetAtime != 0 && note(index.KeptAtime, has.Valid&vfs.AttrTimes != 0 && has.Atime == w.atime) {
		r.Atime = w.atime
	}
	if w.set&vfs.SetMtime != 0 && note(index.KeptMtime, has.Mtime == w.mtime) {
		r.Mtime, r.MtimeBase = w.mtime, has.Mtime
	}
}
