package nfs

import (
	"errors"
	"syscall"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// errnoStatus maps what the waist says to what NFSv4 says (RFC 8881 §15.1).
// An errno that is not here becomes NFS4ERR_IO.
var errnoStatus = map[vfs.Errno]nfs4.Status{
	vfs.EPERM:        nfs4.ErrPerm,
	vfs.ENOENT:       nfs4.ErrNoent,
	vfs.EIO:          nfs4.ErrIo,
	vfs.ENXIO:        nfs4.ErrNxio,
	vfs.EAGAIN:       nfs4.ErrDelay,
	vfs.EACCES:       nfs4.ErrAccess,
	vfs.EBUSY:        nfs4.ErrFileOpen,
	vfs.EEXIST:       nfs4.ErrExist,
	vfs.EXDEV:        nfs4.ErrXdev,
	vfs.ENOTDIR:      nfs4.ErrNotdir,
	vfs.EISDIR:       nfs4.ErrIsdir,
	vfs.EINVAL:       nfs4.ErrInval,
	vfs.EFBIG:        nfs4.ErrFbig,
	vfs.ENOSPC:       nfs4.ErrNospc,
	vfs.EROFS:        nfs4.ErrRofs,
	vfs.EMLINK:       nfs4.ErrMlink,
	vfs.ENAMETOOLONG: nfs4.ErrNametoolong,
	vfs.ENOTEMPTY:    nfs4.ErrNotempty,
	vfs.ELOOP:        nfs4.ErrSymlink,
	vfs.ENODATA:      nfs4.ErrNoxattr,
	vfs.EDQUOT:       nfs4.ErrDquot,
	vfs.ESTALE:       nfs4.ErrStale,
	vfs.EBADHANDLE:   nfs4.ErrBadhandle,
	vfs.EOPNOTSUPP:   nfs4.ErrNotsupp,
	vfs.ERANGE:       nfs4.ErrToosmall,
	vfs.E2BIG:        nfs4.ErrXattr2big,
	vfs.EDEADLK:      nfs4.ErrDeadlock,
	syscall.ENOMEM:   nfs4.ErrDelay,
	syscall.ENFILE:   nfs4.ErrDelay,
	syscall.EMFILE:   nfs4.ErrDelay,
	syscall.ENOLCK:   nfs4.ErrServerfault, // NFS4ERR_RESOURCE is of 4.0 alone (§15.1.16)
	syscall.ENODEV:   nfs4.ErrIo,
}

// statusOf turns an error of the waist, of the lock table or of the state
// packages into a status. Other errors are the server's own fault.
func statusOf(err error) nfs4.Status {
	if err == nil {
		return nfs4.OK
	}
	switch e := err.(type) {
	case nfs4.Status:
		return e
	case vfs.Errno:
		return errnoToStatus(e)
	}
	switch {
	case errors.Is(err, lock.ErrShareConflict):
		return nfs4.ErrShareDenied
	case errors.Is(err, lock.ErrLeaseBreaking):
		return nfs4.ErrDelay
	}
	return errnoToStatus(vfs.ErrnoOf(err))
}

func errnoToStatus(e vfs.Errno) nfs4.Status {
	if s, ok := errnoStatus[e]; ok {
		return s
	}
	return nfs4.ErrIo
}
