package billy

import (
	"os"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/vfs"
)

// What a billy.Filesystem may offer beyond billy. Each is found by assertion
// on the file system, or on what it says it is of; none is needed. Two of
// billy's own belong here too: billy.Chmod and billy.Change, with which modes,
// owners and times are the file system's rather than the index's. Names are
// paths, as everywhere in billy.
type (
	// Linker makes hard links: os.Link. A file system that has it should
	// have its FileInfos tell numbers and link counts, see [Attrer].
	Linker interface {
		Link(oldname, newname string) error
	}

	// Noder makes special files. The methods are those of go-nfs's
	// UnixChange; mode has permission bits, and for Mknod the type S_IFBLK
	// or S_IFCHR of mknod(2).
	Noder interface {
		Mknod(path string, mode, major, minor uint32) error
		Mkfifo(path string, mode uint32) error
		Socket(path string) error
	}

	// Xattrer keeps extended attributes, of symbolic links themselves and
	// not of their targets. Attribute names are whole Linux names, flags are
	// those of setxattr(2); errors are ENODATA, EEXIST, ERANGE and so on.
	Xattrer interface {
		GetXattr(name, attr string) ([]byte, error)
		SetXattr(name, attr string, value []byte, flags vfs.XattrFlags) error
		ListXattr(name string) ([]string, error)
		RemoveXattr(name, attr string) error
	}

	// StatFSer tells space and limits.
	StatFSer interface {
		StatFS() (vfs.StatFS, error)
	}

	// Mkdirer makes one directory, which must not exist: os.Mkdir. Without
	// it MkdirAll is used after a look.
	Mkdirer interface {
		Mkdir(name string, perm os.FileMode) error
	}

	// Syncer is of files: what was written is on stable storage when it
	// returns. Without it a Sync closes the file and opens it again, on the
	// assumption that Close is where the file system writes.
	Syncer interface {
		Sync() error
	}

	// io.WriterAt is of files, too: without it a write is Seek and Write.

	// Attrer is of os.FileInfos. The attributes that Valid names are the
	// node's own, also those that billy has no word for:
	//
	//   - vfs.AttrFileID is a stable number: never that of another node, also
	//     not after the node is gone (mix in a generation where numbers are used
	//     again). With it a node keeps its handle when something else than this
	//     adapter renames it, and several names of one file are known for what
	//     they are.
	//   - vfs.AttrChange is a counter that moves with every change of the node.
	//     It shows changes made by others where times are too coarse.
	//   - vfs.AttrTimes has the times of access and of change too, to the
	//     nanosecond.
	//   - vfs.AttrOwner, AttrNlink, AttrSpace, AttrRdev and AttrBirth.
	//
	// Without it a *syscall.Stat_t that Sys returns is understood too, but
	// for its inode number, which a kernel uses again.
	Attrer interface {
		Attr() vfs.Attr
	}

	// Limiter is a file system that has methods for more than it can do, as
	// a wrapper of others has: of Caps it counts what is false of
	// HardLinks, SpecialFiles and Xattrs, and what is true of ReadOnly.
	Limiter interface {
		Caps() vfs.Caps
	}
)

// abilities are what was found of a file system.
type abilities struct {
	chmod  billy.Chmod
	change billy.Change
	link   Linker
	node   Noder
	xattr  Xattrer
	statfs StatFSer
	mkdir  Mkdirer

	readOnly bool
	both     bool // a file can be open for reading and writing at once
}

func find(fs billy.Filesystem) (a abilities) {
	a.chmod, _ = fs.(billy.Chmod)
	a.change, _ = fs.(billy.Change)
	a.link, _ = fs.(Linker)
	a.node, _ = fs.(Noder)
	a.xattr, _ = fs.(Xattrer)
	a.statfs, _ = fs.(StatFSer)
	a.mkdir, _ = fs.(Mkdirer)
	a.readOnly = !billy.CapabilityCheck(fs, billy.WriteCapability)
	a.both = billy.CapabilityCheck(fs, billy.ReadAndWriteCapability)
	if l, ok := fs.(Limiter); ok {
		a.limit(l.Caps())
	}
	return a
}

func (a *abilities) limit(caps vfs.Caps) {
	if !caps.HardLinks {
		a.link = nil
	}
	if !caps.SpecialFiles {
		a.node = nil
	}
	if !caps.Xattrs {
		a.xattr = nil
	}
	a.readOnly = a.readOnly || caps.ReadOnly
}

// native is what a FileInfo tells of a node. Mtime is always there; Valid has
// AttrTimes where the other times are too.
func native(fi os.FileInfo) vfs.Attr {
	a := vfs.Attr{
		Valid: vfs.AttrType | vfs.AttrMode | vfs.AttrSize,
		Type:  vfs.TypeOf(fi.Mode()), Mode: vfs.ModeOf(fi.Mode()), Size: uint64(max(fi.Size(), 0)),
		Mtime: vfs.TimespecOf(fi.ModTime()),
	}
	if full, ok := fi.(Attrer); ok {
		b := full.Attr()
		overlay(&a, &b)
	} else if st, ok := fi.Sys().(*syscall.Stat_t); ok && st != nil {
		overlay(&a, statAttr(st))
	}
	return a
}

// overlay puts what is valid in b over a.
func overlay(a, b *vfs.Attr) {
	if b.Valid&vfs.AttrMode != 0 {
		a.Mode = b.Mode & 0o7777
	}
	if b.Valid&vfs.AttrNlink != 0 {
		a.Nlink = b.Nlink
	}
	if b.Valid&vfs.AttrOwner != 0 {
		a.UID, a.GID = b.UID, b.GID
	}
	if b.Valid&vfs.AttrSpace != 0 {
		a.Used = b.Used
	}
	if b.Valid&vfs.AttrTimes != 0 {
		a.Atime, a.Mtime, a.Ctime = b.Atime, b.Mtime, b.Ctime
	}
	if b.Valid&vfs.AttrBirth != 0 {
		a.Btime = b.Btime
	}
	if b.Valid&vfs.AttrChange != 0 {
		a.Change = b.Change
	}
	if b.Valid&vfs.AttrFileID != 0 {
		a.FileID = b.FileID
	}
	if b.Valid&vfs.AttrRdev != 0 {
		a.Rdev = b.Rdev
	}
	a.Valid |= b.Valid &^ vfs.AttrType
}

func statAttr(st *syscall.Stat_t) *vfs.Attr {
	return &vfs.Attr{
		Valid: vfs.AttrNlink | vfs.AttrOwner | vfs.AttrSpace | vfs.AttrTimes | vfs.AttrRdev,
		Nlink: uint32(st.Nlink), UID: st.Uid, GID: st.Gid, Used: uint64(st.Blocks) * 512,
		Atime: vfs.Timespec{Sec: st.Atim.Sec, Nsec: uint32(st.Atim.Nsec)},
		Mtime: vfs.Timespec{Sec: st.Mtim.Sec, Nsec: uint32(st.Mtim.Nsec)},
		Ctime: vfs.Timespec{Sec: st.Ctim.Sec, Nsec: uint32(st.Ctim.Nsec)},
		Rdev:  vfs.Rdev{Major: uint32(st.Rdev>>8&0xfff | st.Rdev>>32&^0xfff), Minor: uint32(st.Rdev&0xff | st.Rdev>>12&^0xff)},
	}
}
