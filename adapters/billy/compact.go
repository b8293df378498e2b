package billy

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/fsva/fsva/adapters/billy/index"
)

// Compact drops from the index what nobody needs there, and returns how many
// nodes that were. It looks at the nodes that no guest has named, by path or by
// handle, for Options.Forget. Dropped are those that the file system no longer
// has, and those of which the index knows nothing but the number: they get a new
// one when they are named again, and handles that were kept all that time are
// ESTALE. What is open stays, and so does what has attributes that only the
// index knows, and directories with entries in it.
//
// An FS does it by itself, for the first time an hour after New and then once
// a day.
func (f *FS) Compact(ctx context.Context) (dropped int, err error) {
	if err := f.names.Flush(); err != nil {
		return 0, err
	}
	day := f.today() - uint32(f.opt.Forget/(24*time.Hour))
	var old []uint64
	err = f.names.View(func(tx *index.Tx) (err error) {
		old, err = tx.Old(day)
		return err
	})
	// Numbers grow, so this comes to what is in a directory before it comes
	// to the directory, mostly.
	for i := len(old) - 1; i >= 0 && err == nil && ctx.Err() == nil; i-- {
		var gone bool
		gone, err = f.compact(old[i], day)
		if gone {
			dropped++
		}
	}
	return dropped, errors.Join(err, ctx.Err(), f.names.Commit())
}

// compact drops a node if it can go.
func (f *FS) compact(ino uint64, day uint32) (gone bool, err error) {
	f.tree.Lock()
	defer f.tree.Unlock()
	if b, _ := f.files.find(ino); b != nil {
		return false, nil
	}
	var path string
	needed := false
	err = f.names.View(func(tx *index.Tx) error {
		r, err := tx.Node(ino)
		if err != nil {
			return err
		}
		entries, err := tx.Entries(ino)
		if err != nil {
			return err
		}
		needed = len(entries) > 0 || !r.Bare()
		if r.Seen >= day { // since it was found
			return nil
		}
		path, err = f.path(tx, r)
		return err
	})
	switch {
	case errors.Is(err, index.ErrUnknown): // it, or a directory above it
		return true, f.forget(ino)
	case err != nil || path == "":
		return false, err
	}
	if _, err := f.under.Lstat(path); errors.Is(err, os.ErrNotExist) || err == nil && !needed {
		return true, f.forget(ino)
	}
	return false, nil // also where the file system could not be asked
}

// compactDaily runs until Close.
func (f *FS) compactDaily(ctx context.Context) {
	for next := time.Hour; ; next = 24 * time.Hour {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next):
			_, _ = f.Compact(ctx) // tomorrow is another day
		}
	}
}
