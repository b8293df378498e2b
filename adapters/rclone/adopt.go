package rclone

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/rclone/rclone/fs"
	rvfs "github.com/rclone/rclone/vfs"
)

// adopt makes what rclone found in its cache at the start, and has not uploaded,
// the same as what was written now. rclone by itself would upload it without
// telling the directory that has the file: until that is listed again it would
// be taken for one whose object is gone, and what guests then write for the
// whole of it.
func (t *tree) adopt() {
	var names []string
	for _, name := range t.ledger.settled() {
		if t.store.dirty(name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		t.adoptOrTell(name)
	}
	if len(names) > 0 {
		t.ledger.log.Info().Int("files", len(names)).Msg("the cache has files of an earlier start that are not uploaded")
	}
}

func (t *tree) adoptOrTell(name string) {
	if err := t.adoptOne(name); err != nil {
		t.ledger.log.Error().Str("file", "/"+name).Str("data", t.store.dataOf(name)).Str("reason", hide(err)).
			Msg("a file that is not uploaded cannot be shown; its data is kept")
	}
}

func (t *tree) adoptOne(name string) error {
	if link, ok := cutLink(name, t.set.links); ok {
		return t.adoptLink(link)
	}
	h, err := t.vfs.OpenFile(name, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) { // its directory is gone
		fi, err2 := os.Stat(t.store.dataOf(name))
		if err2 != nil {
			return err2
		}
		if err := t.vfs.MkdirAll(parent(name), 0o755); err != nil {
			return err
		}
		if err := t.vfs.AddVirtual(name, fi.Size(), false); err != nil {
			return err
		}
		h, err = t.vfs.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return errors.Join(rewrite(h), h.Close())
}

// rewrite changes a file into what it is.
func rewrite(h rvfs.Handle) error {
	size, err := h.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if size == 0 {
		// To lengthen and cut it would wait in between for an upload to stop, and
		// then cut off what was written meanwhile.
		again, err := h.Node().Open(os.O_RDWR | os.O_TRUNC)
		if err != nil {
			return err
		}
		return again.Close()
	}
	b := make([]byte, 1)
	if _, err := h.ReadAt(b, size-1); err != nil && err != io.EOF {
		return err
	}
	_, err = h.WriteAt(b, size-1)
	return err
}

// adoptLink makes a symbolic link again.
func (t *tree) adoptLink(name string) error {
	target, err := t.vfs.Readlink(name)
	if err != nil {
		return err
	}
	if target == "" {
		return fmt.Errorf("a symbolic link without a target")
	}
	return errors.Join(t.vfs.Remove(name), t.vfs.Symlink(target, name))
}

// uploaded reports whether the remote has a file as fi shows it.
func (t *tree) uploaded(name string, fi os.FileInfo) bool {
	precision := t.remote.Precision()
	if precision == fs.ModTimeNotSupported {
		return false
	}
	o, err := t.remote.NewObject(t.context(), name)
	if err != nil || o.Size() != fi.Size() {
		return false
	}
	return o.ModTime(t.context()).Sub(fi.ModTime()).Abs() <= max(precision, time.Millisecond)
}
