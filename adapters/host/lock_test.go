package host

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// Two appliances over one directory, and a program beside them.
func TestSharedLocksExcludeThoseOfOthers(t *testing.T) {
	dir := t.TempDir()
	var locks [2]vfs.SharedLocks
	for i := range locks {
		fs := serve(t, dir, Options{})
		if i == 0 {
			_, f := create(t, fs.Root(), "file")
			f.Close()
		}
		n, err := fs.Root().Lookup(t.Context(), vfs.Root, "file")
		if err != nil {
			t.Fatal(err)
		}
		if locks[i], err = n.(vfs.LockSharer).ShareLocks(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	set := func(i int, off, length int64, kind vfs.LockKind, want error) {
		t.Helper()
		if err := locks[i].Set(t.Context(), off, length, kind); !errors.Is(err, want) {
			t.Errorf("appliance %d, %d+%d, kind %d: %v, want %v", i, off, length, kind, err, want)
		}
	}
	set(0, 10, 10, vfs.LockedWrite, nil)
	set(1, 0, 11, vfs.LockedRead, vfs.EAGAIN)
	set(1, 20, 0, vfs.LockedRead, nil)
	set(0, 20, 5, vfs.LockedRead, nil)
	set(0, 20, 5, vfs.LockedWrite, vfs.EAGAIN)
	got, err := locks[0].Test(t.Context(), 15, 100, vfs.LockedWrite)
	if want := (vfs.SharedLock{Off: 20, Kind: vfs.LockedRead}); err != nil || got != want {
		t.Errorf("in the way is %+v, %v", got, err)
	}
	if got, err := locks[0].Test(t.Context(), 15, 100, vfs.LockedRead); err != nil || got.Kind != vfs.Unlocked {
		t.Errorf("in the way of reading is %+v, %v", got, err)
	}

	// A program opens and closes the file, and locks it.
	fd, err := unix.Open(dir+"/file", unix.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if fd, err = unix.Open(dir+"/file", unix.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	lock := unix.Flock_t{Type: unix.F_WRLCK, Start: 12, Len: 1}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("a program gets what the appliance has locked: %v", err)
	}
	set(0, 12, 1, vfs.Unlocked, nil)
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock); err != nil {
		t.Errorf("a program: %v", err)
	}
	set(0, 0, 0, vfs.LockedRead, vfs.EAGAIN)

	for _, l := range locks {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	lock = unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(uintptr(fd), unix.F_SETLK, &lock); err != nil {
		t.Errorf("after the end: %v", err)
	}
}
