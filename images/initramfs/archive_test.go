package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// tree makes the files of an initramfs, at different times and by different
// umasks.
func tree(t *testing.T, mode os.FileMode, at time.Time) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"bin/a": "program", "etc/b": "", "init.d/c": "odd"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700|mode); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600|mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("bin/a", filepath.Join(dir, "init")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func packed(t *testing.T, dir string) string {
	t.Helper()
	var b bytes.Buffer
	if err := pack(newArchive(&b, 0x12345678), dir); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSameFilesGiveTheSameBytes(t *testing.T) {
	a := packed(t, tree(t, 0o011, time.Unix(1, 0)))
	b := packed(t, tree(t, 0o111, time.Now()))
	if a != b {
		t.Errorf("%q\n%q", a, b)
	}
}

// The bytes, by the kernel's description of the format.
func TestArchiveIsWhatTheKernelReads(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("12345"), 0o755); err != nil {
		t.Fatal(err)
	}
	header := func(inode, mode, links, size, major, minor, name string) string {
		return "070701" + inode + mode + "0000000000000000" + links + "12345678" + size + "0000000000000000" + major + minor + name + "00000000"
	}
	const zero = "00000000"
	want := header("00000001", "000041ed", "00000002", zero, zero, zero, "00000004") + "dev\x00\x00\x00" +
		header("00000002", "00002180", "00000001", zero, "00000005", "00000001", "0000000c") + "dev/console\x00\x00\x00" +
		header("00000003", "000081ed", "00000001", "00000005", zero, zero, "00000005") + "file\x00\x00" + "12345\x00\x00\x00" +
		header("00000004", zero, "00000001", zero, zero, zero, "0000000b") + "TRAILER!!!\x00\x00\x00\x00"
	if got := packed(t, dir); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestSocketsAndDevicesAreRefused(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/null", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	packed(t, dir) // the link, not what it leads to
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := pack(newArchive(&bytes.Buffer{}, 0), dir); err == nil {
		t.Error("a pipe was packed")
	}
}
