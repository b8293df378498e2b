package host

import (
	"context"
	"math"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// file is a File: a count in the cache of descriptors, and a descriptor only
// during each call.
type file struct {
	node   *node
	access access
	// uid makes the changes, so that quotas, the blocks reserved for root
	// and the clearing of set-id bits work as for a local process.
	uid uint32
	// held is for a process that could not open the file again.
	held *descriptor
	back *writeBack // of the node

	mu     sync.Mutex // before the locks of descriptors
	pinned *descriptor
	pins   int
}

var (
	_ vfs.File        = (*file)(nil)
	_ vfs.HoleSeeker  = (*file)(nil)
	_ vfs.Allocator   = (*file)(nil)
	_ vfs.RangeCopier = (*file)(nil)
	_ vfs.Cloner      = (*file)(nil)
	_ vfs.Descriptor  = (*file)(nil)
)

// Open implements vfs.Node.
func (n *node) Open(_ context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	a := access(how) & readWrite
	if a == 0 {
		return nil, vfs.EINVAL
	}
	desc, st, err := n.live(vfs.AttrType | vfs.AttrOwner | vfs.AttrChange)
	if err != nil {
		return nil, err
	}
	defer desc.release()
	switch typeOf(st.Mode) {
	case vfs.TypeRegular:
	case vfs.TypeDirectory:
		return nil, vfs.EISDIR
	case vfs.TypeSymlink:
		return nil, vfs.ELOOP
	default:
		return nil, vfs.ENXIO
	}
	passes := how&vfs.OpenReclaim != 0 || how&vfs.OpenOwner != 0 && st.Uid == cred.UID
	if !passes {
		if err := n.fs.may(cred, desc, &st, a.mode()); err != nil {
			return nil, err
		}
	}
	return n.opened(desc, cred, a)
}

// opened makes the File; desc is any descriptor of the node.
func (n *node) opened(desc *descriptor, cred *vfs.Cred, a access) (*file, error) {
	f := &file{node: n, access: a, uid: cred.UID}
	if n.fs.ids == nil {
		held, err := n.fs.data(n.handle, a)
		if err != nil {
			return nil, err
		}
		f.held = held
	}
	back, err := n.fs.fds.opened(desc, a)
	if err != nil {
		if f.held != nil {
			f.held.release()
		}
		return nil, err
	}
	f.back = back
	return f, nil
}

// mode is what access(2) calls the access.
func (a access) mode() (mode uint32) {
	if a&readOnly != 0 {
		mode |= unix.R_OK
	}
	if a&writeOnly != 0 {
		mode |= unix.W_OK
	}
	return mode
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// Close implements vfs.File.
func (f *file) Close() error {
	f.node.fs.fds.closed(f.node.handle, f.access)
	if f.held != nil {
		f.held.release()
	}
	return nil
}

// descriptor returns the data descriptor. The caller releases it.
func (f *file) descriptor() (*descriptor, error) {
	return f.node.fs.data(f.node.handle, f.access)
}

// PinFD implements vfs.Descriptor.
func (f *file) PinFD() (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pins == 0 {
		desc, err := f.descriptor()
		if err != nil {
			return -1, err
		}
		f.pinned = desc
	}
	f.pins++
	return f.pinned.fd, nil
}

// UnpinFD implements vfs.Descriptor.
func (f *file) UnpinFD() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pins--; f.pins == 0 {
		f.pinned.release()
		f.pinned = nil
	}
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(_ context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	desc, err := f.descriptor()
	if err != nil {
		return 0, err
	}
	defer desc.release()
	n = f.node.fs.readCached(desc.fd, p, off)
	for n < len(p) {
		got, err := retry(func() (int, error) { return unix.Pread(desc.fd, p[n:], off+int64(n)) })
		if err != nil {
			return n, err
		}
		if got == 0 {
			break
		}
		n += got
	}
	return n, nil
}

// maxQuickRead is the most data in bytes that readCached moves.
const maxQuickRead = 64 << 10

// readCached reads what is in the page cache, of which the Go scheduler need not
// be told: see stat. ReadAt goes on from there, and reads the end of the file.
func (f *FS) readCached(fd int, p []byte, off int64) int {
	if !f.kind.resident || len(p) == 0 || len(p) > maxQuickRead {
		return 0
	}
	iov := unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))}
	n, _, e := unix.RawSyscall6(unix.SYS_PREADV2, uintptr(fd), uintptr(unsafe.Pointer(&iov)), 1,
		uintptr(off), 0, unix.RWF_NOWAIT)
	if e != 0 {
		return 0
	}
	return int(n)
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(_ context.Context, p []byte, off int64, want vfs.Stability) (n int, done vfs.Stability, err error) {
	switch {
	case off < 0:
		return 0, want, vfs.EINVAL
	case off > math.MaxInt64-int64(len(p)):
		return 0, want, vfs.EFBIG
	}
	flags := 0
	switch want {
	case vfs.DataSync:
		flags = unix.RWF_DSYNC
	case vfs.FileSync:
		flags = unix.RWF_SYNC
	}
	write := func() (lost bool, err error) {
		var failed error // of the write, not on the way to it
		err = f.change(func(fd int) error {
			n, failed = writeAll(fd, p, off, flags)
			return failed
		})
		return f.node.fs.noteLoss(failed, flags != 0), err
	}
	if flags == 0 {
		_, err = write()
		return n, want, err
	}
	if err = f.back.await(write); err != nil && n == len(p) {
		n = 0 // written, but nobody knows whether for good
	}
	return n, want, err
}

func writeAll(fd int, p []byte, off int64, flags int) (n int, err error) {
	for n < len(p) {
		put, err := retry(func() (int, error) { return writeAt(fd, p[n:], off+int64(n), flags) })
		if err != nil {
			return n, err
		}
		if put == 0 {
			return n, vfs.EIO
		}
		n += put
	}
	return n, nil
}

func writeAt(fd int, p []byte, off int64, flags int) (int, error) {
	if flags == 0 {
		return unix.Pwrite(fd, p, off)
	}
	return unix.Pwritev2(fd, [][]byte{p}, off, flags)
}

// change runs fn on the data descriptor as who opened the file, and notes the
// change.
func (f *file) change(fn func(fd int) error) error {
	desc, err := f.descriptor()
	if err != nil {
		return err
	}
	defer desc.release()
	fs := f.node.fs
	err = fs.asWriter(f.uid, func() error { return fn(desc.fd) })
	fs.noteChange(f.node.handle, desc.fd) // also an error may come after a part
	return err
}

// noteChange tells the change attributes of a change that was made.
func (f *FS) noteChange(handle []byte, fd int) {
	if f.changes == nil {
		return
	}
	if st, err := f.stat(fd, vfs.AttrChange); err == nil {
		f.changes.made(handle, ctime(&st))
	}
}

// Sync implements vfs.File.
func (f *file) Sync(_ context.Context, dataOnly bool) error {
	desc, err := f.descriptor()
	if err != nil {
		return err
	}
	defer desc.release()
	return f.back.await(func() (lost bool, err error) {
		_, err = retry(func() (int, error) {
			if dataOnly {
				return 0, unix.Fdatasync(desc.fd)
			}
			return 0, unix.Fsync(desc.fd)
		})
		return f.node.fs.noteLoss(err, true), err
	})
}
