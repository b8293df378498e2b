package p9fs

import (
	"io"

	"golang.org/x/sys/unix"

	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// opening converts the mode that the library asks for.
func opening(mode p9.OpenFlags) vfs.OpenFlags {
	switch mode.Mode() {
	case p9.ReadOnly:
		return vfs.OpenRead
	case p9.WriteOnly:
		return vfs.OpenWrite
	}
	return vfs.OpenRead | vfs.OpenWrite
}

// Open implements p9.File. Besides the mode it heeds O_TRUNC, which Linux's
// client sends.
func (f *attached) Open(mode p9.OpenFlags) (p9.QID, uint32, error) {
	a, qid, err := f.attr()
	if err != nil {
		return p9.QID{}, 0, err
	}
	if a.Type == vfs.TypeDirectory {
		return qid, 0, f.openDir(mode)
	}
	opened, err := f.node.Open(background, f.cred, opening(mode))
	if err != nil {
		return p9.QID{}, 0, libraryError(err)
	}
	if mode&unix.O_TRUNC != 0 {
		err := f.node.SetAttr(background, f.cred, &vfs.SetAttr{Set: vfs.SetSize, Via: opened})
		if err != nil {
			opened.Close()
			return p9.QID{}, 0, libraryError(err)
		}
	}
	f.file = opened
	return qid, 0, nil
}

func (f *attached) openDir(mode p9.OpenFlags) error {
	if mode.Mode() != p9.ReadOnly {
		return linux.EISDIR
	}
	granted, err := f.node.Access(background, f.cred, vfs.AccessRead)
	if err == nil && granted == 0 {
		err = vfs.EACCES
	}
	return libraryError(err)
}

// ReadAt implements p9.File.
func (f *attached) ReadAt(p []byte, off int64) (int, error) {
	if f.file == nil {
		return 0, linux.EBADF
	}
	n, err := f.file.ReadAt(background, p, off)
	if err == nil && n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, libraryError(err)
}

// WriteAt implements p9.File.
func (f *attached) WriteAt(p []byte, off int64) (int, error) {
	if f.file == nil {
		return 0, linux.EBADF
	}
	n, _, err := f.file.WriteAt(background, p, off, vfs.Unstable)
	return n, libraryError(err)
}

// FSync implements p9.File.
func (f *attached) FSync() error {
	if f.file == nil {
		return nil // a directory: its changes are the file system's business
	}
	return libraryError(f.file.Sync(background, false))
}

// Readdir implements p9.File. count is bytes of the message, as the library's
// server has it, of which an entry takes 24 and its name.
func (f *attached) Readdir(offset uint64, count uint32) (p9.Dirents, error) {
	const entryCost = 24
	var entries p9.Dirents
	left := int64(count)
	eof, err := f.node.ReadDir(background, f.cred, offset, vfs.AttrType|vfs.AttrFileID, func(d *vfs.DirEntry) bool {
		left -= int64(entryCost + len(d.Name))
		if left < 0 {
			return false
		}
		qid := p9.QID{Type: modeBits[d.Type].QIDType(), Path: d.FileID}
		entries = append(entries, p9.Dirent{QID: qid, Type: qid.Type, Offset: d.Cookie, Name: d.Name})
		return true
	})
	if err == nil && !eof && len(entries) == 0 {
		err = vfs.EINVAL // none fits, and nothing would be the end
	}
	return entries, libraryError(err)
}

// Create implements p9.File.
func (f *attached) Create(name string, mode p9.OpenFlags, perm p9.FileMode, uid p9.UID, gid p9.GID) (p9.File, p9.QID, uint32, error) {
	if err := vfs.CheckName(name); err != nil {
		return nil, p9.QID{}, 0, libraryError(err)
	}
	node, opened, _, err := f.node.Create(background, f.cred, name, f.initial(perm, uid, gid), opening(mode))
	if err != nil {
		return nil, p9.QID{}, 0, libraryError(err)
	}
	made := &attached{attacher: f.attacher, node: node, file: opened}
	_, qid, err := made.attr()
	if err != nil {
		opened.Close()
		return nil, p9.QID{}, 0, err
	}
	return made, qid, 0, nil
}

// initial is what a new node gets. Only root can make something that belongs
// to others: for anybody else the owner is who the Attacher acts as.
func (f *attached) initial(perm p9.FileMode, uid p9.UID, gid p9.GID) *vfs.SetAttr {
	set := &vfs.SetAttr{Set: vfs.SetMode, Mode: uint32(perm) & permBits}
	if f.cred.UID != 0 {
		return set
	}
	if uid.Ok() {
		set.Set, set.UID = set.Set|vfs.SetUID, uint32(uid)
	}
	if gid.Ok() {
		set.Set, set.GID = set.Set|vfs.SetGID, uint32(gid)
	}
	return set
}

// born returns the QID of what was made.
func (f *attached) born(node vfs.Node, err error) (p9.QID, error) {
	if err != nil {
		return p9.QID{}, libraryError(err)
	}
	_, qid, err := (&attached{attacher: f.attacher, node: node}).attr()
	return qid, err
}

// Mkdir implements p9.File.
func (f *attached) Mkdir(name string, perm p9.FileMode, uid p9.UID, gid p9.GID) (p9.QID, error) {
	if err := vfs.CheckName(name); err != nil {
		return p9.QID{}, libraryError(err)
	}
	node, _, err := f.node.Mkdir(background, f.cred, name, f.initial(perm, uid, gid))
	return f.born(node, err)
}

// Symlink implements p9.File.
func (f *attached) Symlink(target, name string, uid p9.UID, gid p9.GID) (p9.QID, error) {
	if err := vfs.CheckName(name); err != nil {
		return p9.QID{}, libraryError(err)
	}
	if len(target) > vfs.MaxSymlink {
		return p9.QID{}, linux.ENAMETOOLONG
	}
	node, _, err := f.node.Symlink(background, f.cred, name, target, f.initial(0o777, uid, gid))
	return f.born(node, err)
}

// Mknod implements p9.File.
func (f *attached) Mknod(name string, mode p9.FileMode, major, minor uint32, uid p9.UID, gid p9.GID) (p9.QID, error) {
	if err := vfs.CheckName(name); err != nil {
		return p9.QID{}, libraryError(err)
	}
	m, ok := f.node.(vfs.Mknoder)
	if !ok {
		return p9.QID{}, linux.EOPNOTSUPP
	}
	node, _, err := m.Mknod(background, f.cred, name, typeBits[mode.FileType()], vfs.Rdev{Major: major, Minor: minor}, f.initial(mode, uid, gid))
	return f.born(node, err)
}
