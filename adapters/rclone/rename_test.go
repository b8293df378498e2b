package rclone_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func rename(t *testing.T, from vfs.Node, name string, to vfs.Node, newName string) {
	t.Helper()
	_, _, err := from.Rename(ctx, vfs.Root, name, to, newName, 0)
	check(t, err)
}

// below makes a file of the remote that the appliance has not seen yet.
func below(t *testing.T, remote, name, content string) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(filepath.Join(remote, name)), 0o755))
	check(t, os.WriteFile(filepath.Join(remote, name), []byte(content), 0o644))
}

// A directory is renamed with a file deep in it that waits for its upload. rclone
// keeps the directories on the way to that for it, and the old names of what is in
// them besides.
func TestFilesBesideOnesThatWaitAreReadUnderTheirNewNames(t *testing.T) {
	t.Parallel()
	remote := t.TempDir()
	below(t, remote, "old/mid/clean", "clean")
	below(t, remote, "old/mid/deep/other", "other")
	fs := newPlace(t, "rclone::local:"+remote+"?writeback=1h").started(t)
	mid := lookup(t, lookup(t, fs.Root(), "old"), "mid")
	clean, deep := lookup(t, mid, "clean"), lookup(t, mid, "deep")
	waits := file(t, deep, "waits", "waits")
	rename(t, fs.Root(), "old", fs.Root(), "new")
	for want, n := range map[string]vfs.Node{"clean": clean, "other": lookup(t, deep, "other"), "waits": waits} {
		if got := content(t, n); got != want {
			t.Errorf("%s holds %q", want, got)
		}
	}
}

// rclone counts the files that wait for each directory and all above it, and has
// the counts stay where they were when a directory moves: then there seem to be
// none, and it forgets them with the next rename.
func TestFilesThatWaitAreFoundAfterManyRenames(t *testing.T) {
	t.Parallel()
	remote := t.TempDir()
	fs := newPlace(t, "rclone::local:"+remote+"?writeback=1s").started(t)
	root := fs.Root()
	outer, inner := mkdir(t, root, "outer"), mkdir(t, root, "inner")
	file(t, inner, "first", "first")
	rename(t, root, "inner", outer, "inner")
	eventually(t, "the first file is uploaded", func() bool {
		_, err := os.Stat(filepath.Join(remote, "outer/inner/first"))
		return err == nil
	})
	rename(t, root, "outer", root, "outer.0")
	for i := range 2 {
		name := fmt.Sprint("outer.", i+1)
		waits := file(t, inner, name, name)
		rename(t, root, fmt.Sprint("outer.", i), root, name)
		if got := content(t, waits); got != name {
			t.Errorf("in %s the file holds %q", name, got)
		}
		if got := content(t, lookup(t, lookup(t, outer, "inner"), name)); got != name {
			t.Errorf("looked up in %s, it holds %q", name, got)
		}
	}
}
