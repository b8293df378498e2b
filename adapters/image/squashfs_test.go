package image_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

func mksquashfs(t testing.TB, dir string, options ...string) string {
	t.Helper()
	img := filepath.Join(t.TempDir(), "image.squashfs")
	run(t, "mksquashfs", append([]string{dir, img, "-noappend", "-quiet", "-no-progress", "-processors", "1"}, options...)...)
	return img
}

func TestSquashFSKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	for _, options := range []string{"-comp gzip", "-comp zstd -b 4096"} {
		t.Run(options, func(t *testing.T) {
			dir, want := sourceTree(t)
			img := mksquashfs(t, dir, strings.Fields(options)...)
			vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return openOnly(t, img) }, Want: want}.Run(t)
		})
	}
}

func TestSquashFSIsWhatTheKernelShows(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("making all kinds of files needs root")
	}
	dir := t.TempDir()
	populate(t, dir)
	for _, options := range []string{"-comp gzip", "-comp zstd -b 1M", "-noI -noD -noF -noX", "-no-fragments -b 4096", "-always-use-fragments", "-no-exports -no-duplicates"} {
		t.Run(options, func(t *testing.T) {
			img := mksquashfs(t, dir, strings.Fields(options)...)
			mnt := mount(t, img, "squashfs", "ro")
			defer unmount(t, mnt)
			sameAs{t, mnt, false}.compare(open(t, img, 0))
		})
	}
}

func TestSquashFSKeepsAttributesThatSeveralFilesShare(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"one", "two"} {
		write(t, filepath.Join(dir, name), nil, 0o644)
		if err := unix.Setxattr(filepath.Join(dir, name), "user.shared", noise(2000), 0); err != nil {
			t.Skipf("no extended attributes here: %v", err)
		}
		must(t, unix.Setxattr(filepath.Join(dir, name), "user.own", []byte(name), 0))
	}
	f := open(t, mksquashfs(t, dir), 0)
	for _, name := range []string{"one", "two"} {
		n, err := f.Root().Lookup(t.Context(), vfs.Root, name)
		must(t, err)
		for attribute, want := range map[string]string{"user.shared": string(noise(2000)), "user.own": name} {
			if got, err := n.(vfs.Xattrer).GetXattr(t.Context(), vfs.Root, attribute); err != nil || string(got) != want {
				t.Errorf("%s: %s is %.20q, %v", name, attribute, got, err)
			}
		}
	}
}

func TestSquashFSThatCannotBeServedSaysWhy(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), noise(100_000), 0o644)
	if _, err := tryOpen(mksquashfs(t, dir, "-comp", "xz"), 0); err == nil || !strings.Contains(err.Error(), "packed by xz") {
		t.Errorf("xz: %v", err)
	}
	img := mksquashfs(t, dir)
	must(t, os.Truncate(img, 50_000))
	if _, err := tryOpen(img, 0); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("half of it: %v", err)
	}
}

func FuzzSquashFS(f *testing.F) {
	dir := f.TempDir()
	write(f, filepath.Join(dir, "dir/file"), noise(5000), 0o644)
	write(f, filepath.Join(dir, "few"), []byte("few"), 0o644)
	must(f, os.Symlink("few", filepath.Join(dir, "link")))
	for _, options := range []string{"-comp gzip -b 4096", "-noI -noD -noF -b 4096"} {
		data, err := os.ReadFile(mksquashfs(f, dir, strings.Fields(options)...))
		must(f, err)
		f.Add(data)
	}
	fuzzImage(f)
}
