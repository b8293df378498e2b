package image_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// noise is n bytes that do not repeat.
func noise(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path string, content []byte, mode os.FileMode) {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(path), 0o755))
	must(t, os.WriteFile(path, content, 0o600))
	must(t, os.Chmod(path, mode))
}

// blank makes an image of zeroes.
func blank(t testing.TB, size int64) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.img")
	f, err := os.Create(path)
	must(t, err)
	must(t, f.Truncate(size))
	must(t, f.Close())
	return path
}

// sourceTree makes a tree without what only root can make, and says what it is.
func sourceTree(t testing.TB) (string, map[string]vfstest.Entry) {
	t.Helper()
	dir := t.TempDir()
	large := noise(700_000)
	write(t, filepath.Join(dir, "dir/large"), large, 0o644)
	write(t, filepath.Join(dir, "dir/secret"), []byte("secret"), 0o600)
	write(t, filepath.Join(dir, "small"), []byte("small"), 0o755|os.ModeSetuid)
	write(t, filepath.Join(dir, "none"), nil, 0o644)
	sparse := make([]byte, 500_000)
	copy(sparse[300_000:], "in the middle")
	copy(sparse[499_990:], "at the end")
	write(t, filepath.Join(dir, "deep/er/still/sparse"), nil, 0o640)
	f, err := os.OpenFile(filepath.Join(dir, "deep/er/still/sparse"), os.O_RDWR, 0)
	must(t, err)
	_, err = f.WriteAt(sparse[300_000:300_013], 300_000)
	must(t, err)
	_, err = f.WriteAt(sparse[499_990:], 499_990)
	must(t, err)
	must(t, f.Close())
	must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
	must(t, os.Symlink("dir/large", filepath.Join(dir, "link")))
	longTarget := strings.Repeat("long/", 100)
	must(t, os.Symlink(longTarget, filepath.Join(dir, "long link")))
	must(t, os.Link(filepath.Join(dir, "small"), filepath.Join(dir, "dir/again")))
	at := time.Unix(1e9, 0)
	must(t, os.Chtimes(filepath.Join(dir, "small"), at, at))
	want := map[string]vfstest.Entry{
		"dir/large":            {Mode: 0o644, Content: string(large)},
		"dir/secret":           {Mode: 0o600, Content: "secret"},
		"small":                {Mode: 0o4755, Content: "small", Mtime: vfs.TimespecOf(at), Owned: true, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())},
		"dir/again":            {SameAs: "small"},
		"none":                 {Mode: 0o644},
		"deep/er/still/sparse": {Mode: 0o640, Content: string(sparse)},
		"empty":                {Type: vfs.TypeDirectory},
		"link":                 {Type: vfs.TypeSymlink, Target: "dir/large"},
		"long link":            {Type: vfs.TypeSymlink, Target: longTarget},
	}
	for i := range 150 {
		name := fmt.Sprintf("many/a file with a long name and number %d", i)
		write(t, filepath.Join(dir, name), []byte(name), 0o644)
		want[name] = vfstest.Entry{Content: name}
	}
	return dir, want
}

// fuzzImage reads whatever opens. It must return, with errors or without.
func fuzzImage(f *testing.F) {
	img := filepath.Join(f.TempDir(), "image")
	f.Fuzz(func(t *testing.T, data []byte) {
		must(t, os.WriteFile(img, data, 0o600))
		fs, err := tryOpen(img, 0)
		if err != nil {
			return
		}
		defer fs.Close()
		left := 2000
		readAll(t, fs.Root(), &left)
	})
}

// readAll reads a tree, left nodes of it at most.
func readAll(t *testing.T, n vfs.Node, left *int) {
	_, _ = n.ReadDir(t.Context(), vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(d *vfs.DirEntry) bool {
		if *left--; d.Node == nil || *left < 0 {
			return *left > 0
		}
		if x, ok := d.Node.(vfs.Xattrer); ok {
			_, _ = x.ListXattr(t.Context(), vfs.Root)
		}
		switch d.Attr.Type {
		case vfs.TypeDirectory:
			readAll(t, d.Node, left)
		case vfs.TypeSymlink:
			_, _ = d.Node.ReadLink(t.Context(), vfs.Root)
		case vfs.TypeRegular:
			if f, err := d.Node.Open(t.Context(), vfs.Root, vfs.OpenRead); err == nil {
				for _, off := range []int64{0, 1 << 20, 1 << 40, int64(d.Attr.Size) - 1} {
					_, _ = f.ReadAt(t.Context(), make([]byte, 1<<16), off)
				}
				if h, ok := f.(vfs.HoleSeeker); ok {
					_, _ = h.SeekHole(t.Context(), 0)
					_, _ = h.SeekData(t.Context(), 0)
				}
				f.Close()
			}
		}
		return true
	})
}
