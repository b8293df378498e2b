package iofs

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

var large = strings.Repeat("0123456789abcde", 100_000)

// files are a tree of testing/fstest, whose files have io.ReaderAt.
func files() fstest.MapFS {
	at := time.Unix(1e9, 5)
	return fstest.MapFS{
		"dir":        {Mode: fs.ModeDir | 0o750, ModTime: at},
		"dir/large":  {Data: []byte(large), Mode: 0o644, ModTime: at},
		"dir/secret": {Data: []byte("secret"), Mode: 0o600},
		"empty":      {Mode: fs.ModeDir | 0o755},
		"small":      {Data: []byte("small"), Mode: 0o755 | fs.ModeSetuid},
		"none":       {Mode: 0o644},
		"link":       {Data: []byte("dir/large"), Mode: fs.ModeSymlink | 0o777},
		"on/the/way": {Data: []byte("x"), Mode: 0o644},
		"pipe":       {Mode: fs.ModeNamedPipe | 0o600},
	}
}

func want() map[string]vfstest.Entry {
	at := vfs.Timespec{Sec: 1e9, Nsec: 5}
	return map[string]vfstest.Entry{
		"dir":        {Type: vfs.TypeDirectory, Mode: 0o750, Mtime: at},
		"dir/large":  {Mode: 0o644, Content: large, Mtime: at, Owned: true, UID: 7, GID: 8},
		"dir/secret": {Mode: 0o600, Content: "secret"},
		"empty":      {Type: vfs.TypeDirectory},
		"small":      {Mode: 0o4755, Content: "small"},
		"none":       {},
		"link":       {Type: vfs.TypeSymlink, Target: "dir/large"},
		"on/the/way": {Content: "x"},
		"pipe":       {Type: vfs.TypeFIFO},
	}
}

// reading are the files of another file system with nothing but Read, or with
// Seek too.
type reading struct {
	fstest.MapFS
	seek bool
}

func (r reading) Open(name string) (fs.File, error) {
	f, err := r.MapFS.Open(name)
	if _, dir := f.(fs.ReadDirFile); err != nil || dir {
		return f, err
	}
	if r.seek {
		return struct {
			fs.File
			io.Seeker
		}{f, f.(io.Seeker)}, nil
	}
	return struct{ fs.File }{f}, nil
}

func mustNew(t testing.TB, fsys fs.FS) vfs.FS {
	t.Helper()
	f, err := New(t.Context(), fsys, Options{Log: zerolog.Nop(), UID: 7, GID: 8})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAnyFSKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	for name, fsys := range map[string]fs.FS{
		"ReaderAt": files(), "Seeker": reading{files(), true}, "Reader": reading{files(), false},
	} {
		t.Run(name, func(t *testing.T) {
			vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return mustNew(t, fsys) }, Want: want()}.Run(t)
		})
	}
}

func TestADirectoryKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	dir := t.TempDir()
	err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "dir/deeper"), 0o755),
		os.WriteFile(filepath.Join(dir, "dir/large"), []byte(large), 0o644),
		os.WriteFile(filepath.Join(dir, "none"), nil, 0o600),
		os.Symlink("../none", filepath.Join(dir, "dir/link")),
		unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600),
	)
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	vfstest.ReadOnly{
		Open: func(t testing.TB) vfs.FS { return mustNew(t, root.FS()) },
		Want: map[string]vfstest.Entry{
			"dir/deeper": {Type: vfs.TypeDirectory},
			"dir/large":  {Content: large, Owned: true, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
			"none":       {Mode: 0o600},
			"dir/link":   {Type: vfs.TypeSymlink, Target: "../none"},
			"pipe":       {Type: vfs.TypeFIFO},
		},
	}.Run(t)
}

