package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterr "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// fileName is the file in the state directory.
const fileName = "state.db"

// lockWait is how long Open waits for another process that is just going down.
const lockWait = time.Second

// openFile opens the database, and does not look into it yet.
func openFile(dir string) (*Store, error) {
	s := &Store{path: "in memory"}
	options := &bolt.Options{Timeout: lockWait, NoStatistics: true}
	if dir == "" {
		options.NoSync, options.NoGrowSync = true, true
		options.OpenFile = openMemory
	} else {
		s.path = filepath.Join(dir, fileName)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, fmt.Errorf("state directory %s cannot be made: %w; name another one with --state", dir, err)
		}
		options.OpenFile = openPrivate
	}

	// bbolt panics on some damaged files with the file still open and
	// locked, so it is held here too.
	var file *os.File
	open := options.OpenFile
	options.OpenFile = func(path string, flag int, mode os.FileMode) (f *os.File, err error) {
		file, err = open(path, flag, mode)
		return file, err
	}
	err := guard(func() (err error) {
		s.db, err = bolt.Open(s.path, 0o600, options)
		return err
	})
	if err != nil {
		if file != nil {
			file.Close()
		}
		return nil, s.explain(err)
	}
	if dir == "" {
		return s, nil
	}
	if err := syncDirs(dir, filepath.Dir(filepath.Clean(dir))); err != nil {
		s.db.Close()
		return nil, fmt.Errorf("state directory %s cannot be made durable: %w", dir, err)
	}
	return s, nil
}

// openPrivate opens the file for this user alone: it holds keys.
func openPrivate(path string, flag int, mode os.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag, mode)
	if err != nil {
		return nil, err
	}
	if err := f.Chmod(mode); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openMemory opens a file that exists as long as it is open: memfd_create(2).
func openMemory(name string, _ int, _ os.FileMode) (*os.File, error) {
	fd, err := unix.MemfdCreate("fsva-state", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// syncDirs makes new names in the directories durable.
func syncDirs(dirs ...string) error {
	for _, dir := range dirs {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = d.Sync()
		d.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// readable fails if not all of the database can be read, or if it is of a
// newer format. bbolt has no checksums but on its two meta pages; walking the
// tree finds a file that was cut, or overwritten in part.
func readable(tx *bolt.Tx) error {
	if meta := tx.Bucket(bucketMeta); meta != nil {
		if v := getUint64(meta, keyFormat); v > format {
			return newerFormat(v)
		}
	}
	return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b) })
}

func walk(b *bolt.Bucket) error {
	return b.ForEach(func(k, v []byte) error {
		if v == nil {
			return walk(b.Bucket(k))
		}
		return nil
	})
}

// guard runs f, which reads the database, and turns what a damaged file makes
// bbolt do into an error: it trusts offsets in pages, so that it panics, or
// touches a part of the mapping that has no file behind it (SIGBUS).
func guard(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = damage{fmt.Errorf("%v", p)}
		}
	}()
	return f()
}

// damage is an error that moving the file away would cure.
type damage struct{ error }

// newerFormat is the error for a file that a later version wrote.
type newerFormat uint64

func (v newerFormat) Error() string {
	return fmt.Sprintf("it has format %d, and this version of the appliance reads up to %d", uint64(v), format)
}

// explain makes an error of bbolt into a sentence for the operator.
func (s *Store) explain(err error) error {
	var (
		newer newerFormat
		path  *fs.PathError
		call  *os.SyscallError
		errno unix.Errno
		dmg   damage
	)
	switch {
	case errors.Is(err, bolterr.ErrTimeout):
		return fmt.Errorf("state directory %s is in use by another appliance; give each its own", filepath.Dir(s.path))
	case errors.As(err, &newer):
		return fmt.Errorf("state file %s was written by a newer appliance: %w; use that version, or another state directory", s.path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("state file %s cannot be used: %w; let user %d read and write it and its directory, or name another with --state",
			s.path, err, os.Geteuid())
	case errors.As(err, &path), errors.As(err, &call), errors.As(err, &errno):
		return fmt.Errorf("state file %s cannot be used: %w", s.path, err)
	case errors.As(err, &dmg), errors.Is(err, bolterr.ErrInvalid), errors.Is(err, bolterr.ErrChecksum), errors.Is(err, bolterr.ErrVersionMismatch):
		return fmt.Errorf("state file %s is damaged: %w; "+startAnew, s.path, err)
	}
	return fmt.Errorf("state file %s cannot be read: %w; "+startAnew, s.path, err)
}

const startAnew = "move it away to start without memory of clients, keys and export numbers"
