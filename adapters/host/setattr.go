package host

import (
	"context"
	"errors"
	"math"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// SetAttr implements vfs.Node.
func (n *node) SetAttr(_ context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	return n.modify(func(desc *descriptor) error {
		if set.Has(vfs.SetSize) {
			if err := n.setSize(desc, cred, set); err != nil {
				return err
			}
		}
		return n.fs.setRest(desc.fd, cred, set)
	})
}

// modify runs change on the node's path descriptor, notes the change and makes
// it durable where that was asked for. The lock is that of changes of the
// directory that the node may be: they report change attributes.
func (n *node) modify(change func(*descriptor) error) error {
	desc, st, err := n.live(vfs.AttrType)
	if err != nil {
		return err
	}
	defer desc.release()
	if typeOf(st.Mode) == vfs.TypeDirectory {
		l := n.dirLock()
		l.Lock()
		defer l.Unlock()
	}
	err = change(desc)
	n.fs.noteChange(n.handle, desc.fd) // also an error may come after a part
	if err != nil {
		return err
	}
	return n.fs.syncMeta(desc.fd)
}

// syncMeta makes the metadata of a file or directory durable. Other nodes
// cannot be synced; file systems journal them with the directory.
func (f *FS) syncMeta(node int) error {
	if !f.syncMetadata {
		return nil
	}
	st, err := stat(node, vfs.AttrType)
	if err != nil {
		return err
	}
	if t := typeOf(st.Mode); t != vfs.TypeRegular && t != vfs.TypeDirectory {
		return nil
	}
	fd, err := reopen(node, unix.O_RDONLY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = retry(func() (int, error) { return 0, unix.Fsync(fd) })
	f.noteLoss(err, true)
	return err
}

func (n *node) setSize(desc *descriptor, cred *vfs.Cred, set *vfs.SetAttr) error {
	if set.Size > math.MaxInt64 {
		return vfs.EFBIG
	}
	if via, ok := set.Via.(*file); ok && via.node.fs == n.fs && string(via.node.handle) == string(n.handle) {
		return via.change(func(fd int) error {
			_, err := retry(func() (int, error) { return 0, unix.Ftruncate(fd, int64(set.Size)) })
			return err
		})
	}
	return n.fs.as(cred, func() error {
		_, err := retry(func() (int, error) { return 0, unix.Truncate(procPath(desc.fd), int64(set.Size)) })
		return err
	})
}

// setRest sets all but the size.
func (f *FS) setRest(fd int, cred *vfs.Cred, set *vfs.SetAttr) error {
	if set.Has(vfs.SetMode | vfs.SetUID | vfs.SetGID) {
		if err := f.as(cred, func() error { return setOwnerAndMode(fd, set) }); err != nil {
			return err
		}
	}
	return f.setTimes(fd, cred, set)
}

// setOwnerAndMode acts as the thread's user. The owner comes first, since a
// change of it takes set-id bits away.
func setOwnerAndMode(fd int, set *vfs.SetAttr) error {
	if set.Has(vfs.SetUID | vfs.SetGID) {
		uid, gid := -1, -1
		if set.Has(vfs.SetUID) {
			uid = int(set.UID)
		}
		if set.Has(vfs.SetGID) {
			gid = int(set.GID)
		}
		if set.Has(vfs.SetUID) && set.UID == noID || set.Has(vfs.SetGID) && set.GID == noID {
			return vfs.EINVAL // chown(2) would take it for "as it is"
		}
		if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if set.Has(vfs.SetMode) {
		return unix.Fchmodat(unix.AT_FDCWD, procPath(fd), set.Mode&0o7777, 0)
	}
	return nil
}

// setTimes sets the times. To set one of them to the clock, write permission
// is enough (RFC 8881 §18.30.3 leaves it to the server; the kernel's NFS server
// does so), while utimensat(2) grants that for both at once only.
func (f *FS) setTimes(fd int, cred *vfs.Cred, set *vfs.SetAttr) error {
	if !set.Has(vfs.SetAtime | vfs.SetMtime | vfs.SetAtimeNow | vfs.SetMtimeNow) {
		return nil
	}
	times := []unix.Timespec{
		timeArgument(set, vfs.SetAtime, vfs.SetAtimeNow, set.Atime),
		timeArgument(set, vfs.SetMtime, vfs.SetMtimeNow, set.Mtime),
	}
	setAs := func(cred *vfs.Cred) error {
		return f.as(cred, func() error { return unix.UtimesNanoAt(fd, "", times, unix.AT_EMPTY_PATH) })
	}
	err := setAs(cred)
	if !errors.Is(err, vfs.EPERM) || set.Has(vfs.SetAtime|vfs.SetMtime) {
		return err
	}
	if err := f.asking(cred, func() error { return mayAccess(fd, unix.W_OK) }); err != nil {
		return err
	}
	return setAs(vfs.Root)
}

// timeArgument makes what utimensat(2) takes.
func timeArgument(set *vfs.SetAttr, to, now vfs.SetMask, t vfs.Timespec) unix.Timespec {
	switch {
	case set.Has(now):
		return unix.Timespec{Nsec: unix.UTIME_NOW}
	case set.Has(to):
		return unix.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)}
	}
	return unix.Timespec{Nsec: unix.UTIME_OMIT}
}

// setInitial gives a new node the attributes that the call that made it could
// not: made says which bits of the mode that has set. Symbolic links have no
// mode.
func (f *FS) setInitial(fd int, cred *vfs.Cred, set *vfs.SetAttr, made uint32) error {
	if set == nil {
		return nil
	}
	rest := *set
	rest.Set &^= vfs.SetSize | vfs.SetMode
	// A change of owner takes set-id bits away, and mkdir(2) sets none.
	const setID = vfs.ModeSetUID | vfs.ModeSetGID
	if set.Has(vfs.SetMode) && made != noMode &&
		(set.Mode&^made != 0 || set.Has(vfs.SetUID|vfs.SetGID) && set.Mode&setID != 0) {
		rest.Set |= vfs.SetMode
	}
	if rest.Set == 0 {
		return nil
	}
	if err := f.setRest(fd, cred, &rest); err != nil {
		return err
	}
	return f.syncMeta(fd)
}

const noMode = ^uint32(0)

// initialMode returns the mode of a new node.
func initialMode(set *vfs.SetAttr) (uint32, error) {
	if set.Has(vfs.SetSize) && set.Size != 0 {
		return 0, vfs.EINVAL
	}
	if !set.Has(vfs.SetMode) {
		return 0, nil
	}
	return set.Mode & 0o7777, nil
}
