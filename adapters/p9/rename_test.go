package p9fs_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hugelgupf/p9/fsimpl/localfs"

	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
)

// do ends the test at an error.
func do[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestOpenFilesAreToldWhenADirectoryAboveThemMoves(t *testing.T) {
	fs := watchMem(t, p9fs.Options{})
	ctx, root := t.Context(), fs.Root()
	a, _, err := root.Mkdir(ctx, vfs.Root, "a", nil)
	b, _, err2 := do(a, err)(t).Mkdir(ctx, vfs.Root, "b", nil)
	_, f, _, err3 := do(b, err2)(t).Create(ctx, vfs.Root, "file", nil, vfs.OpenRead|vfs.OpenWrite)
	do(f, err3)(t)
	for i, name := range []string{"c", "d"} {
		old := []string{"a", "c"}[i]
		if _, _, err := root.Rename(ctx, vfs.Root, old, root, name, 0); err != nil {
			t.Fatal(err)
		}
		if n := fs.w.renamed.Load(); n != int64(i+1) {
			t.Errorf("Renamed was called %d times after %d renames", n, i+1)
		}
	}
	if _, _, err := f.WriteAt(ctx, []byte("x"), 0, vfs.Unstable); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := fs.Close(); err != nil {
		t.Error(err)
	}
}

func TestAFileThatOthersRenamedIsFoundByItsNewName(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "old"), []byte("kept"), 0o644); err != nil {
		t.Fatal(err)
	}
	fs := open(t, localfs.Attacher(dir), p9fs.Options{SingleUser: true})
	defer fs.Close()
	ctx := t.Context()
	n := do(fs.Root().Lookup(ctx, vfs.Root, "old"))(t)
	if err := os.Rename(filepath.Join(dir, "old"), filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.GetAttr(ctx, vfs.AttrAll); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("by the old name: %v, want ESTALE", err)
	}
	again := do(fs.Root().Lookup(ctx, vfs.Root, "new"))(t)
	if string(again.Handle()) != string(n.Handle()) {
		t.Error("the new name has another handle")
	}
	if a, err := n.GetAttr(ctx, vfs.AttrAll); err != nil || a.Size != 4 {
		t.Errorf("by the new name: size %d, %v", a.Size, err)
	}
}

func TestAFileThatOthersReplacedIsNotTakenForTheOldOne(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"file", "other"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	fs := open(t, localfs.Attacher(dir), p9fs.Options{SingleUser: true})
	defer fs.Close()
	ctx := t.Context()
	n := do(fs.Root().Lookup(ctx, vfs.Root, "file"))(t)
	if err := os.Rename(filepath.Join(dir, "other"), filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Open(ctx, vfs.Root, vfs.OpenRead); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("%v, want ESTALE", err)
	}
}
