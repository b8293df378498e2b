package mem

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// SetAttr implements vfs.Node. Everything is checked before anything is
// changed.
func (n *inode) SetAttr(_ context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return vfs.ESTALE
	}
	if set == nil || set.Set == 0 {
		return nil
	}
	if err := n.maySet(cred, set); err != nil {
		return err
	}
	if set.Has(vfs.SetSize) {
		if err := n.data.truncate(n.fs, int64(set.Size)); err != nil {
			return err
		}
		n.dropSetID(cred)
	}
	n.changed(set.Has(vfs.SetSize))
	n.apply(cred, set)
	return nil
}

// maySet checks that cred may make the change. n.mu is held.
func (n *inode) maySet(cred *vfs.Cred, set *vfs.SetAttr) error {
	if set.Has(vfs.SetSize) {
		if err := n.mayTruncate(cred, set); err != nil {
			return err
		}
	}
	if cred.UID == 0 {
		return nil
	}
	owner := cred.UID == n.uid
	switch {
	case set.Has(vfs.SetUID|vfs.SetGID|vfs.SetMode|vfs.SetAtime|vfs.SetMtime) && !owner,
		set.Has(vfs.SetUID) && set.UID != n.uid,
		set.Has(vfs.SetGID) && set.GID != n.gid && !cred.InGroup(set.GID):
		return vfs.EPERM
	case set.Has(vfs.SetAtimeNow|vfs.SetMtimeNow) && !owner: // utimensat(2)
		return n.permit(cred, mayWrite)
	}
	return nil
}

func (n *inode) mayTruncate(cred *vfs.Cred, set *vfs.SetAttr) error {
	switch {
	case n.typ == vfs.TypeDirectory:
		return vfs.EISDIR
	case n.typ != vfs.TypeRegular:
		return vfs.EINVAL
	case set.Size > maxFileSize:
		return vfs.EFBIG
	}
	if via, ok := set.Via.(*file); ok && via.inode == n && via.how&vfs.OpenWrite != 0 {
		return nil
	}
	return n.permit(cred, mayWrite)
}

// apply changes everything but the size. n.mu is held.
func (n *inode) apply(cred *vfs.Cred, set *vfs.SetAttr) {
	if set.Has(vfs.SetUID|vfs.SetGID) && n.typ != vfs.TypeDirectory { // chown(2)
		n.clearSetID()
	}
	if set.Has(vfs.SetUID) {
		n.uid = set.UID
	}
	if set.Has(vfs.SetGID) {
		n.gid = set.GID
	}
	if set.Has(vfs.SetMode) {
		n.mode = set.Mode & 0o7777
		if n.typ != vfs.TypeDirectory && cred.UID != 0 && !cred.InGroup(n.gid) { // chmod(2)
			n.mode &^= vfs.ModeSetGID
		}
	}
	switch {
	case set.Has(vfs.SetAtime):
		n.atime = set.Atime
	case set.Has(vfs.SetAtimeNow):
		n.atime = n.ctime
	}
	switch {
	case set.Has(vfs.SetMtime):
		n.mtime = set.Mtime
	case set.Has(vfs.SetMtimeNow):
		n.mtime = n.ctime
	}
}

// dropSetID takes the set-id bits away when others than root change the data.
// n.mu is held.
func (n *inode) dropSetID(cred *vfs.Cred) {
	if cred.UID != 0 {
		n.clearSetID()
	}
}

// clearSetID takes set-user-ID away, and set-group-ID where it is that and not
// the mark of mandatory locking (inode(7)). n.mu is held.
func (n *inode) clearSetID() {
	n.mode &^= vfs.ModeSetUID
	if n.mode&0o010 != 0 {
		n.mode &^= vfs.ModeSetGID
	}
}
