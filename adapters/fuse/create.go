package fusefs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/hanwen/go-fuse/v2/fuse"

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
	// Not all file systems refuse a name that is taken: the kernel asks first.
	there, err := h.walk(cred, name)
	if err == nil {
		there.release()
		return nil, vfs.EEXIST
	}
	if vfs.ErrnoOf(err) != vfs.ENOENT {
		return nil, err
	}
	if err := permit(h.fs.judge(cred), &b.dir, mayWrite); err != nil {
		return nil, err
	}
	return b, h.decide(b, typ)
}

// decide finds the owner and the mode (inode(7), open(2)). What the caller may ask
// for is checked whoever judges permissions: no call that makes a node tells the
// file system of the owner.
func (h *held) decide(b *birth, typ vfs.FileType) error {
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

// deliver sets what could not be said or was not heeded when child was made.
// Where that fails the new node is removed again.
func (h *held) deliver(name string, b *birth, child *held) (change vfs.DirChange, err error) {
	if err = child.committed().finish(b); err == nil {
		change, err = h.told(&b.dir)
	}
	if err != nil {
		h.undo(child, name, &b.attr)
	}
	return change, err
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
	want := h.destined(b, &a)
	var set vfs.SetAttr
	if b.set != nil {
		set = *b.set
		set.Set &= vfs.SetAtime | vfs.SetMtime | vfs.SetAtimeNow | vfs.SetMtimeNow
	}
	if !h.fs.opt.SingleUser {
		if a.UID != want.UID {
			set.Set, set.UID = set.Set|vfs.SetUID, want.UID
		}
		if a.GID != want.GID {
			set.Set, set.GID = set.Set|vfs.SetGID, want.GID
		}
	}
	who := vfs.Root // also for times, where the verifier of an exclusive create may be
	if h.fs.opt.OwnPermissions && set.Has(vfs.SetUID|vfs.SetGID) {
		who = b.cred
	}
	// A change of the owner drops set-id bits, so the mode goes with it.
	if want.Type != vfs.TypeSymlink && (a.Mode != want.Mode || set.Has(vfs.SetUID|vfs.SetGID)) {
		set.Set, set.Mode = set.Set|vfs.SetMode, want.Mode
	}
	return h.set(who, &a, &set)
}

// destined returns the owner and mode that a new node is to have, which has those
// in a. A file system that judges permissions has decided on the mode, and on an
// owner that was not asked for. Only root makes set-id files of others, though.
func (h *held) destined(b *birth, a *vfs.Attr) vfs.Attr {
	want := b.attr
	if !h.fs.opt.OwnPermissions {
		return want
	}
	want.Mode = a.Mode
	if !b.set.Has(vfs.SetUID) {
		want.UID = a.UID
	}
	if !b.set.Has(vfs.SetGID) {
		want.GID = a.GID
	}
	if b.cred.UID != 0 && want.Type != vfs.TypeDirectory {
		if want.UID != b.cred.UID {
			want.Mode &^= vfs.ModeSetUID
		}
		if !b.cred.InGroup(want.GID) {
			want.Mode &^= vfs.ModeSetGID
		}
	}
	return want
}

// undo removes what was just made.
func (h *held) undo(child *held, name string, a *vfs.Attr) {
	if h.committed().unlink(vfs.Root, name, a.Type == vfs.TypeDirectory) == nil {
		h.changed()
		h.fs.nodes.removed(child.entry)
	}
}

// Create implements vfs.Node.
func (n *node) Create(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (created vfs.Node, opened vfs.File, change vfs.DirChange, err error) {
	err = n.changeDir(ctx, func(h *held) error {
		b, err := h.expect(cred, name, vfs.TypeRegular, set)
		if err != nil {
			return err
		}
		out, err := h.create(name, b, how)
		if err != nil {
			return err
		}
		// The open counts from here on, so that the file is changed through it.
		child, err := h.met(&out.EntryOut)
		if err != nil {
			return err
		}
		defer child.release()
		f := child.opened(&out.OpenOut, cred, how)
		if change, err = h.deliver(name, b, child); err != nil {
			f.Close()
			return err
		}
		created, opened = child.node, f
		return nil
	})
	return created, opened, change, err
}

// create makes a file and opens it, by CREATE or else by MKNOD and OPEN.
func (h *held) create(name string, b *birth, how vfs.OpenFlags) (*fuse.CreateOut, error) {
	var out fuse.CreateOut
	in := fuse.CreateIn{
		InHeader: h.fs.header(b.cred, h.entry), Mode: unix.S_IFREG | b.attr.Mode, Flags: openFlags(how) | unix.O_CREAT | unix.O_EXCL,
	}
	err := h.fs.call(func() fuse.Status { return h.fs.raw.Create(cancel(h.ctx), &in, name, &out) })
	if err != notImplemented {
		return &out, err
	}
	mk := fuse.MknodIn{InHeader: h.fs.header(b.cred, h.entry), Mode: in.Mode}
	err = h.fs.call(func() fuse.Status { return h.fs.raw.Mknod(cancel(h.ctx), &mk, name, &out.EntryOut) })
	if err != nil {
		return nil, supported(err)
	}
	open := fuse.OpenIn{InHeader: h.fs.header(vfs.Root, h.entry), Flags: openFlags(how)}
	open.NodeId = out.NodeId
	err = h.fs.call(func() fuse.Status { return h.fs.raw.Open(nil, &open, &out.OpenOut) })
	if err == notImplemented {
		out.OpenFlags, err = noOpen, nil
	}
	if err != nil {
		_ = h.committed().unlink(vfs.Root, name, false) // the first error counts
		h.fs.forget(out.NodeId, 1)
	}
	return &out, err
}

// bear makes a node that is not opened by what make does.
func (n *node) bear(ctx context.Context, cred *vfs.Cred, name string, typ vfs.FileType, set *vfs.SetAttr, make func(*held, *birth, *fuse.EntryOut) fuse.Status) (born vfs.Node, change vfs.DirChange, err error) {
	err = n.changeDir(ctx, func(h *held) error {
		b, err := h.expect(cred, name, typ, set)
		if err != nil {
			return err
		}
		var out fuse.EntryOut
		if err := n.fs.call(func() fuse.Status { return make(h, b, &out) }); err != nil {
			return supported(err)
		}
		child, err := h.met(&out)
		if err != nil {
			return err
		}
		defer child.release()
		born = child.node
		change, err = h.deliver(name, b, child)
		return err
	})
	if err != nil {
		return nil, change, err
	}
	return born, change, nil
}

// Mkdir implements vfs.Node.
func (n *node) Mkdir(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return n.bear(ctx, cred, name, vfs.TypeDirectory, set, func(h *held, b *birth, out *fuse.EntryOut) fuse.Status {
		in := fuse.MkdirIn{InHeader: n.fs.header(b.cred, h.entry), Mode: b.attr.Mode}
		return n.fs.raw.Mkdir(cancel(ctx), &in, name, out)
	})
}

// Symlink implements vfs.Node.
func (n *node) Symlink(ctx context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return n.bear(ctx, cred, name, vfs.TypeSymlink, set, func(h *held, b *birth, out *fuse.EntryOut) fuse.Status {
		in := n.fs.header(b.cred, h.entry)
		return n.fs.raw.Symlink(cancel(ctx), &in, target, name, out)
	})
}

// Mknod implements vfs.Mknoder.
func (n *node) Mknod(ctx context.Context, cred *vfs.Cred, name string, typ vfs.FileType, rdev vfs.Rdev, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
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
	return n.bear(ctx, cred, name, typ, set, func(h *held, b *birth, out *fuse.EntryOut) fuse.Status {
		in := fuse.MknodIn{
			InHeader: n.fs.header(b.cred, h.entry), Mode: modeBits[typ] | b.attr.Mode,
			Rdev: uint32(unix.Mkdev(rdev.Major, rdev.Minor)), // new_encode_dev of the kernel
		}
		return n.fs.raw.Mknod(cancel(ctx), &in, name, out)
	})
}

// Link implements vfs.Linker. That the node is no directory is known before
// anything is locked: nothing but a rename may lock directories that do not lie
// in each other.
func (n *node) Link(ctx context.Context, cred *vfs.Cred, newDir vfs.Node, newName string) (change vfs.DirChange, err error) {
	dst, ok := newDir.(*node)
	if !ok || dst.fs != n.fs {
		return change, vfs.EXDEV
	}
	target, err := n.hold(ctx)
	if err != nil {
		return change, err
	}
	defer target.release()
	a, err := target.calmAttr()
	switch {
	case err != nil:
		return change, err
	case a.Type == vfs.TypeDirectory:
		return change, vfs.EPERM
	}
	err = dst.changeDir(ctx, func(h *held) error {
		b, err := h.expect(cred, newName, vfs.TypeRegular, nil)
		if err != nil {
			return err
		}
		if err := h.link(cred, target, newName); err != nil {
			return err
		}
		change, err = h.told(&b.dir)
		return err
	})
	return change, err
}

// link gives a node that is no directory a name in the directory.
func (h *held) link(cred *vfs.Cred, target *held, name string) error {
	target.op.Lock()
	defer target.op.Unlock()
	var out fuse.EntryOut
	in := fuse.LinkIn{InHeader: h.fs.header(cred, h.entry), Oldnodeid: target.entry.id}
	if err := h.fs.call(func() fuse.Status { return h.fs.raw.Link(cancel(h.ctx), &in, name, &out) }); err != nil {
		return supported(err)
	}
	target.changed()
	child, err := h.met(&out)
	if err == nil {
		child.release()
	}
	return err
}
