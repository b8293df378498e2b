package host

import (
	"context"
	"errors"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// node is a file-system object. It is immutable and holds no descriptor.
type node struct {
	fs     *FS
	handle []byte
}

var (
	_ vfs.Node       = (*node)(nil)
	_ vfs.Linker     = (*node)(nil)
	_ vfs.Mknoder    = (*node)(nil)
	_ vfs.Xattrer    = (*node)(nil)
	_ vfs.LockSharer = (*node)(nil)
)

// Handle implements vfs.Node.
func (n *node) Handle() []byte { return n.handle }

// child makes the node that was found or made as name in n. It takes over fd,
// a path descriptor; losses is what that of the descriptors was before.
func (n *node) child(fd int, name string, losses uint64) (*node, *descriptor, error) {
	handle, err := n.fs.handleOf(fd, n.handle, name)
	if err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	return &node{n.fs, handle}, n.fs.fds.put(handle, pathOnly, fd, losses), nil
}

// live returns the path descriptor of a node that was not removed, or is still
// open, and what statx told. The caller releases the descriptor.
func (n *node) live(want vfs.AttrMask) (*descriptor, unix.Statx_t, error) {
	return n.liveBy(n.fs.path, want)
}

// asked is live for calls that only ask about the node, by any descriptor of it.
func (n *node) asked(want vfs.AttrMask) (*descriptor, unix.Statx_t, error) {
	return n.liveBy(n.fs.known, want)
}

func (n *node) liveBy(get func(handle []byte) (*descriptor, error), want vfs.AttrMask) (*descriptor, unix.Statx_t, error) {
	desc, err := get(n.handle)
	if err != nil {
		return nil, unix.Statx_t{}, err
	}
	st, err := n.fs.stat(desc.fd, want)
	if err == nil && st.Nlink == 0 && !n.fs.fds.isOpen(n.handle) {
		err = vfs.ESTALE
	}
	if err == nil {
		return desc, st, nil
	}
	if errors.Is(err, vfs.ESTALE) {
		n.fs.fds.forget(n.handle)
	}
	desc.release()
	return nil, st, err
}

// GetAttr implements vfs.Node.
func (n *node) GetAttr(_ context.Context, want vfs.AttrMask) (vfs.Attr, error) {
	desc, st, err := n.asked(want)
	if err != nil {
		return vfs.Attr{}, err
	}
	desc.release()
	return n.fs.attr(n.handle, &st), nil
}

// Access implements vfs.Node. The kernel answers, so that ACLs, read-only
// mounts and immutable files count.
func (n *node) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	desc, st, err := n.asked(vfs.AttrType | vfs.AttrChange)
	if err != nil {
		return 0, err
	}
	defer desc.release()
	isDir := typeOf(st.Mode) == vfs.TypeDirectory
	var granted vfs.Access
	may := func(mode uint32) bool { return n.fs.may(cred, desc, &st, mode) == nil }
	const reads = vfs.AccessRead | vfs.AccessXattrRead | vfs.AccessXattrList
	if want&reads != 0 && may(unix.R_OK) {
		granted |= reads
	}
	const search = vfs.AccessLookup | vfs.AccessExecute
	const changes = vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete
	if (want&search != 0 || isDir && want&changes != 0) && may(unix.X_OK) {
		granted |= search
	}
	if want&(changes|vfs.AccessXattrWrite) != 0 && may(unix.W_OK) {
		granted |= vfs.AccessXattrWrite
		if !isDir || granted&search != 0 {
			granted |= changes
		}
	}
	if isDir {
		granted &^= vfs.AccessExecute
	} else {
		granted &^= vfs.AccessLookup | vfs.AccessDelete
	}
	return granted & want, nil
}

// mayAccess asks whether the thread may access the node behind fd.
func mayAccess(fd int, mode uint32) error {
	_, err := retry(func() (int, error) {
		return 0, unix.Faccessat2(fd, "", mode, unix.AT_EMPTY_PATH|unix.AT_EACCESS)
	})
	return err
}

