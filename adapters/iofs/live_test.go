package iofs

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/fstest"
	"time"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// live serves an fs.FS as it is at each moment.
func live(t testing.TB, fsys fs.FS, state string) vfs.FS {
	t.Helper()
	f, err := billy.New(NewBilly(fsys), billy.Options{State: state, Owner: billy.Owner{UID: 7, GID: 8}})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// dated are files and directories that all have a time.
func dated() fstest.MapFS {
	tree := files()
	for _, dir := range []string{".", "on", "on/the"} {
		tree[dir] = &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	}
	for _, f := range tree {
		f.ModTime = time.Unix(1e9, 5)
	}
	return tree
}

func TestALiveFSKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"ReaderAt": dated(), "Seeker": reading{dated(), true}, "Reader": reading{dated(), false},
	} {
		t.Run(name, func(t *testing.T) {
			state := t.TempDir()
			vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return live(t, fsys, state) }, Want: want()}.Run(t)
		})
	}
}

func put(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func lookup(t testing.TB, f vfs.FS, name string) vfs.Node {
	t.Helper()
	n, err := f.Root().Lookup(t.Context(), vfs.Root, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func holds(t testing.TB, f vfs.File, want string) {
	t.Helper()
	p := make([]byte, len(want)+1)
	if n, err := f.ReadAt(t.Context(), p, 0); err != nil || string(p[:n]) != want {
		t.Errorf("read is %q, %v; want %q", p[:n], err, want)
	}
}

func names(t testing.TB, f vfs.FS) []string {
	t.Helper()
	var all []string
	if _, err := f.Root().ReadDir(t.Context(), vfs.Root, 0, 0, func(d *vfs.DirEntry) bool { all = append(all, d.Name); return true }); err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// What others do to a directory is what guests see of it, and a file that stays at
// its path stays the same file.
func TestChangesOfALiveFSAreSeen(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	put(t, filepath.Join(dir, "file"), "first")
	put(t, filepath.Join(dir, "gone"), "read on")
	f := live(t, root.FS(), state)
	n, gone := lookup(t, f, "file"), lookup(t, f, "gone")
	opened, left := open(t, f, "file"), open(t, f, "gone")
	holds(t, opened, "first")
	holds(t, left, "read on")
	before, _ := n.GetAttr(t.Context(), vfs.AttrAll)
	rootBefore, _ := f.Root().GetAttr(t.Context(), vfs.AttrAll)

	put(t, filepath.Join(dir, "file"), "the second one")
	put(t, filepath.Join(dir, "new"), "new")
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	holds(t, opened, "the second one")
	holds(t, left, "read on")
	after, err := n.GetAttr(t.Context(), vfs.AttrAll)
	if err != nil || after.Size != 14 || after.Change == before.Change || after.FileID != before.FileID {
		t.Errorf("the file was %+v and is %+v, %v", before, after, err)
	}
	if a, _ := f.Root().GetAttr(t.Context(), vfs.AttrAll); a.Change == rootBefore.Change {
		t.Error("a directory with a new name seems to be as it was")
	}
	if got := names(t, f); !slices.Equal(got, []string{"file", "new"}) {
		t.Errorf("listed are %q", got)
	}
	if _, err := gone.GetAttr(t.Context(), vfs.AttrAll); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("what is gone: %v", err)
	}
	for _, file := range []vfs.File{opened, left} {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}

	f = live(t, root.FS(), state)
	defer f.Close()
	again, err := f.Resolve(t.Context(), n.Handle())
	if err != nil {
		t.Fatalf("after a restart, in another tree: %v", err)
	}
	if a, err := again.GetAttr(t.Context(), vfs.AttrAll); err != nil || a.Size != 14 {
		t.Errorf("after a restart: %+v, %v", a, err)
	}
}

func TestWhatHasNoTimeSeemsToChange(t *testing.T) {
	at := time.Unix(1e9, 0)
	under := &filesystem{fstest.MapFS{"none": {}, "dated": {ModTime: at}}, func() time.Time { return at }}
	f, err := billy.New(under, billy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	changes := func() (all []uint64) {
		for _, n := range []vfs.Node{f.Root(), lookup(t, f, "none"), lookup(t, f, "dated")} {
			a, err := n.GetAttr(t.Context(), vfs.AttrAll)
			if err != nil || a.Mtime.Sec < 0 {
				t.Errorf("%+v, %v", a, err)
			}
			all = append(all, a.Change)
		}
		return all
	}
	first, same := changes(), changes()
	at = at.Add(time.Second)
	last := changes()
	for i, what := range []string{"the root", "a file without a time", "a file with one"} {
		if first[i] != same[i] || (last[i] != same[i]) != (i < 2) {
			t.Errorf("the change attributes of %s are %d, %d and a second later %d", what, first[i], same[i], last[i])
		}
	}
}

func TestWhatCannotBeShownIsNotThere(t *testing.T) {
	tree := dated()
	tree["device"] = &fstest.MapFile{Mode: fs.ModeDevice | 0o600, ModTime: time.Unix(1, 0)}
	tree["odd"] = &fstest.MapFile{Mode: fs.ModeIrregular | 0o600, ModTime: time.Unix(1, 0)}
	f := live(t, struct{ fs.FS }{tree}, "") // without ReadLink
	defer f.Close()
	if got := names(t, f); !slices.Equal(got, []string{"dir", "empty", "none", "on", "pipe", "small"}) {
		t.Errorf("listed are %q", got)
	}
	for _, name := range []string{"device", "odd"} {
		if _, err := f.Root().Lookup(t.Context(), vfs.Root, name); vfs.ErrnoOf(err) != vfs.ENOENT {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A directory that others write to is served as it is at each moment.
func ExampleNewBilly() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	root, err := os.OpenRoot(dir)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer root.Close()
	f, err := billy.New(NewBilly(root.FS()), billy.Options{}) // with State handles outlive the process
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	os.WriteFile(dir+"/later", []byte("seen"), 0o644)
	f.Root().ReadDir(context.Background(), vfs.Root, 0, vfs.AttrSize, func(e *vfs.DirEntry) bool {
		fmt.Println(e.Name, e.Attr.Size)
		return true
	})
	// Output: later 4
}
