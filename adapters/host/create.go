package host

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// dirLock returns the lock for changes of this directory; others may share it.
func (n *node) dirLock() *sync.Mutex { return &n.fs.dirLocks[n.lockIndex()] }

func (n *node) lockIndex() uint8 { return uint8(maphash.Bytes(n.fs.fds.seed, n.handle)) }

// changing is a directory while its entries are changed, under its lock.
type changing struct {
	*descriptor
	node   *node
	stat   unix.Statx_t
	before uint64
}

// begin finds out about the directory; the caller holds its lock and releases
// the descriptor.
func (n *node) begin() (*changing, error) {
	desc, st, err := n.live(vfs.AttrType | vfs.AttrChange)
	if err != nil {
		return nil, err
	}
	if typeOf(st.Mode) != vfs.TypeDirectory {
		desc.release()
		return nil, vfs.ENOTDIR
	}
	return &changing{desc, n, st, n.fs.changes.of(n.handle, ctime(&st))}, nil
}

// finish notes the change and makes it durable.
func (c *changing) finish() (vfs.DirChange, error) {
	f := c.node.fs
	if err := f.syncMeta(c.fd); err != nil {
		return vfs.DirChange{}, err
	}
	st, err := f.stat(c.fd, vfs.AttrChange)
	if err != nil {
		return vfs.DirChange{}, err
	}
	f.changes.made(c.node.handle, ctime(&st))
	after := f.changes.of(c.node.handle, ctime(&st))
	return vfs.DirChange{Before: c.before, After: after, Atomic: f.exclusive}, nil
}

// changeDir runs op between begin and finish.
func (n *node) changeDir(name string, op func(*changing) error) (vfs.DirChange, error) {
	if err := vfs.CheckName(name); err != nil {
		return vfs.DirChange{}, err
	}
	l := n.dirLock()
	l.Lock()
	defer l.Unlock()
	dir, err := n.begin()
	if err != nil {
		return vfs.DirChange{}, err
	}
	defer dir.release()
	if err := op(dir); err != nil {
		return vfs.DirChange{}, err
	}
	return dir.finish()
}

// Create implements vfs.Node.
func (n *node) Create(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	a := access(how) & readWrite
	mode, err := initialMode(set)
	if err == nil && a == 0 {
		err = vfs.EINVAL
	}
	if err != nil {
		return nil, nil, vfs.DirChange{}, err
	}
	var made *node
	var opened *file
	change, err := n.changeDir(name, func(dir *changing) error {
		fd := -1
		err := n.fs.as(cred, func() (err error) {
			fd, err = openName(dir.fd, name, unix.O_CREAT|unix.O_EXCL|a.openFlags(), mode)
			return err
		})
		if err != nil {
			return taken(err)
		}
		if made, opened, err = n.created(fd, name, cred, a, set); err != nil {
			n.undo(dir, name, 0)
		}
		return err
	})
	if err != nil {
		if opened != nil {
			opened.Close()
		}
		return nil, nil, change, err
	}
	return made, opened, change, nil
}

// created makes node and File of fd, a new file open for a. It takes over fd.
func (n *node) created(fd int, name string, cred *vfs.Cred, a access, set *vfs.SetAttr) (*node, *file, error) {
	handle, err := n.fs.handleOf(fd, n.handle, name)
	if err == nil {
		err = n.fs.setInitial(fd, cred, set, 0o7777)
	}
	if err != nil {
		unix.Close(fd)
		return nil, nil, err
	}
	c := &node{n.fs, handle}
	desc := n.fs.fds.put(handle, a, fd, n.fs.fds.losses.Load())
	defer desc.release()
	f, err := c.opened(desc, cred, a)
	return c, f, err
}

// taken tells that a name is in use where something is mounted on it.
func taken(err error) error {
	if errors.Is(err, vfs.EXDEV) {
		return vfs.EEXIST
	}
	return err
}

// undo removes what could not be finished. If that fails too there is nothing
// left to try, and the caller learns of the first error.
func (n *node) undo(dir *changing, name string, flags int) {
	if err := unix.Unlinkat(dir.fd, name, flags); err != nil {
		n.fs.log.Warn().Err(err).Str("name", name).Msg("cannot remove a node that was made incompletely")
	}
}