func TestAnArchiveOfTheStandardLibraryIsServed(t *testing.T) {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	part, err := w.Create("dir/file")
	if err == nil {
		_, err = io.WriteString(part, large)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	f := mustNew(t, r)
	defer f.Close()
	file := open(t, f, "dir/file")
	defer file.Close()
	for _, off := range []int{1_000_000, 5, 1_400_000, 1_399_000} { // backwards too
		p := make([]byte, 1000)
		if n, err := file.ReadAt(t.Context(), p, int64(off)); err != nil || string(p[:n]) != large[off:off+n] {
			t.Errorf("%d bytes at %d are others, %v", n, off, err)
		}
	}
}

func open(t testing.TB, f vfs.FS, path string) vfs.File {
	t.Helper()
	n := f.Root()
	for name := range strings.SplitSeq(path, "/") {
		var err error
		if n, err = n.Lookup(t.Context(), vfs.Root, name); err != nil {
			t.Fatal(err)
		}
	}
	file, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func TestHandlesOfAnotherTreeAreStale(t *testing.T) {
	tree := files()
	f := mustNew(t, tree)
	n, err := f.Root().Lookup(t.Context(), vfs.Root, "small")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mustNew(t, files()).Resolve(t.Context(), n.Handle()); err != nil {
		t.Errorf("of the same tree: %v", err)
	}
	tree["dir/new"] = &fstest.MapFile{}
	if _, err := mustNew(t, tree).Resolve(t.Context(), n.Handle()); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("of another: %v", err)
	}
}

// What has become of a file since it was listed is an error to who reads it.
func TestFilesThatChangeFailToBeRead(t *testing.T) {
	for name, how := range map[string]func(fstest.MapFS) fs.FS{
		"ReaderAt": func(m fstest.MapFS) fs.FS { return m },
		"Seeker":   func(m fstest.MapFS) fs.FS { return reading{m, true} },
		"Reader":   func(m fstest.MapFS) fs.FS { return reading{m, false} },
	} {
		tree := files()
		f := mustNew(t, how(tree))
		tree["small"].Data = []byte("s")
		file := open(t, f, "small")
		for _, off := range []int64{0, 3} {
			if n, err := file.ReadAt(t.Context(), make([]byte, 9), off); vfs.ErrnoOf(err) != vfs.EIO {
				t.Errorf("%s: %d bytes at %d, %v", name, n, off, err)
			}
		}
		file.Close()
		n, err := f.Root().Lookup(t.Context(), vfs.Root, "none")
		if err != nil {
			t.Fatal(err)
		}
		delete(tree, "none")
		if _, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead); vfs.ErrnoOf(err) != vfs.ESTALE {
			t.Errorf("%s: what is gone: %v", name, err)
		}
	}
}

// failing has a directory that cannot be listed.
type failing struct{ fstest.MapFS }

func (f failing) ReadDir(name string) ([]fs.DirEntry, error) {
	if name == "dir" {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
	}
	return f.MapFS.ReadDir(name)
}

func TestATreeThatCannotBeListedIsRefusedBySayingWhere(t *testing.T) {
	if _, err := New(t.Context(), failing{files()}, Options{}); err == nil || !strings.Contains(err.Error(), `"dir"`) {
		t.Errorf("got %v", err)
	}
	if _, err := New(t.Context(), os.DirFS(filepath.Join(t.TempDir(), "missing")), Options{}); err == nil || !strings.Contains(err.Error(), "root") {
		t.Errorf("no root: %v", err)
	}
	if _, err := New(t.Context(), files(), Options{MaxNodes: 5}); vfs.ErrnoOf(err) != vfs.EFBIG {
		t.Errorf("more than 5 nodes: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := New(ctx, files(), Options{}); vfs.ErrnoOf(err) != vfs.EAGAIN {
		t.Errorf("a call that has ended: %v", err)
	}
}

// A link whose target nobody can tell is left out, and the rest is served.
func TestLinksThatCannotBeReadAreLeftOut(t *testing.T) {
	var log bytes.Buffer
	f, err := New(t.Context(), struct{ fs.FS }{files()}, Options{Log: zerolog.New(&log)})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Root().Lookup(t.Context(), vfs.Root, "link"); vfs.ErrnoOf(err) != vfs.ENOENT {
		t.Errorf("the link: %v", err)
	}
	open(t, f, "small").Close()
	if !strings.Contains(log.String(), `"left_out":1,`) {
		t.Errorf("the log is %q", log.String())
	}
}

// What a program carries with it is a file system for guests after one call.
func ExampleNew() {
	docs := fstest.MapFS{"motd": {Data: []byte("Welcome aboard."), Mode: 0o444}} // or an embed.FS
	f, err := New(context.Background(), docs, Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer f.Close()
	f.Root().ReadDir(context.Background(), vfs.Root, 0, vfs.AttrSize, func(e *vfs.DirEntry) bool {
		fmt.Println(e.Name, e.Attr.Size)
		return true
	})
	// Output: motd 15
}
