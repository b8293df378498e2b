package p9

import (
	"context"
	"errors"
	"syscall"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// lastErrno is the last error number that programs know (EHWPOISON). What the
// Linux client is sent in an Rlerror it gives to them as it is.
const lastErrno = 133

// errnoOf turns an error of the waist or of the lock table into the number
// that goes into an Rlerror.
func errnoOf(err error) vfs.Errno {
	if e, ok := err.(vfs.Errno); ok {
		return sane(e)
	}
	switch {
	case errors.Is(err, lock.ErrShareConflict):
		return vfs.EACCES // as the Linux NFS client says of NFS4ERR_SHARE_DENIED
	case errors.Is(err, lock.ErrLeaseBreaking):
		return vfs.EAGAIN
	case errors.Is(err, lock.ErrReleased), errors.Is(err, context.Canceled):
		return syscall.EINTR
	case errors.Is(err, context.DeadlineExceeded):
		return syscall.ETIMEDOUT
	}
	return sane(vfs.ErrnoOf(err))
}

// sane replaces numbers that only the kernel knows.
func sane(e vfs.Errno) vfs.Errno {
	switch {
	case e == vfs.EBADHANDLE:
		return vfs.ESTALE
	case e == 0 || e > lastErrno:
		return vfs.EIO
	}
	return e
}