// Mkdir implements vfs.Node.
func (n *node) Mkdir(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	mode, err := initialMode(set)
	if err != nil {
		return nil, vfs.DirChange{}, err
	}
	const mkdirSets = 0o1777 // mkdir(2)
	return n.make(cred, name, set, mkdirSets, unix.AT_REMOVEDIR, func(dirFD int) error {
		return unix.Mkdirat(dirFD, name, mode)
	})
}

// Symlink implements vfs.Node.
func (n *node) Symlink(_ context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	if len(target) > vfs.MaxSymlink {
		return nil, vfs.DirChange{}, vfs.ENAMETOOLONG
	}
	return n.make(cred, name, set, noMode, 0, func(dirFD int) error {
		return unix.Symlinkat(target, dirFD, name)
	})
}

// Mknod implements vfs.Mknoder.
func (n *node) Mknod(_ context.Context, cred *vfs.Cred, name string, typ vfs.FileType, rdev vfs.Rdev, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	mode, err := initialMode(set)
	if err != nil {
		return nil, vfs.DirChange{}, err
	}
	var dev uint64
	switch typ {
	case vfs.TypeFIFO:
		mode |= unix.S_IFIFO
	case vfs.TypeSocket:
		mode |= unix.S_IFSOCK
	case vfs.TypeBlock, vfs.TypeChar:
		if rdev.Major > maxMajor || rdev.Minor > maxMinor {
			return nil, vfs.DirChange{}, vfs.EINVAL
		}
		mode |= unix.S_IFBLK
		if typ == vfs.TypeChar {
			mode = mode&^unix.S_IFMT | unix.S_IFCHR
		}
		dev = unix.Mkdev(rdev.Major, rdev.Minor)
	default:
		return nil, vfs.DirChange{}, vfs.EINVAL
	}
	return n.make(cred, name, set, 0o7777, 0, func(dirFD int) error {
		return unix.Mknodat(dirFD, name, mode, int(dev))
	})
}

// Device numbers have 12 and 20 bits in the kernel (include/linux/kdev_t.h).
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// make makes an entry by a call as cred, which sets the bits sets of the mode,
// and gives it the rest of its attributes.
func (n *node) make(cred *vfs.Cred, name string, set *vfs.SetAttr, sets uint32, undo int, call func(dirFD int) error) (vfs.Node, vfs.DirChange, error) {
	var made *node
	change, err := n.changeDir(name, func(dir *changing) error {
		err := n.fs.as(cred, func() error {
			_, err := retry(func() (int, error) { return 0, call(dir.fd) })
			return err
		})
		if err != nil {
			return err
		}
		losses := n.fs.fds.losses.Load()
		fd, err := n.fs.openOwn(dir.descriptor, name)
		if err != nil {
			return err
		}
		c, desc, err := n.child(fd, name, losses)
		if err != nil {
			return err
		}
		defer desc.release()
		made = c
		if err := n.fs.setInitial(desc.fd, cred, set, sets); err != nil {
			n.undo(dir, name, undo)
			n.fs.fds.nameRemoved(desc, false)
			return err
		}
		return nil
	})
	if err != nil {
		return nil, change, err
	}
	return made, change, nil
}

// Link implements vfs.Linker.
func (n *node) Link(_ context.Context, cred *vfs.Cred, newDir vfs.Node, newName string) (vfs.DirChange, error) {
	to, ok := newDir.(*node)
	if !ok || to.fs != n.fs {
		return vfs.DirChange{}, vfs.EXDEV
	}
	desc, _, err := n.live(vfs.AttrType)
	if err != nil {
		return vfs.DirChange{}, err
	}
	defer desc.release()
	return to.changeDir(newName, func(dir *changing) error {
		err := n.fs.as(cred, func() error {
			// The link in /proc stands in for AT_EMPTY_PATH, which needs
			// CAP_DAC_READ_SEARCH (linkat(2)).
			return unix.Linkat(unix.AT_FDCWD, procPath(desc.fd), dir.fd, newName, unix.AT_SYMLINK_FOLLOW)
		})
		if err != nil {
			if errors.Is(err, vfs.ENOENT) && unlinked(desc.fd) {
				return vfs.ESTALE
			}
			return err
		}
		n.fs.noteChange(n.handle, desc.fd)
		return nil
	})
}
