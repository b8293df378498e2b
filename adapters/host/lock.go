package host

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// ShareLocks implements vfs.LockSharer by open file description locks
// (fcntl(2)): POSIX locks of the process would go with the first descriptor of
// the file that is closed.
func (n *node) ShareLocks(context.Context) (vfs.SharedLocks, error) {
	desc, err := n.fs.path(n.handle)
	if err != nil {
		return nil, err
	}
	defer desc.release()
	fd, err := reopen(desc.fd, unix.O_RDWR)
	if errors.Is(err, unix.EROFS) || errors.Is(err, unix.EACCES) {
		fd, err = reopen(desc.fd, unix.O_RDONLY) // then nothing can be locked for writing
	}
	if err != nil {
		return nil, err
	}
	return &sharedLocks{fd}, nil
}

// sharedLocks are held by a descriptor of their own.
type sharedLocks struct{ fd int }

// Set implements vfs.SharedLocks.
func (l *sharedLocks) Set(_ context.Context, off, length int64, kind vfs.LockKind) error {
	_, err := l.fcntl(unix.F_OFD_SETLK, off, length, kind)
	if errors.Is(err, unix.EACCES) {
		err = vfs.EAGAIN // POSIX allows either
	}
	return err
}

// Test implements vfs.SharedLocks.
func (l *sharedLocks) Test(_ context.Context, off, length int64, kind vfs.LockKind) (vfs.SharedLock, error) {
	got, err := l.fcntl(unix.F_OFD_GETLK, off, length, kind)
	if err != nil {
		return vfs.SharedLock{}, err
	}
	found := vfs.SharedLock{Off: got.Start, Length: got.Len}
	switch got.Type {
	case unix.F_RDLCK:
		found.Kind = vfs.LockedRead
	case unix.F_WRLCK:
		found.Kind = vfs.LockedWrite
	}
	return found, nil
}

// Close implements vfs.SharedLocks.
func (l *sharedLocks) Close() error { return unix.Close(l.fd) }

func (l *sharedLocks) fcntl(cmd int, off, length int64, kind vfs.LockKind) (unix.Flock_t, error) {
	how := unix.Flock_t{
		Type:   [...]int16{vfs.Unlocked: unix.F_UNLCK, vfs.LockedRead: unix.F_RDLCK, vfs.LockedWrite: unix.F_WRLCK}[kind],
		Whence: io.SeekStart, Start: off, Len: length,
	}
	_, err := retry(func() (int, error) { return 0, unix.FcntlFlock(uintptr(l.fd), cmd, &how) })
	if errors.Is(err, unix.EBADF) { // a lock for writing, by a descriptor for reading
		err = unix.ENOLCK
	}
	return how, err
}
