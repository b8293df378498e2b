package host

import (
	"encoding/binary"
	"errors"
	"strconv"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// The first byte of a handle says how the node is found again.
const (
	byKernel = 1 // int32 type and bytes of struct file_handle
	byTable  = 2 // inode number, seconds and nanoseconds of birth
)

const (
	kernelHeader = 1 + 4
	tableHandle  = 1 + 8 + 8 + 4
)

// fileHandle is struct file_handle with room for the longest handle a node may
// have (open_by_handle_at(2)).
type fileHandle struct {
	size  uint32
	typ   int32
	bytes [vfs.MaxNodeHandle - kernelHeader]byte
}

// kernelHandleOf asks the kernel for the handle of the node behind fd, and for
// the mount it was found in.
func kernelHandleOf(fd int) (handle []byte, mount int32, err error) {
	return kernelHandleAt(fd, "", unix.AT_EMPTY_PATH)
}

// kernelHandleAt is name_to_handle_at(2). Without flags it does not follow a
// symbolic link.
func kernelHandleAt(dirFD int, name string, flags int) (handle []byte, mount int32, err error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return nil, 0, err
	}
	h := fileHandle{size: uint32(len(fileHandle{}.bytes))}
	e := unix.EINTR
	for e == unix.EINTR {
		_, _, e = unix.Syscall6(unix.SYS_NAME_TO_HANDLE_AT, uintptr(dirFD), uintptr(unsafe.Pointer(path)),
			uintptr(unsafe.Pointer(&h)), uintptr(unsafe.Pointer(&mount)), uintptr(flags), 0)
	}
	if e != 0 {
		return nil, 0, e
	}
	handle = make([]byte, kernelHeader, kernelHeader+h.size)
	handle[0] = byKernel
	binary.BigEndian.PutUint32(handle[1:], uint32(h.typ))
	return append(handle, h.bytes[:h.size]...), mount, nil
}

// openKernelHandle returns a path descriptor of the node with that handle.
//
// ENOMEM is asked about again for a while: the kernel also says so of a handle
// whose inode number is just being given to a new file (iget_locked finds the
// inode I_CREATING, and ext4 takes its nil for want of memory). That is over
// with the creation, and then the generation tells the handle stale.
func (f *FS) openKernelHandle(handle []byte) (int, error) {
	const tries, pause = 100, time.Millisecond
	h := fileHandle{
		size: uint32(len(handle) - kernelHeader),
		typ:  int32(binary.BigEndian.Uint32(handle[1:])),
	}
	copy(h.bytes[:], handle[kernelHeader:])
	for try := 1; ; try++ {
		fd, _, e := unix.Syscall(unix.SYS_OPEN_BY_HANDLE_AT, uintptr(f.mountFD),
			uintptr(unsafe.Pointer(&h)), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW)
		switch {
		case e == 0:
			return int(fd), nil
		case e == unix.EINVAL: // a type or size no file system gives
			return -1, vfs.EBADHANDLE
		case e == unix.ENOENT:
			return -1, vfs.ESTALE
		case e != unix.ENOMEM || try == tries:
			return -1, e
		}
		time.Sleep(pause)
	}
}

// checkHandle returns EBADHANDLE for what this FS can never have given out.
func (f *FS) checkHandle(handle []byte) error {
	switch {
	case len(handle) == 0 || len(handle) > vfs.MaxNodeHandle:
	case handle[0] == byKernel && f.table == nil && len(handle) > kernelHeader:
		return nil
	case handle[0] == byTable && f.table != nil && len(handle) == tableHandle:
		return nil
	}
	return vfs.EBADHANDLE
}

// handleOf returns the handle of the node behind fd. dir and name say where it
// was found, for the table; dir is nil for the root.
func (f *FS) handleOf(fd int, dir []byte, name string) ([]byte, error) {
	if f.table == nil {
		handle, mount, err := kernelHandleOf(fd)
		if err == nil && mount != f.mountID {
			return nil, vfs.EACCES
		}
		return handle, err
	}
	id, err := identify(fd)
	if err != nil {
		return nil, err
	}
	handle := id.handle()
	if dir == nil {
		return handle, nil
	}
	return handle, f.table.record(handle, place{dir, name})
}

// path returns the path descriptor of a node. The caller releases it.
func (f *FS) path(handle []byte) (*descriptor, error) { return f.pathAt(handle, 0) }

// pathAt is path, for a node that the table has led to over depth directories.
//
// Who renames or removes a node holds its descriptor until the table knows the
// new place or the open file is pinned. So a node that was not found is in the
// cache, or was moved meanwhile and is looked for again, or is gone.
func (f *FS) pathAt(handle []byte, depth int) (*descriptor, error) {
	const tries = 100
	for try := 1; ; try++ {
		moves, losses := f.table.moveCount(), f.fds.losses.Load()
		if desc := f.fds.get(handle, pathOnly); desc != nil {
			return desc, nil
		}
		fd, err := f.openHandle(handle, depth)
		if err == nil {
			return f.fds.put(handle, pathOnly, fd, losses), nil
		}
		if !errors.Is(err, vfs.ESTALE) {
			return nil, err
		}
		if desc := f.fds.get(handle, pathOnly); desc != nil {
			return desc, nil
		}
		if moves == f.table.moveCount() || try == tries {
			return nil, err
		}
	}
}

// openHandle returns a new path descriptor. depth counts how many directories
// the table has led through.
func (f *FS) openHandle(handle []byte, depth int) (int, error) {
	if string(handle) == string(f.root.handle) {
		return unix.FcntlInt(uintptr(f.rootFD), unix.F_DUPFD_CLOEXEC, 3)
	}
	if f.table == nil {
		return f.openKernelHandle(handle)
	}
	return f.openTableHandle(handle, depth)
}

// known is path for who only asks about the node: any descriptor will do.
func (f *FS) known(handle []byte) (*descriptor, error) {
	if desc := f.fds.any(handle); desc != nil {
		return desc, nil
	}
	return f.path(handle)
}

// data returns a descriptor for reading or writing a regular file, opened with
// the rights of the process: the caller's were checked when the File was made.
func (f *FS) data(handle []byte, a access) (*descriptor, error) {
	if desc := f.fds.get(handle, a); desc != nil {
		return desc, nil
	}
	losses := f.fds.losses.Load()
	path, err := f.path(handle)
	if err != nil {
		return nil, err
	}
	defer path.release()
	fd, err := reopen(path.fd, a.openFlags())
	if err != nil {
		return nil, err
	}
	return f.fds.put(handle, a, fd, losses), nil
}

func (a access) openFlags() int {
	switch a {
	case readWrite:
		return unix.O_RDWR
	case writeOnly:
		return unix.O_WRONLY
	}
	return unix.O_RDONLY
}

// procPath names the node behind fd for calls that take no descriptor from
// O_PATH. The link leads to the node itself: a symbolic link is not followed.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// reopen opens the node behind a path descriptor.
func reopen(fd, flags int) (int, error) {
	return retry(func() (int, error) {
		return unix.Open(procPath(fd), flags|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	})
}

// retry repeats a call that a signal has interrupted: the runtime's own
// signals do that on file systems that wait interruptibly.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// openName finds one name in the directory behind dirFD. Whatever the name is,
// the result is a node of this directory and mount.
func openName(dirFD int, name string, flags int, mode uint32) (int, error) {
	how := unix.OpenHow{
		Flags: uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Mode:  uint64(mode),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS |
			unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	}
	return retry(func() (int, error) { return unix.Openat2(dirFD, name, &how) })
}