// Lookup implements vfs.Node.
func (n *node) Lookup(_ context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	if err := vfs.CheckName(name); err != nil {
		return nil, err
	}
	dir, st, err := n.live(vfs.AttrType | vfs.AttrChange)
	if err != nil {
		return nil, err
	}
	defer dir.release()
	if typeOf(st.Mode) != vfs.TypeDirectory {
		return nil, vfs.ENOTDIR
	}
	if n.fs.table == nil && n.fs.kind.resident {
		// Elsewhere, to make a node of its handle can cost a question to
		// a server, which the descriptor saves.
		handle, err := n.fs.entryHandle(dir, &st, cred, name)
		if err != nil {
			return nil, err
		}
		return &node{n.fs, handle}, nil
	}
	defer n.settle()()
	losses := n.fs.fds.losses.Load()
	fd, err := n.fs.openEntry(dir, &st, cred, name)
	if err != nil {
		return nil, err
	}
	c, desc, err := n.child(fd, name, losses)
	if err != nil {
		return nil, err
	}
	desc.release()
	return c, nil
}

// settle keeps the entries of a directory where they are while the table is
// told of one.
func (n *node) settle() (done func()) {
	if n.fs.table == nil {
		return func() {}
	}
	l := n.dirLock()
	l.Lock()
	return l.Unlock
}

// openOwn returns a path descriptor of an entry of the directory dir, with the
// rights of the process.
func (f *FS) openOwn(dir *descriptor, name string) (int, error) {
	fd, err := openName(dir.fd, name, unix.O_PATH, 0)
	return fd, f.checkMount(dir, name, err)
}

// checkMount makes the answer for a directory that something is mounted on of
// openName's err. The first time for each it is logged.
func (f *FS) checkMount(dir *descriptor, name string, err error) error {
	if !errors.Is(err, vfs.EXDEV) {
		return err
	}
	if _, known := f.mounts.LoadOrStore(dir.key.handle+name, true); !known {
		path, err := os.Readlink(procPath(dir.fd))
		f.log.Warn().Err(err).Str("dir", path+"/"+name).
			Msg("another file system is mounted here and is not part of this export: export it on its own")
	}
	return vfs.EACCES
}

// Parent implements vfs.Node. A directory that somebody has moved out of the
// export has no parent in it: ESTALE.
func (n *node) Parent(_ context.Context, cred *vfs.Cred) (vfs.Node, error) {
	dir, st, err := n.live(vfs.AttrType)
	if err != nil {
		return nil, err
	}
	defer dir.release()
	switch {
	case typeOf(st.Mode) != vfs.TypeDirectory:
		return nil, vfs.ENOTDIR
	case slices.Equal(n.handle, n.fs.root.handle):
		return nil, vfs.ENOENT
	}
	losses, fd := n.fs.fds.losses.Load(), -1
	err = n.fs.as(cred, func() (err error) {
		fd, err = openParent(dir.fd)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !n.fs.inExport(fd) {
		unix.Close(fd)
		return nil, vfs.ESTALE
	}
	// There is no name to record; the table has led here.
	handle, err := n.fs.handleOf(fd, nil, "")
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	n.fs.fds.put(handle, pathOnly, fd, losses).release()
	return &node{n.fs, handle}, nil
}

func openParent(fd int) (int, error) {
	return retry(func() (int, error) {
		return unix.Openat(fd, "..", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	})
}

// inExport walks up from a directory and reports whether it meets the root of
// the export. Where that is the root of its mount it always would.
func (f *FS) inExport(fd int) bool {
	if f.mountRoot {
		return true
	}
	root, err := stat(f.rootFD, vfs.AttrFileID)
	if err != nil {
		return false
	}
	up, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
	var last unix.Statx_t
	for depth := 0; err == nil && depth < maxDepth; depth++ {
		st, serr := stat(up, vfs.AttrFileID)
		if serr != nil || sameInode(&st, &last) { // the top is its own parent
			break
		}
		if sameInode(&st, &root) {
			unix.Close(up)
			return true
		}
		last = st
		next, oerr := openParent(up)
		unix.Close(up)
		up, err = next, oerr
	}
	if err == nil {
		unix.Close(up)
	}
	return false
}

func sameInode(a, b *unix.Statx_t) bool {
	return a.Ino == b.Ino && a.Dev_major == b.Dev_major && a.Dev_minor == b.Dev_minor
}

// ReadLink implements vfs.Node.
func (n *node) ReadLink(_ context.Context, _ *vfs.Cred) (string, error) {
	desc, st, err := n.live(vfs.AttrType)
	if err != nil {
		return "", err
	}
	defer desc.release()
	if typeOf(st.Mode) != vfs.TypeSymlink {
		return "", vfs.EINVAL
	}
	buf := make([]byte, vfs.MaxSymlink+1)
	size, err := retry(func() (int, error) { return unix.Readlinkat(desc.fd, "", buf) })
	if err != nil {
		return "", err
	}
	return string(buf[:size]), nil
}
