package host

import (
	"context"
	"math"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// fsKind is what cannot be asked of a file system and is known of its kind.
type fsKind struct {
	maxFile         uint64 // bytes
	maxLink         uint32
	holes, clone    bool
	noLinks         bool
	caseInsensitive bool
	remote          bool
	// subvolumes: a directory may be the top of another device, which its
	// entry does not tell.
	subvolumes bool
	// noCtime: the ctime is the mtime.
	noCtime bool
	// resident: the attributes of a node that has a descriptor are in memory.
	resident bool
}

const (
	xfsMagic      = unix.XFS_SUPER_MAGIC
	bcachefsMagic = 0xca451a4e
	zfsMagic      = 0x2fc12fc1
	ntfs3Magic    = 0x7366746e
)

// kindOf looks up statfs(2)'s f_type. maxLink for the unknown is
// _POSIX_LINK_MAX times 16, what pathconf(3) says.
func kindOf(magic int64) fsKind {
	const maxOff = math.MaxInt64
	switch magic {
	case unix.EXT4_SUPER_MAGIC:
		return fsKind{maxFile: 1<<44 - 4096, maxLink: 65000, holes: true, resident: true}
	case xfsMagic:
		return fsKind{maxFile: maxOff, maxLink: math.MaxInt32, holes: true, clone: true, resident: true}
	case unix.BTRFS_SUPER_MAGIC:
		return fsKind{maxFile: maxOff, maxLink: 65535, holes: true, clone: true, resident: true, subvolumes: true}
	case bcachefsMagic, zfsMagic:
		return fsKind{maxFile: maxOff, maxLink: math.MaxInt32, holes: true, clone: true}
	case unix.TMPFS_MAGIC:
		return fsKind{maxFile: maxOff, maxLink: math.MaxInt32, holes: true, resident: true}
	case unix.F2FS_SUPER_MAGIC:
		return fsKind{maxFile: 1 << 41, maxLink: 65000, holes: true, resident: true}
	case unix.MSDOS_SUPER_MAGIC:
		return fsKind{maxFile: math.MaxUint32, maxLink: 1, noLinks: true, caseInsensitive: true, noCtime: true}
	case unix.EXFAT_SUPER_MAGIC:
		return fsKind{maxFile: math.MaxUint32, maxLink: 1, noLinks: true, caseInsensitive: true}
	case ntfs3Magic:
		return fsKind{maxFile: maxOff, maxLink: 1024, holes: true}
	case unix.NFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC, unix.FUSE_SUPER_MAGIC, unix.V9FS_MAGIC:
		return fsKind{maxFile: maxOff, maxLink: 127, remote: true}
	}
	return fsKind{maxFile: maxOff, maxLink: 127}
}

func (f *FS) probeCaps(st *unix.Statfs_t) vfs.Caps {
	_, err := unix.Getxattr(procPath(f.rootFD), "user.fsva", nil)
	return vfs.Caps{
		ReadOnly:     st.Flags&unix.ST_RDONLY != 0,
		HardLinks:    !f.kind.noLinks,
		SpecialFiles: !f.kind.noLinks,
		Xattrs:       err == nil || err == unix.ENODATA,
		Holes:        f.kind.holes,
		Allocate:     true,
		Copy:         true,
		Clone:        f.kind.clone,
		Volatile:     f.table != nil && f.state == nil,
		SingleUser:   f.ids == nil,
		Local:        !f.kind.remote,
	}
}

// StatFS implements vfs.FS.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	var st unix.Statfs_t
	if _, err := retry(func() (int, error) { return 0, unix.Fstatfs(f.mountFD, &st) }); err != nil {
		return vfs.StatFS{}, err
	}
	unit := uint64(st.Frsize)
	if unit == 0 {
		unit = uint64(st.Bsize)
	}
	return vfs.StatFS{
		BlockSize:       uint32(st.Bsize),
		TotalBytes:      st.Blocks * unit,
		FreeBytes:       st.Bfree * unit,
		AvailBytes:      st.Bavail * unit,
		TotalFiles:      st.Files,
		FreeFiles:       st.Ffree,
		AvailFiles:      st.Ffree,
		MaxName:         uint32(min(st.Namelen, vfs.MaxName)),
		MaxFileSize:     f.kind.maxFile,
		MaxLink:         f.kind.maxLink,
		TimeGranularity: 1,
		CaseInsensitive: f.kind.caseInsensitive,
	}, nil
}
