package host

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// cookieShift keeps the offsets of directories, which may be 0, 1 and 2, away
// from the cookies NFS reserves (RFC 8881 §18.23.3). Offsets are not negative
// (lseek(2) takes no others), so the sum fits 64 bits.
const cookieShift = 3

// ReadDir implements vfs.Node.
func (n *node) ReadDir(_ context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (eof bool, err error) {
	dir, st, err := n.live(vfs.AttrType | vfs.AttrChange)
	if err != nil {
		return false, err
	}
	defer dir.release()
	if typeOf(st.Mode) != vfs.TypeDirectory {
		return false, vfs.ENOTDIR
	}
	fd := -1
	err = n.fs.needing(unix.R_OK, cred, dir, &st, func() (err error) {
		// Not openat(dir, "."): that would need search permission too.
		fd, err = reopen(dir.fd, unix.O_RDONLY|unix.O_DIRECTORY)
		return err
	})
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)
	if cookie != 0 {
		if cookie < cookieShift {
			return false, vfs.EINVAL
		}
		if _, err := unix.Seek(fd, int64(cookie-cookieShift), unix.SEEK_SET); err != nil {
			return false, err
		}
	}
	var failed error
	eof, err = readEntries(fd, func(raw *rawEntry) bool {
		if raw.next < 0 {
			failed = vfs.Errorf(vfs.EIO, "the directory cannot be resumed at offset %d", raw.next)
			return false
		}
		e := n.entry(dir, &st, raw, want)
		return emit(&e)
	})
	if failed != nil {
		return false, failed
	}
	return eof, err
}

// entry makes a DirEntry with what want asks for. st is the directory's.
func (n *node) entry(dir *descriptor, st *unix.Statx_t, raw *rawEntry, want vfs.AttrMask) vfs.DirEntry {
	e := vfs.DirEntry{
		Name:   string(raw.name),
		Cookie: uint64(raw.next) + cookieShift,
		FileID: n.fs.fileID(st, raw.ino),
		Type:   raw.fileType(),
	}
	const free = vfs.AttrType | vfs.AttrFileID
	unknown := e.Type == vfs.TypeUnknown
	if want&^free == 0 && (want&vfs.AttrType == 0 || !unknown) {
		subvolume := n.fs.kind.subvolumes && (unknown || e.Type == vfs.TypeDirectory) // perhaps
		if subvolume && n.statName(dir, st.Mnt_id, &e, want) {
			return e
		}
		e.Attr = vfs.Attr{Valid: free, Type: e.Type, FileID: e.FileID}
		if unknown {
			e.Attr.Valid = vfs.AttrFileID
		}
		return e
	}
	if want&vfs.AttrNode == 0 && n.fs.changes == nil && n.statName(dir, st.Mnt_id, &e, want) {
		return e
	}
	e.Err = n.statEntry(dir, &e, want)
	return e
}

// statName fills in attributes by one call, which is a third of what statEntry
// costs. It can where they need not agree with a handle, and where the name
// leads to no other mount.
func (n *node) statName(dir *descriptor, mount uint64, e *vfs.DirEntry, want vfs.AttrMask) bool {
	var st unix.Statx_t
	const flags = unix.AT_SYMLINK_NOFOLLOW | unix.AT_NO_AUTOMOUNT
	mask := statxMask(want|vfs.AttrType|vfs.AttrFileID) | unix.STATX_MNT_ID
	if err := unix.Statx(dir.fd, e.Name, flags, mask, &st); err != nil {
		return false
	}
	if st.Mask&unix.STATX_MNT_ID == 0 || st.Mnt_id != mount {
		return false
	}
	e.Attr = n.fs.attr(nil, &st)
	e.FileID, e.Type = e.Attr.FileID, e.Attr.Type
	return true
}

// statEntry fills in attributes and node. They are taken through one
// descriptor, so that they belong together whatever happens to the name. It
// needs no search permission of the caller: reading the directory told the
// name, and attributes need none.
func (n *node) statEntry(dir *descriptor, e *vfs.DirEntry, want vfs.AttrMask) error {
	defer n.settle()()
	fd, err := n.fs.openOwn(dir, e.Name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	st, err := stat(fd, want|vfs.AttrType|vfs.AttrFileID)
	if err != nil {
		return err
	}
	// The change attribute may depend on the handle.
	var handle []byte
	if want&vfs.AttrNode != 0 || want&vfs.AttrChange != 0 && n.fs.changes != nil {
		if handle, err = n.fs.handleOf(fd, n.handle, e.Name); err != nil {
			return err
		}
	}
	e.Attr = n.fs.attr(handle, &st)
	e.FileID, e.Type = e.Attr.FileID, e.Attr.Type
	if want&vfs.AttrNode != 0 {
		e.Node = &node{n.fs, handle}
	}
	return nil
}
