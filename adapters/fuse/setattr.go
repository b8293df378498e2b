package fusefs

import (
	"context"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// SetAttr implements vfs.Node. Everything is checked before anything is
// changed; the size is a change of its own, and the first.
func (n *node) SetAttr(ctx context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	if set == nil || set.Set == 0 {
		return nil
	}
	return n.alone(ctx, func(h *held) error {
		who := n.fs.judge(cred)
		a, err := h.attr()
		if err != nil {
			return err
		}
		if set.Has(vfs.SetSize) {
			if err := h.mayTruncate(who, &a, set); err != nil {
				return err
			}
		}
		if err := maySet(who, &a, set); err != nil {
			return err
		}
		if set.Has(vfs.SetSize) {
			if err := h.truncate(cred, &a, set.Size); err != nil {
				return err
			}
		}
		rest := *set
		rest.Set &^= vfs.SetSize
		return h.set(cred, &a, &rest)
	})
}

// truncate sets the size, and drops set-id bits as truncate(2) does.
func (h *held) truncate(cred *vfs.Cred, a *vfs.Attr, size uint64) error {
	if err := h.apply(cred, &vfs.SetAttr{Set: vfs.SetSize, Size: size}); err != nil {
		return err
	}
	return h.dropSetID(cred, a)
}

// dropSetID takes the set-id bits away when others than root change the data. The
// kernel does so whoever judges permissions.
func (h *held) dropSetID(cred *vfs.Cred, a *vfs.Attr) error {
	const bits = vfs.ModeSetUID | vfs.ModeSetGID
	if h.fs.as(cred).UID == 0 || a.Mode&bits == 0 {
		return nil
	}
	a.Mode &^= bits
	return h.set(vfs.Root, a, &vfs.SetAttr{Set: vfs.SetMode, Mode: a.Mode})
}

// set changes everything but the size of a node whose attributes are a.
func (h *held) set(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) error {
	if set.Set == 0 {
		return nil
	}
	s := *set
	who := h.fs.judge(cred)
	switch {
	case s.Has(vfs.SetMode):
		group := a.GID
		if s.Has(vfs.SetGID) {
			group = s.GID
		}
		if a.Type != vfs.TypeDirectory && who.UID != 0 && !who.InGroup(group) { // chmod(2)
			s.Mode &^= vfs.ModeSetGID
		}
	case s.Has(vfs.SetUID|vfs.SetGID) && a.Type != vfs.TypeDirectory && a.Mode&(vfs.ModeSetUID|vfs.ModeSetGID) != 0:
		s.Set |= vfs.SetMode // chown(2)
		s.Mode = a.Mode &^ (vfs.ModeSetUID | vfs.ModeSetGID)
	}
	return h.apply(cred, &s)
}

// apply has the file system change attributes, by the handle of an open file if
// there is one: its name may be gone. op is held.
func (h *held) apply(cred *vfs.Cred, set *vfs.SetAttr) error {
	in := fuse.SetAttrIn{}
	in.InHeader = h.fs.header(cred, h.entry)
	in.Valid = validBits(set)
	in.Mode, in.Size = set.Mode&permBits, set.Size
	in.Owner.Uid, in.Owner.Gid = set.UID, set.GID
	in.Atime, in.Atimensec = uint64(set.Atime.Sec), set.Atime.Nsec
	in.Mtime, in.Mtimensec = uint64(set.Mtime.Sec), set.Mtime.Nsec
	if fh, open := h.fs.nodes.opened(h.entry, set.Has(vfs.SetSize)); open {
		in.Valid, in.Fh = in.Valid|fuse.FATTR_FH, fh
	}
	var out fuse.AttrOut
	if err := h.fs.call(func() fuse.Status { return h.fs.raw.SetAttr(nil, &in, &out) }); err != nil {
		return gone(err)
	}
	h.changed()
	return nil
}

func validBits(set *vfs.SetAttr) (valid uint32) {
	for _, m := range []struct {
		set   vfs.SetMask
		valid uint32
	}{
		{vfs.SetMode, fuse.FATTR_MODE},
		{vfs.SetUID, fuse.FATTR_UID},
		{vfs.SetGID, fuse.FATTR_GID},
		{vfs.SetSize, fuse.FATTR_SIZE},
		{vfs.SetAtime, fuse.FATTR_ATIME},
		{vfs.SetMtime, fuse.FATTR_MTIME},
		{vfs.SetAtimeNow, fuse.FATTR_ATIME | fuse.FATTR_ATIME_NOW},
		{vfs.SetMtimeNow, fuse.FATTR_MTIME | fuse.FATTR_MTIME_NOW},
	} {
		if set.Has(m.set) {
			valid |= m.valid
		}
	}
	return valid
}
