package rclone

import (
	"errors"
	"os"

	"github.com/rclone/rclone/fs"
	rvfs "github.com/rclone/rclone/vfs"

	"github.com/fsva/fsva/vfs"
)

// known are rclone's errors that mean something to a guest.
var known = []struct {
	err   error
	errno vfs.Errno
}{
	{os.ErrNotExist, vfs.ENOENT},
	{fs.ErrorObjectNotFound, vfs.ENOENT},
	{fs.ErrorDirNotFound, vfs.ENOENT},
	{os.ErrExist, vfs.EEXIST},
	{fs.ErrorDirExists, vfs.EEXIST},
	{os.ErrInvalid, vfs.EINVAL},
	{rvfs.ENOTEMPTY, vfs.ENOTEMPTY},
	{fs.ErrorDirectoryNotEmpty, vfs.ENOTEMPTY},
	{rvfs.EROFS, vfs.EROFS},
	{rvfs.ELOOP, vfs.ELOOP},
	{rvfs.ENOSYS, vfs.EOPNOTSUPP},
	{rvfs.EBADF, vfs.EIO},
	{fs.ErrorNotImplemented, vfs.EOPNOTSUPP},
	// Of the cache directory. Other errnos in the chain are of sockets, and
	// mean nothing to who reads a file.
	{vfs.ENOSPC, vfs.ENOSPC},
	{vfs.EDQUOT, vfs.ENOSPC},
	{vfs.ENAMETOOLONG, vfs.ENAMETOOLONG},
	{vfs.EFBIG, vfs.EFBIG},
}

// errnoOf makes an Errno of what rclone returns. That a remote refuses is EIO:
// it refuses the appliance, not the guest that asks.
func errnoOf(err error) error {
	if err == nil {
		return nil
	}
	var own *refusal
	if errors.As(err, &own) {
		return own.error
	}
	for _, k := range known {
		if errors.Is(err, k.err) {
			return vfs.Errorf(k.errno, "%v", hide(err))
		}
	}
	return vfs.Errorf(vfs.EIO, "%v", hide(err))
}

// refusal is an error that already has the errno it is to have.
type refusal struct{ error }

func (r *refusal) Unwrap() error { return r.error }

// refuse makes a refusal.
func refuse(errno vfs.Errno, format string, args ...any) error {
	return &refusal{vfs.Errorf(errno, format, args...)}
}

// gone reports that an error says that something is not there.
func gone(err error) bool {
	return errors.Is(err, fs.ErrorObjectNotFound) || errors.Is(err, fs.ErrorDirNotFound) || errors.Is(err, os.ErrNotExist)
}
