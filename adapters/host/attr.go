package host

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// statxMask says what to ask statx(2) for; a network file system may have to
// fetch each. The link count is always asked for: it tells removed nodes.
func statxMask(want vfs.AttrMask) int {
	mask := unix.STATX_NLINK
	for _, m := range [...]struct {
		want vfs.AttrMask
		mask int
	}{
		{vfs.AttrType, unix.STATX_TYPE},
		{vfs.AttrMode, unix.STATX_MODE},
		{vfs.AttrOwner, unix.STATX_UID | unix.STATX_GID},
		{vfs.AttrSize, unix.STATX_SIZE},
		{vfs.AttrSpace, unix.STATX_BLOCKS},
		{vfs.AttrTimes, unix.STATX_ATIME | unix.STATX_MTIME | unix.STATX_CTIME},
		{vfs.AttrBirth, unix.STATX_BTIME},
		{vfs.AttrChange, unix.STATX_CTIME},
		{vfs.AttrFileID, unix.STATX_INO},
		{vfs.AttrRdev, unix.STATX_TYPE},
	} {
		if want&m.want != 0 {
			mask |= m.mask
		}
	}
	return mask
}

// stat asks for the attributes of the node behind fd.
func stat(fd int, want vfs.AttrMask) (unix.Statx_t, error) {
	var st unix.Statx_t
	_, err := retry(func() (int, error) {
		return 0, unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, statxMask(want), &st)
	})
	return st, err
}

// stat is the function of that name. Where the answer is in memory it does not
// tell the Go scheduler of the call: that can wake the monitor thread of the
// runtime, which costs more than the call does.
func (f *FS) stat(fd int, want vfs.AttrMask) (unix.Statx_t, error) {
	if !f.kind.resident {
		return stat(fd, want)
	}
	var st unix.Statx_t
	empty := [1]byte{}
	_, _, e := unix.RawSyscall6(unix.SYS_STATX, uintptr(fd), uintptr(unsafe.Pointer(&empty[0])),
		unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, uintptr(statxMask(want)), uintptr(unsafe.Pointer(&st)), 0)
	if e != 0 {
		return st, e
	}
	return st, nil
}

// unlinked reports whether the last name of the node behind fd was removed.
func unlinked(fd int) bool {
	st, err := stat(fd, vfs.AttrNlink)
	return err == nil && st.Nlink == 0
}

// attr translates what statx told of the node with handle. Without one there is
// no change attribute where that may run ahead of the ctime.
func (f *FS) attr(handle []byte, st *unix.Statx_t) vfs.Attr {
	a := vfs.Attr{
		Type:   typeOf(st.Mode),
		Mode:   uint32(st.Mode) & 0o7777,
		Nlink:  st.Nlink,
		UID:    st.Uid,
		GID:    st.Gid,
		Size:   st.Size,
		Used:   st.Blocks * 512,
		FileID: f.fileID(st, st.Ino),
		Atime:  timespec(st.Atime),
		Mtime:  timespec(st.Mtime),
		Ctime:  timespec(st.Ctime),
		Btime:  timespec(st.Btime),
		Rdev:   vfs.Rdev{Major: st.Rdev_major, Minor: st.Rdev_minor},
	}
	for _, m := range [...]struct {
		mask  uint32
		valid vfs.AttrMask
	}{
		{unix.STATX_TYPE, vfs.AttrType | vfs.AttrRdev},
		{unix.STATX_MODE, vfs.AttrMode},
		{unix.STATX_NLINK, vfs.AttrNlink},
		{unix.STATX_UID | unix.STATX_GID, vfs.AttrOwner},
		{unix.STATX_SIZE, vfs.AttrSize},
		{unix.STATX_BLOCKS, vfs.AttrSpace},
		{unix.STATX_ATIME | unix.STATX_MTIME | unix.STATX_CTIME, vfs.AttrTimes},
		{unix.STATX_BTIME, vfs.AttrBirth},
		{unix.STATX_INO, vfs.AttrFileID},
	} {
		if st.Mask&m.mask == m.mask {
			a.Valid |= m.valid
		}
	}
	if st.Mask&unix.STATX_CTIME != 0 && (handle != nil || f.changes == nil) {
		a.Change = f.changes.of(handle, ctime(st))
		a.Valid |= vfs.AttrChange
	}
	return a
}

// ctime returns the ctime in nanoseconds since 1970.
func ctime(st *unix.Statx_t) uint64 {
	return uint64(st.Ctime.Sec)*1e9 + uint64(st.Ctime.Nsec)
}

// fileID is the inode number ino on the device that st tells. The subvolumes of
// one btrfs number their inodes each for themselves and differ in their device;
// the numbers of those other than the export's own are told apart by its minor
// number in bits that inode numbers do not reach.
func (f *FS) fileID(st *unix.Statx_t, ino uint64) uint64 {
	if st.Dev_major == f.devMajor && st.Dev_minor == f.devMinor {
		return ino
	}
	return ino ^ uint64(st.Dev_minor)<<44
}

func timespec(t unix.StatxTimestamp) vfs.Timespec { return vfs.Timespec{Sec: t.Sec, Nsec: t.Nsec} }

func typeOf(mode uint16) vfs.FileType {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return vfs.TypeRegular
	case unix.S_IFDIR:
		return vfs.TypeDirectory
	case unix.S_IFLNK:
		return vfs.TypeSymlink
	case unix.S_IFBLK:
		return vfs.TypeBlock
	case unix.S_IFCHR:
		return vfs.TypeChar
	case unix.S_IFIFO:
		return vfs.TypeFIFO
	case unix.S_IFSOCK:
		return vfs.TypeSocket
	}
	return vfs.TypeUnknown
}
