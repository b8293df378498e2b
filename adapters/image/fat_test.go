package image_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// mkfat makes a file system of what is in a directory.
func mkfat(t testing.TB, dir string, size int64, options string) string {
	t.Helper()
	img := blank(t, size)
	run(t, "mkfs.vfat", append(strings.Fields(options), img)...)
	list, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	t.Setenv("MTOOLS_SKIP_CHECK", "1")
	t.Setenv("LC_ALL", "C.UTF-8")
	run(t, "mcopy", append(append([]string{"-s", "-i", img}, list...), "::")...)
	return img
}

func TestFATKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	for _, kind := range []struct {
		options string
		size    int64
	}{
		{"-F 12", 4 << 20},
		{"-F 16 -s 4", 32 << 20},
		{"-F 32 -s 1 -n LABEL", 64 << 20},
	} {
		t.Run(kind.options, func(t *testing.T) {
			dir := t.TempDir()
			want := map[string]vfstest.Entry{}
			file := func(name string, content []byte) {
				write(t, filepath.Join(dir, name), content, 0o644)
				want[name] = vfstest.Entry{Content: string(content), Mode: 0o755}
			}
			file("SHORT.TXT", []byte("short"))
			file("lower.txt", []byte("lower"))
			file("Grüße aus dem Norden.text", []byte("ü"))
			file("none", nil)
			file("Directory/deep/er/large file", noise(700_000))
			for i := range 300 {
				file(fmt.Sprintf("many/a file with a long name and number %d", i), []byte("x"))
			}
			file("many/"+strings.Repeat("long", 50), []byte("long"))
			must(t, os.Mkdir(filepath.Join(dir, "empty"), 0o755))
			want["empty"] = vfstest.Entry{Type: vfs.TypeDirectory, Mode: 0o755}
			img := mkfat(t, dir, kind.size, kind.options)
			vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return openOnly(t, img) }, Want: want}.Run(t)
		})
	}
}

// withTable changes where cluster 2 of an image of FAT12 leads.
func withTable(t *testing.T, dir string, next ...byte) string {
	t.Helper()
	img := mkfat(t, dir, 1<<20, "-F 12 -s 1")
	data, err := os.ReadFile(img)
	must(t, err)
	copy(data[512+3:], next)
	must(t, os.WriteFile(img, data, 0o600))
	return img
}

func TestFATThatIsDamagedSaysSo(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), noise(10_000), 0o644)
	img := withTable(t, dir, 0xFF, 0xFF) // the first cluster is the last
	n, err := open(t, img, 0).Root().Lookup(t.Context(), vfs.Root, "file")
	must(t, err)
	if _, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("a file that ends before its end: %v", err)
	}
	must(t, os.Truncate(img, 500_000))
	if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("half of it: %v", err)
	}
	dir = t.TempDir()
	for i := range 100 { // more than the first cluster has room for
		write(t, filepath.Join(dir, fmt.Sprintf("directory/%d", i)), nil, 0o644)
	}
	if _, err := tryOpen(withTable(t, dir, 2, 0), 0); err == nil || !strings.Contains(err.Error(), "a chain leads") && !strings.Contains(err.Error(), "several directories") {
		t.Errorf("a directory that leads to its own start: %v", err)
	}
}

func FuzzFAT(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "dir/file with a long name"), noise(3000), 0o644)
	write(f, filepath.Join(dir, "FEW"), []byte("few"), 0o644)
	img := blank(f, 64<<10)
	run(f, "mkfs.vfat", "-F", "12", "-s", "1", img)
	run(f, "mcopy", "-s", "-i", img, filepath.Join(dir, "dir"), filepath.Join(dir, "FEW"), "::")
	data, err := os.ReadFile(img)
	must(f, err)
	f.Add(data)
	fuzzImage(f)
}
