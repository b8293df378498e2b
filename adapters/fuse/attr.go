package fusefs

import (
	"golang.org/x/sys/unix"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// modeBits are the kinds of nodes in a mode_t.
var modeBits = map[vfs.FileType]uint32{
	vfs.TypeRegular:   unix.S_IFREG,
	vfs.TypeDirectory: unix.S_IFDIR,
	vfs.TypeSymlink:   unix.S_IFLNK,
	vfs.TypeBlock:     unix.S_IFBLK,
	vfs.TypeChar:      unix.S_IFCHR,
	vfs.TypeFIFO:      unix.S_IFIFO,
	vfs.TypeSocket:    unix.S_IFSOCK,
}

func kindOf(mode uint32) vfs.FileType {
	for typ, bits := range modeBits {
		if mode&unix.S_IFMT == bits {
			return typ
		}
	}
	return vfs.TypeUnknown
}

const permBits = 0o7777

// fuseGetAttrFH says that a GETATTR comes with a file handle
// (FUSE_GETATTR_FH, linux/fuse.h).
const fuseGetAttrFH = 1

// attr returns all attributes. op is held.
func (h *held) attr() (vfs.Attr, error) {
	in := fuse.GetAttrIn{InHeader: h.fs.header(vfs.Root, h.entry)}
	if fh, open := h.fs.nodes.opened(h.entry, false); open {
		in.Flags_, in.Fh_ = fuseGetAttrFH, fh
	}
	var out fuse.AttrOut
	if err := h.fs.call(func() fuse.Status { return h.fs.raw.GetAttr(cancel(h.ctx), &in, &out) }); err != nil {
		return vfs.Attr{}, gone(err)
	}
	return h.convert(&out.Attr), nil
}

// convert makes attributes of the file system's.
func (h *held) convert(p *fuse.Attr) vfs.Attr {
	a := vfs.Attr{
		Valid:  vfs.AttrStat | vfs.AttrChange,
		Type:   kindOf(p.Mode),
		Mode:   p.Mode & permBits,
		Nlink:  p.Nlink,
		UID:    p.Uid,
		GID:    p.Gid,
		Size:   p.Size,
		Used:   p.Blocks * 512, // as in stat(2)
		FileID: p.Ino,
		Rdev:   vfs.Rdev{Major: unix.Major(uint64(p.Rdev)), Minor: unix.Minor(uint64(p.Rdev))},
		Atime:  timespec(p.Atime, p.Atimensec),
		Mtime:  timespec(p.Mtime, p.Mtimensec),
		Ctime:  timespec(p.Ctime, p.Ctimensec),
	}
	if a.Nlink == 0 && !h.fs.nodes.isDead(h.entry) { // not told
		a.Nlink = 1
	}
	if a.FileID == 0 {
		a.FileID = h.entry.id
	}
	a.Change = mix(uint64(a.Ctime.Sec), uint64(a.Ctime.Nsec), uint64(a.Mtime.Sec), uint64(a.Mtime.Nsec), h.stamp.Load())
	h.setID.Store(a.Type != vfs.TypeDirectory && a.Mode&(vfs.ModeSetUID|vfs.ModeSetGID) != 0)
	return a
}

// mix makes one number of several, so that a difference in any of them is one
// in the result (with all but certainty: FNV-1a by words).
func mix(words ...uint64) uint64 {
	sum := uint64(14695981039346656037)
	for _, w := range words {
		sum = (sum ^ w) * 1099511628211
		sum ^= sum >> 29
	}
	return sum
}

func timespec(sec uint64, nsec uint32) vfs.Timespec {
	return vfs.Timespec{Sec: int64(sec), Nsec: nsec % 1e9}
}

// search returns the attributes of a directory in which cred may do rwx.
func (h *held) search(cred *vfs.Cred, rwx uint32) (vfs.Attr, error) {
	a, err := h.attr()
	if err != nil {
		return a, err
	}
	if a.Type != vfs.TypeDirectory {
		return a, vfs.ENOTDIR
	}
	return a, permit(h.fs.judge(cred), &a, rwx)
}

// changed notes a change made through this FS.
func (h *held) changed() { h.stamp.Store(h.fs.changes.Add(1)) }

// told notes a change of the directory, whose attributes were before, and says
// so as the methods that make one do.
func (h *held) told(before *vfs.Attr) (vfs.DirChange, error) {
	h.changed()
	after, err := h.committed().attr()
	if err != nil {
		return vfs.DirChange{}, err
	}
	return vfs.DirChange{Before: before.Change, After: after.Change, Atomic: h.fs.opt.Exclusive}, nil
}

// still is the change of a directory to which nothing has happened.
func (h *held) still(a *vfs.Attr) vfs.DirChange {
	return vfs.DirChange{Before: a.Change, After: a.Change, Atomic: h.fs.opt.Exclusive}
}
