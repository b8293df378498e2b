package vfs

import (
	"errors"
	"fmt"
	"syscall"
)

// Errno is the one error type that crosses the waist. Adapters return an
// Errno, or an error that wraps one when there is something to add for the
// log; each protocol has one table from Errno to its own codes.
type Errno = syscall.Errno

// The errors the contract speaks of. Others may be returned too.
const (
	EPERM        = syscall.EPERM
	ENOENT       = syscall.ENOENT
	EIO          = syscall.EIO
	ENXIO        = syscall.ENXIO
	EAGAIN       = syscall.EAGAIN
	EACCES       = syscall.EACCES
	EBUSY        = syscall.EBUSY
	EEXIST       = syscall.EEXIST
	EXDEV        = syscall.EXDEV
	ENOTDIR      = syscall.ENOTDIR
	EISDIR       = syscall.EISDIR
	EINVAL       = syscall.EINVAL
	EFBIG        = syscall.EFBIG
	ENOSPC       = syscall.ENOSPC
	EROFS        = syscall.EROFS
	EMLINK       = syscall.EMLINK
	ENAMETOOLONG = syscall.ENAMETOOLONG
	ENOTEMPTY    = syscall.ENOTEMPTY
	ELOOP        = syscall.ELOOP
	ENODATA      = syscall.ENODATA
	EDQUOT       = syscall.EDQUOT
	ESTALE       = syscall.ESTALE
	EOPNOTSUPP   = syscall.EOPNOTSUPP
	ENOTSUP      = syscall.ENOTSUP
	ERANGE       = syscall.ERANGE
	E2BIG        = syscall.E2BIG
	EDEADLK      = syscall.EDEADLK
	// EBADHANDLE is the kernel's own (include/linux/errno.h): the bytes
	// were never a handle.
	EBADHANDLE Errno = 521
)

// ErrnoOf returns the Errno in err's chain, EIO if there is none, and 0 for
// nil.
func ErrnoOf(err error) Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(Errno); ok { // the common case, without reflection
		return e
	}
	var e Errno
	if errors.As(err, &e) {
		return e
	}
	return EIO
}

// Errorf makes an error that is e to the protocols and says more to the log.
func Errorf(e Errno, format string, args ...any) error {
	return &detailed{e, fmt.Sprintf(format, args...)}
}

type detailed struct {
	errno Errno
	text  string
}

func (d *detailed) Error() string { return d.text + ": " + d.errno.Error() }
func (d *detailed) Unwrap() error { return d.errno }
