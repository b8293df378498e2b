package p9fs

import (
	"context"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// birth is what a new node is to have: the owner and mode that the directory
// and the caller decide on, and what the caller wants set.
type birth struct {
	dir  vfs.Attr // before
	cred *vfs.Cred
	attr vfs.Attr // Type, Mode, UID and GID
	set  *vfs.SetAttr
}

// expect checks that cred may make name in the directory, which is free.
func (h *held) expect(cred *vfs.Cred, name string, typ vfs.FileType, set *vfs.SetAttr) (*birth, error) {
	b := &birth{cred: h.fs.as(cred), set: set}
	var err error
	if b.dir, err = h.search(cred, mayExec); err != nil {
		return nil, err
	}
	// Not all file systems refuse a name that is taken.
	_, there, err := h.fid.walk(name)
	if err == nil {
		there.unref()
		return nil, vfs.EEXIST
	}
	if vfs.ErrnoOf(err) != vfs.ENOENT {
		return nil, err
	}
	if err := permit(b.cred, &b.dir, mayWrite); err != nil {
		return nil, err
	}
	return b, b.decide(typ)
}

// decide finds the owner and the mode (inode(7), open(2)).
func (b *birth) decide(typ vfs.FileType) error {
	a := vfs.Attr{Type: typ, UID: b.cred.UID, GID: b.cred.GID}
	if b.dir.Mode&vfs.ModeSetGID != 0 {
		a.GID = b.dir.GID
	}
	if b.set.Has(vfs.SetSize) && b.set.Size != 0 {
		return vfs.EINVAL
	}
	if b.set != nil {
		if err := maySet(b.cred, &a, b.set); err != nil {
			return err
		}
	}
	if b.set.Has(vfs.SetUID) {
		a.UID = b.set.UID
	}
	if b.set.Has(vfs.SetGID) {
		a.GID = b.set.GID
	}
	if b.set.Has(vfs.SetMode) {
		a.Mode = b.set.Mode & permBits
		if typ != vfs.TypeDirectory && b.cred.UID != 0 && !b.cred.InGroup(a.GID) {
			a.Mode &^= vfs.ModeSetGID
		}
	}
	switch typ {
	case vfs.TypeDirectory:
		a.Mode |= b.dir.Mode & vfs.ModeSetGID
	case vfs.TypeSymlink:
		a.Mode = 0o777
	}
	b.attr = a
	return nil
}

// deliver finds what was made, and sets what could not be said or was not
// heeded when it was. Where that fails the new node is removed again.
func (h *held) deliver(name string, b *birth) (*held, vfs.DirChange, error) {
	child, err := h.walk(name)
	if err != nil {
		return nil, vfs.DirChange{}, err
	}
	err = child.finish(b)
	var change vfs.DirChange
	if err == nil {
		change, err = h.told(&b.dir)
	}
	if err != nil {
		h.undo(child, name, &b.attr)
		child.release()
		return nil, vfs.DirChange{}, err
	}
	return child, change, nil
}

// finish makes a new node's attributes what they are to be.
func (h *held) finish(b *birth) error {
	h.op.Lock()
	defer h.op.Unlock()
	h.changed()
	a, err := h.attr()
	if err != nil {
		return err
	}
	var set vfs.SetAttr
	if b.set != nil {
		set = *b.set
		set.Set &= vfs.SetAtime | vfs.SetMtime | vfs.SetAtimeNow | vfs.SetMtimeNow
	}
	if !h.fs.opt.SingleUser {
		if a.UID != b.attr.UID {
			set.Set, set.UID = set.Set|vfs.SetUID, b.attr.UID
		}
		if a.GID != b.attr.GID {
			set.Set, set.GID = set.Set|vfs.SetGID, b.attr.GID
		}
	}
	// A change of the owner drops set-id bits, so the mode goes with it.
	if b.attr.Type != vfs.TypeSymlink && (a.Mode != b.attr.Mode || set.Has(vfs.SetUID|vfs.SetGID)) {
		set.Set, set.Mode = set.Set|vfs.SetMode, b.attr.Mode
	}
	return h.set(vfs.Root, &a, &set)
}

// undo removes what was just made.
func (h *held) undo(child *held, name string, a *vfs.Attr) {
	if h.fid.file.UnlinkAt(name, unlinkFlags(a.Type == vfs.TypeDirectory)) == nil {
		h.changed()
		h.fs.nodes.unnamed(child.entry, place{h.entry, name}, true)
	}
}

// Create implements vfs.Node.
func (n *node) Create(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (created vfs.Node, opened vfs.File, change vfs.DirChange, err error) {
	err = n.alone(func(h *held) error {
		b, err := h.expect(cred, name, vfs.TypeRegular, set)
		if err != nil {
			return err
		}
		f, err := h.create(name, b, openFlags(how))
		if err != nil {
			return err
		}
		child, told, err := h.deliver(name, b)
		if err != nil {
			f.unref()
			return err
		}
		defer child.release()
		created, change = child.node, told
		opened = child.opened(f, b.cred, how)
		return nil
	})
	return created, opened, change, err
}

// create returns the opened File of a new file.
func (h *held) create(name string, b *birth, flags p9.OpenFlags) (*fid, error) {
	dir, err := h.fid.clone() // which a client's File gives up for the file
	if err != nil {
		return nil, err
	}
	uid, gid := h.fs.made(&b.attr)
	file, _, _, err := dir.file.Create(name, flags, p9.FileMode(b.attr.Mode), uid, gid)
	if err != nil {
		dir.unref()
		return nil, errno(err)
	}
	if sameFile(file, dir.file) {
		return dir, nil
	}
	dir.unref()
	return newFID(file, h.fid.ref()), nil
}

// bear makes a node that is not opened by what make does.
func (n *node) bear(cred *vfs.Cred, name string, typ vfs.FileType, set *vfs.SetAttr, make func(p9.File, *birth, p9.UID, p9.GID) error) (born vfs.Node, change vfs.DirChange, err error) {
	err = n.alone(func(h *held) error {
		b, err := h.expect(cred, name, typ, set)
		if err != nil {
			return err
		}
		uid, gid := n.fs.made(&b.attr)
		if err := make(h.fid.file, b, uid, gid); err != nil {
			return errno(err)
		}
		var child *held
		if child, change, err = h.deliver(name, b); err != nil {
			return err
		}
		born = child.node
		child.release()
		return nil
	})
	return born, change, err
}

// Mkdir implements vfs.Node.
func (n *node) Mkdir(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return n.bear(cred, name, vfs.TypeDirectory, set, func(f p9.File, b *birth, uid p9.UID, gid p9.GID) error {
		_, err := f.Mkdir(name, p9.FileMode(b.attr.Mode), uid, gid)
		return err
	})
}

// Symlink implements vfs.Node.
func (n *node) Symlink(_ context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return n.bear(cred, name, vfs.TypeSymlink, set, func(f p9.File, _ *birth, uid p9.UID, gid p9.GID) error {
		_, err := f.Symlink(target, name, uid, gid)
		return err
	})
}

// Mknod implements vfs.Mknoder.
func (n *node) Mknod(_ context.Context, cred *vfs.Cred, name string, typ vfs.FileType, rdev vfs.Rdev, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	switch typ {
	case vfs.TypeBlock, vfs.TypeChar:
		if n.fs.as(cred).UID != 0 { // mknod(2), CAP_MKNOD
			return nil, vfs.DirChange{}, vfs.EPERM
		}
	case vfs.TypeFIFO, vfs.TypeSocket:
		rdev = vfs.Rdev{}
	default:
		return nil, vfs.DirChange{}, vfs.EINVAL
	}
	return n.bear(cred, name, typ, set, func(f p9.File, b *birth, uid p9.UID, gid p9.GID) error {
		_, err := f.Mknod(name, modeBits[typ]|p9.FileMode(b.attr.Mode), rdev.Major, rdev.Minor, uid, gid)
		return err
	})
}
