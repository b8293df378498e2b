package billy

import (
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-git/go-billy/v5"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// info is attributes as an os.FileInfo.
type info struct {
	name string
	attr vfs.Attr
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return int64(i.attr.Size) }
func (i info) Mode() os.FileMode  { return vfs.FileMode(i.attr.Mode) | typeBits[i.attr.Type] }
func (i info) ModTime() time.Time { return i.attr.Mtime.Time() }
func (i info) IsDir() bool        { return i.attr.Type == vfs.TypeDirectory }

// Attr implements Attrer.
func (i info) Attr() vfs.Attr { return i.attr }

// Sys returns a *syscall.Stat_t.
func (i info) Sys() any {
	a := &i.attr
	stamp := func(t vfs.Timespec) syscall.Timespec { return syscall.Timespec{Sec: t.Sec, Nsec: int64(t.Nsec)} }
	return &syscall.Stat_t{
		Ino: a.FileID, Nlink: uint64(a.Nlink), Mode: statType[a.Type] | a.Mode, Uid: a.UID, Gid: a.GID,
		Rdev: unix.Mkdev(a.Rdev.Major, a.Rdev.Minor), Size: int64(a.Size), Blksize: 4096, Blocks: int64((a.Used + 511) / 512),
		Atim: stamp(a.Atime), Mtim: stamp(a.Mtime), Ctim: stamp(a.Ctime),
	}
}

var (
	typeBits = map[vfs.FileType]os.FileMode{
		vfs.TypeDirectory: os.ModeDir, vfs.TypeSymlink: os.ModeSymlink, vfs.TypeFIFO: os.ModeNamedPipe, vfs.TypeSocket: os.ModeSocket,
		vfs.TypeChar: os.ModeDevice | os.ModeCharDevice, vfs.TypeBlock: os.ModeDevice, vfs.TypeUnknown: os.ModeIrregular,
	}
	statType = map[vfs.FileType]uint32{
		vfs.TypeRegular: syscall.S_IFREG, vfs.TypeDirectory: syscall.S_IFDIR, vfs.TypeSymlink: syscall.S_IFLNK,
		vfs.TypeFIFO: syscall.S_IFIFO, vfs.TypeSocket: syscall.S_IFSOCK, vfs.TypeChar: syscall.S_IFCHR, vfs.TypeBlock: syscall.S_IFBLK,
	}
)

// ReadDir implements billy.Dir.
func (t *tree) ReadDir(name string) ([]os.FileInfo, error) {
	dir, err := t.walk(name, true)
	if err != nil {
		return nil, failed("readdir", name, err)
	}
	var infos []os.FileInfo
	_, err = dir.ReadDir(background, t.cred, 0, vfs.AttrAll, func(d *vfs.DirEntry) bool {
		if d.Err == nil { // else it has vanished meanwhile
			infos = append(infos, info{d.Name, d.Attr})
		}
		return true
	})
	if err != nil {
		return nil, failed("readdir", name, err)
	}
	slices.SortFunc(infos, func(a, b os.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return infos, nil
}

func (t *tree) setAttr(op, name string, follow bool, set *vfs.SetAttr) error {
	n, err := t.walk(name, follow)
	if err == nil {
		err = n.SetAttr(background, t.cred, set)
	}
	return failed(op, name, err)
}

// Chmod implements billy.Change.
func (t *tree) Chmod(name string, mode os.FileMode) error {
	return t.setAttr("chmod", name, true, withMode(vfs.ModeOf(mode)))
}

// Chown implements billy.Change. As in chown(2), -1 leaves one as it is.
func (t *tree) Chown(name string, uid, gid int) error {
	return t.setAttr("chown", name, true, owner(uid, gid))
}

// Lchown implements billy.Change.
func (t *tree) Lchown(name string, uid, gid int) error {
	return t.setAttr("lchown", name, false, owner(uid, gid))
}

func owner(uid, gid int) *vfs.SetAttr {
	set := &vfs.SetAttr{UID: uint32(uid), GID: uint32(gid)}
	if uid != -1 {
		set.Set |= vfs.SetUID
	}
	if gid != -1 {
		set.Set |= vfs.SetGID
	}
	return set
}

// Chtimes implements billy.Change.
func (t *tree) Chtimes(name string, atime, mtime time.Time) error {
	return t.setAttr("chtimes", name, true, &vfs.SetAttr{
		Set: vfs.SetAtime | vfs.SetMtime, Atime: vfs.TimespecOf(atime), Mtime: vfs.TimespecOf(mtime),
	})
}

// Caps implements Limiter.
func (t *tree) Caps() vfs.Caps { return t.fs.Caps() }

// StatFS implements StatFSer.
func (t *tree) StatFS() (vfs.StatFS, error) { return t.fs.StatFS(background) }

// Link implements Linker.
func (t *tree) Link(oldname, newname string) error {
	n, err := t.walk(oldname, false)
	if err != nil {
		return failed("link", oldname, err)
	}
	l, ok := n.(vfs.Linker)
	if !ok {
		return failed("link", oldname, vfs.EOPNOTSUPP)
	}
	dir, base, err := t.parent(newname, false)
	if err == nil {
		_, err = l.Link(background, t.cred, dir, base)
	}
	return failed("link", newname, err)
}

// Mknod implements Noder.
func (t *tree) Mknod(name string, mode, major, minor uint32) error {
	typ := vfs.TypeBlock
	switch mode & syscall.S_IFMT {
	case syscall.S_IFBLK:
	case syscall.S_IFCHR:
		typ = vfs.TypeChar
	default:
		return failed("mknod", name, vfs.EINVAL)
	}
	return t.mknod(name, typ, mode&0o7777, vfs.Rdev{Major: major, Minor: minor})
}

// Mkfifo implements Noder.
func (t *tree) Mkfifo(name string, mode uint32) error {
	return t.mknod(name, vfs.TypeFIFO, mode&0o7777, vfs.Rdev{})
}

// Socket implements Noder.
func (t *tree) Socket(name string) error { return t.mknod(name, vfs.TypeSocket, 0o777, vfs.Rdev{}) }

func (t *tree) mknod(name string, typ vfs.FileType, mode uint32, rdev vfs.Rdev) error {
	dir, base, err := t.parent(name, false)
	if err == nil {
		m, ok := dir.(vfs.Mknoder)
		if !ok {
			return failed("mknod", name, vfs.EOPNOTSUPP)
		}
		_, _, err = m.Mknod(background, t.cred, base, typ, rdev, withMode(mode))
	}
	return failed("mknod", name, err)
}

// xattrs finds the node whose extended attributes are meant.
func (t *tree) xattrs(name string) (vfs.Xattrer, error) {
	n, err := t.walk(name, false)
	if err != nil {
		return nil, err
	}
	x, ok := n.(vfs.Xattrer)
	if !ok {
		return nil, vfs.EOPNOTSUPP
	}
	return x, nil
}

// GetXattr implements Xattrer.
func (t *tree) GetXattr(name, attr string) ([]byte, error) {
	x, err := t.xattrs(name)
	if err != nil {
		return nil, failed("getxattr", name, err)
	}
	value, err := x.GetXattr(background, t.cred, attr)
	return value, failed("getxattr", name, err)
}

// SetXattr implements Xattrer.
func (t *tree) SetXattr(name, attr string, value []byte, flags vfs.XattrFlags) error {
	x, err := t.xattrs(name)
	if err == nil {
		err = x.SetXattr(background, t.cred, attr, value, flags)
	}
	return failed("setxattr", name, err)
}

// ListXattr implements Xattrer.
func (t *tree) ListXattr(name string) ([]string, error) {
	x, err := t.xattrs(name)
	if err != nil {
		return nil, failed("listxattr", name, err)
	}
	names, err := x.ListXattr(background, t.cred)
	return names, failed("listxattr", name, err)
}

// RemoveXattr implements Xattrer.
func (t *tree) RemoveXattr(name, attr string) error {
	x, err := t.xattrs(name)
	if err == nil {
		err = x.RemoveXattr(background, t.cred, attr)
	}
	return failed("removexattr", name, err)
}

var (
	_ billy.Change = (*tree)(nil)
	_ Linker       = (*tree)(nil)
	_ Noder        = (*tree)(nil)
	_ Xattrer      = (*tree)(nil)
	_ StatFSer     = (*tree)(nil)
	_ Mkdirer      = (*tree)(nil)
	_ Limiter      = (*tree)(nil)
	_ Attrer       = info{}
)
