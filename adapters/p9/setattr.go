package p9fs

import (
	"context"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// SetAttr implements vfs.Node. Everything is checked before anything is
// changed; the size is a change of its own, and the first.
func (n *node) SetAttr(_ context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	if set == nil || set.Set == 0 {
		return nil
	}
	return n.alone(func(h *held) error {
		who := n.fs.as(cred)
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
			if err := h.truncate(who, &a, set.Size); err != nil {
				return err
			}
		}
		rest := *set
		rest.Set &^= vfs.SetSize
		return h.set(who, &a, &rest)
	})
}

// truncate sets the size, and drops set-id bits as truncate(2) does.
func (h *held) truncate(cred *vfs.Cred, a *vfs.Attr, size uint64) error {
	err := h.fid.file.SetAttr(p9.SetAttrMask{Size: true}, p9.SetAttr{Size: size})
	if err != nil {
		return gone(err)
	}
	h.changed()
	return h.dropSetID(cred, a)
}

// dropSetID takes the set-id bits away when others than root change the data.
func (h *held) dropSetID(cred *vfs.Cred, a *vfs.Attr) error {
	const bits = vfs.ModeSetUID | vfs.ModeSetGID
	if cred.UID == 0 || a.Mode&bits == 0 {
		return nil
	}
	a.Mode &^= bits
	return h.set(cred, a, &vfs.SetAttr{Set: vfs.SetMode, Mode: a.Mode})
}

// set changes everything but the size of a node whose attributes are a.
func (h *held) set(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) error {
	if set.Set == 0 {
		return nil
	}
	mask, p := setAttr(set)
	switch {
	case set.Has(vfs.SetMode):
		group := a.GID
		if set.Has(vfs.SetGID) {
			group = set.GID
		}
		if a.Type != vfs.TypeDirectory && cred.UID != 0 && !cred.InGroup(group) { // chmod(2)
			p.Permissions &^= vfs.ModeSetGID
		}
	case set.Has(vfs.SetUID|vfs.SetGID) && a.Type != vfs.TypeDirectory && a.Mode&(vfs.ModeSetUID|vfs.ModeSetGID) != 0:
		mask.Permissions = true // chown(2)
		p.Permissions = p9.FileMode(a.Mode &^ (vfs.ModeSetUID | vfs.ModeSetGID))
	}
	if err := h.fid.file.SetAttr(mask, p); err != nil {
		return gone(err)
	}
	h.changed()
	return nil
}

// setAttr converts a change of attributes.
func setAttr(set *vfs.SetAttr) (p9.SetAttrMask, p9.SetAttr) {
	mask := p9.SetAttrMask{
		Permissions:        set.Has(vfs.SetMode),
		UID:                set.Has(vfs.SetUID),
		GID:                set.Has(vfs.SetGID),
		Size:               set.Has(vfs.SetSize),
		ATime:              set.Has(vfs.SetAtime | vfs.SetAtimeNow),
		MTime:              set.Has(vfs.SetMtime | vfs.SetMtimeNow),
		ATimeNotSystemTime: set.Has(vfs.SetAtime),
		MTimeNotSystemTime: set.Has(vfs.SetMtime),
	}
	return mask, p9.SetAttr{
		Permissions:      p9.FileMode(set.Mode & permBits),
		UID:              p9.UID(set.UID),
		GID:              p9.GID(set.GID),
		Size:             set.Size,
		ATimeSeconds:     uint64(set.Atime.Sec),
		ATimeNanoSeconds: uint64(set.Atime.Nsec),
		MTimeSeconds:     uint64(set.Mtime.Sec),
		MTimeNanoSeconds: uint64(set.Mtime.Nsec),
	}
}
