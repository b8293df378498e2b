package fusefs

import (
	"math"

	"github.com/fsva/fsva/vfs"
)

const (
	mayExec  = 1
	mayWrite = 2
	mayRead  = 4
)

func permit(cred *vfs.Cred, a *vfs.Attr, rwx uint32) error {
	if !vfs.Permit(cred, a, rwx) {
		return vfs.EACCES
	}
	return nil
}

// mayRemove checks that cred may take child away from dir: it must be
// writable, and where it is sticky one of the two must be the caller's
// (unlink(2)).
func mayRemove(cred *vfs.Cred, dir, child *vfs.Attr) error {
	if err := permit(cred, dir, mayWrite|mayExec); err != nil {
		return err
	}
	if dir.Mode&vfs.ModeSticky == 0 || cred.UID == 0 || cred.UID == dir.UID || cred.UID == child.UID {
		return nil
	}
	return vfs.EPERM
}

// mayOpen checks that cred may open a file.
func mayOpen(cred *vfs.Cred, a *vfs.Attr, how vfs.OpenFlags) error {
	if how&vfs.OpenReclaim != 0 || how&vfs.OpenOwner != 0 && cred.UID == a.UID {
		return nil
	}
	var rwx uint32
	if how&vfs.OpenRead != 0 {
		rwx |= mayRead
	}
	if how&vfs.OpenWrite != 0 {
		rwx |= mayWrite
	}
	return permit(cred, a, rwx)
}

// maySet checks that cred may change attributes, but for the size.
func maySet(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) error {
	if cred.UID == 0 {
		return nil
	}
	owner := cred.UID == a.UID
	switch {
	case set.Has(vfs.SetUID|vfs.SetGID|vfs.SetMode|vfs.SetAtime|vfs.SetMtime) && !owner,
		set.Has(vfs.SetUID) && set.UID != a.UID,
		set.Has(vfs.SetGID) && set.GID != a.GID && !cred.InGroup(set.GID):
		return vfs.EPERM
	case set.Has(vfs.SetAtimeNow|vfs.SetMtimeNow) && !owner: // utimensat(2)
		return permit(cred, a, mayWrite)
	}
	return nil
}

// mayTruncate checks that cred may set the size.
func (h *held) mayTruncate(cred *vfs.Cred, a *vfs.Attr, set *vfs.SetAttr) error {
	switch {
	case a.Type == vfs.TypeDirectory:
		return vfs.EISDIR
	case a.Type != vfs.TypeRegular:
		return vfs.EINVAL
	case set.Size > math.MaxInt64:
		return vfs.EFBIG
	}
	if via, ok := set.Via.(*file); ok && via.entry == h.entry && via.writable {
		return nil
	}
	return permit(cred, a, mayWrite)
}
