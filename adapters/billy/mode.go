package billy

import (
	"errors"
	"os"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/vfs"
)

// errnoOf turns what a billy.Filesystem returns into an error of the waist.
// An Errno in the chain is taken as it is.
func errnoOf(err error) error {
	var e vfs.Errno
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		return err
	case errors.Is(err, os.ErrNotExist):
		return vfs.Errorf(vfs.ENOENT, "%v", err)
	case errors.Is(err, os.ErrExist):
		return vfs.Errorf(vfs.EEXIST, "%v", err)
	case errors.Is(err, os.ErrPermission), errors.Is(err, billy.ErrCrossedBoundary):
		return vfs.Errorf(vfs.EACCES, "%v", err)
	case errors.Is(err, billy.ErrReadOnly):
		return vfs.Errorf(vfs.EROFS, "%v", err)
	case unsupported(err):
		return vfs.Errorf(vfs.EOPNOTSUPP, "%v", err)
	}
	return vfs.Errorf(vfs.EIO, "%v", err)
}

// unsupported reports that the file system said that it cannot do this at all.
func unsupported(err error) bool {
	return errors.Is(err, billy.ErrNotSupported) || errors.Is(err, errors.ErrUnsupported)
}
