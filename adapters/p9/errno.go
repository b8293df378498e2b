package p9fs

import (
	"errors"

	"github.com/hugelgupf/p9/linux"

	"github.com/fsva/fsva/vfs"
)

// errBroken is for answers that no p9.File may give.
var errBroken = vfs.Errorf(vfs.EIO, "the p9.File does not keep its contract")

// errno returns the error of a p9.File as package vfs has it.
func errno(err error) error {
	if err == nil {
		return nil
	}
	var own vfs.Errno
	if errors.As(err, &own) {
		return unsupported(own)
	}
	return unsupported(vfs.Errno(linux.ExtractErrno(err)))
}

// unsupported makes one error of the two that say so: file systems for the
// library answer ENOSYS for what they do not have.
func unsupported(e vfs.Errno) vfs.Errno {
	if e == vfs.Errno(linux.ENOSYS) {
		return vfs.EOPNOTSUPP
	}
	return e
}

// gone is errno for what is done to the node itself, which is no longer there
// if its name is not.
func gone(err error) error {
	if err = errno(err); vfs.ErrnoOf(err) == vfs.ENOENT {
		return vfs.ESTALE
	}
	return err
}

// libraryError returns an error of package vfs as the library knows it.
func libraryError(err error) error {
	if err == nil {
		return nil
	}
	e := vfs.ErrnoOf(err)
	if e == vfs.EBADHANDLE { // no number of Linux's userland
		e = vfs.ESTALE
	}
	return linux.Errno(e)
}
