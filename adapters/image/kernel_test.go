package image_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/adapters/image"
	"github.com/fsva/fsva/vfs"
)

// run runs a program. The test is skipped if there is none.
func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	for _, dir := range []string{"", "/usr/sbin/", "/sbin/"} {
		if _, err := exec.LookPath(dir + name); err != nil {
			continue
		}
		out, err := exec.Command(dir+name, args...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// mount has the kernel mount an image. The test is skipped where it cannot.
func mount(t testing.TB, img, kind, options string) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	if known, err := os.ReadFile("/proc/filesystems"); err != nil || !bytes.Contains(known, []byte("\t"+kind+"\n")) {
		t.Skipf("this kernel has no %s", kind)
	}
	dir := t.TempDir()
	out, err := exec.Command("mount", "-t", kind, "-o", "loop,"+options, img, dir).CombinedOutput()
	if err != nil {
		t.Skipf("cannot mount: %s", out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", dir).Run() }) // again, if the test failed
	return dir
}

func unmount(t testing.TB, dir string) { t.Helper(); run(t, "umount", dir) }

func open(t testing.TB, path string, part int) vfs.FS {
	t.Helper()
	f, err := image.Open(path, image.Options{Partition: part, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// sameAs compares all of a file system with what a kernel shows of it.
type sameAs struct {
	testing.TB
	dir string
	// numbers says that inode numbers are those of the kernel, and so are space,
	// times of access and creation, and holes.
	numbers bool
}

func (s sameAs) compare(f vfs.FS) {
	s.Helper()
	seen := 0
	s.node(f.Root(), ".", &seen)
	want := 0
	err := filepath.WalkDir(s.dir, func(string, fs.DirEntry, error) error { want++; return nil })
	if err != nil || seen != want {
		s.Errorf("%d files and directories, the kernel has %d: %v", seen, want, err)
	}
}

func (s sameAs) node(n vfs.Node, path string, seen *int) {
	*seen++
	at := filepath.Join(s.dir, path)
	s.attributes(n, path)
	s.xattrs(n, path)
	a, err := n.GetAttr(s.Context(), vfs.AttrAll)
	if err != nil {
		s.Fatalf("%s: %v", path, err)
	}
	switch a.Type {
	case vfs.TypeSymlink:
		got, err := n.ReadLink(s.Context(), vfs.Root)
		if want, _ := os.Readlink(at); err != nil || got != want {
			s.Errorf("%s leads to %q, %v; want %q", path, got, err, want)
		}
	case vfs.TypeRegular:
		s.content(n, path)
	case vfs.TypeDirectory:
		s.directory(n, path, seen)
	}
}

func (s sameAs) attributes(n vfs.Node, path string) {
	a, err := n.GetAttr(s.Context(), vfs.AttrAll)
	if err != nil {
		s.Fatalf("%s: %v", path, err)
	}
	var x unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, filepath.Join(s.dir, path), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_ALL, &x); err != nil {
		s.Fatal(err)
	}
	mode := uint32(x.Mode) & 0o7777
	if restricted(filepath.Join(s.dir, path)) {
		mode &= 0o7700
		a.Mode &= 0o7700
	}
	at := func(t unix.StatxTimestamp) vfs.Timespec { return vfs.Timespec{Sec: t.Sec, Nsec: t.Nsec} }
	got := fmt.Sprintf("mode %o nlink %d owner %d:%d mtime %v rdev %v", a.Mode, a.Nlink, a.UID, a.GID, a.Mtime, a.Rdev)
	want := fmt.Sprintf("mode %o nlink %d owner %d:%d mtime %v rdev %v", mode, x.Nlink, x.Uid, x.Gid, at(x.Mtime), vfs.Rdev{Major: x.Rdev_major, Minor: x.Rdev_minor})
	if a.Type != vfs.TypeDirectory {
		got += fmt.Sprintf(" size %d", a.Size)
		want += fmt.Sprintf(" size %d", x.Size)
	}
	if s.numbers {
		got += fmt.Sprintf(" inode %d used %d atime %v ctime %v", a.FileID, a.Used, a.Atime, a.Ctime)
		want += fmt.Sprintf(" inode %d used %d atime %v ctime %v", x.Ino, x.Blocks*512, at(x.Atime), at(x.Ctime))
		if x.Mask&unix.STATX_BTIME != 0 {
			got += fmt.Sprintf(" btime %v", a.Btime)
			want += fmt.Sprintf(" btime %v", at(x.Btime))
		}
	}
	if got != want {
		s.Errorf("%s:\n has %s\nwant %s", path, got, want)
	}
}

// restricted reports whether a file has an access list.
func restricted(path string) bool {
	n, err := unix.Lgetxattr(path, "system.posix_acl_access", nil)
	return err == nil && n > 0
}

func (s sameAs) xattrs(n vfs.Node, path string) {
	at := filepath.Join(s.dir, path)
	buf := make([]byte, 64<<10)
	size, err := unix.Llistxattr(at, buf)
	if err != nil {
		s.Fatalf("%s: %v", path, err)
	}
	want := map[string]string{}
	for name := range strings.SplitSeq(string(buf[:size]), "\x00") {
		if name == "" || strings.HasPrefix(name, "system.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(at, name, value)
		if err != nil {
			s.Fatalf("%s: %s: %v", path, name, err)
		}
		want[name] = string(value[:n])
	}
	x, ok := n.(vfs.Xattrer)
	if !ok {
		if len(want) > 0 {
			s.Errorf("%s has no extended attributes", path)
		}
		return
	}
	names, err := x.ListXattr(s.Context(), vfs.Root)
	if err != nil || len(names) != len(want) {
		s.Errorf("%s has attributes %q, %v; want %d", path, names, err, len(want))
	}
	for name, value := range want {
		if got, err := x.GetXattr(s.Context(), vfs.Root, name); err != nil || string(got) != value {
			s.Errorf("%s: %s is %.50q, %v; want %.50q", path, name, got, err, value)
		}
	}
}

func (s sameAs) content(n vfs.Node, path string) {
	k, err := os.Open(filepath.Join(s.dir, path))
	if err != nil {
		s.Fatal(err)
	}
	defer k.Close()
	f, err := n.Open(s.Context(), vfs.Root, vfs.OpenRead)
	if err != nil {
		s.Errorf("%s: %v", path, err)
		return
	}
	defer f.Close()
	a, _ := n.GetAttr(s.Context(), vfs.AttrSize)
	// What was allocated and not written to is data for the kernel once read.
	if h, ok := f.(vfs.HoleSeeker); ok && s.numbers {
		s.holes(h, k, path, int64(a.Size))
	}
	// Sparse files are long; a prime number of bytes meets all kinds of borders.
	piece := min(1<<20-3, int64(a.Size)+1)
	got, want := make([]byte, piece), make([]byte, piece)
	for off := int64(0); off < int64(a.Size); off += int64(len(got)) {
		g, err := f.ReadAt(s.Context(), got, off)
		w, _ := k.ReadAt(want, off)
		if err != nil || g != w || !bytes.Equal(got[:g], want[:w]) {
			s.Errorf("%s: %d bytes at %d, %v, differ from the kernel's %d", path, g, off, err, w)
			return
		}
	}
}

// holes compares where data and holes begin.
func (s sameAs) holes(h vfs.HoleSeeker, k *os.File, path string, size int64) {
	for off := int64(0); off < size; {
		data, err := h.SeekData(s.Context(), off)
		want, wantErr := unix.Seek(int(k.Fd()), off, unix.SEEK_DATA)
		if vfs.ErrnoOf(err) != vfs.ErrnoOf(wantErr) || err == nil && data != want {
			s.Errorf("%s: data after %d is at %d, %v; want %d, %v", path, off, data, err, want, wantErr)
			return
		}
		if err != nil {
			return
		}
		hole, err := h.SeekHole(s.Context(), data)
		want, wantErr = unix.Seek(int(k.Fd()), data, unix.SEEK_HOLE)
		if err != nil || wantErr != nil || hole != want {
			s.Errorf("%s: the hole after %d is at %d, %v; want %d, %v", path, data, hole, err, want, wantErr)
			return
		}
		off = hole
	}
}

func (s sameAs) directory(n vfs.Node, path string, seen *int) {
	list, err := os.ReadDir(filepath.Join(s.dir, path))
	if err != nil {
		s.Fatal(err)
	}
	var want, got []string
	for _, e := range list {
		want = append(want, e.Name())
	}
	var nodes []vfs.Node
	_, err = n.ReadDir(s.Context(), vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(d *vfs.DirEntry) bool {
		if d.Err != nil {
			s.Errorf("%s/%s: %v", path, d.Name, d.Err)
			return true
		}
		got, nodes = append(got, d.Name), append(nodes, d.Node)
		return true
	})
	sorted := slices.Sorted(slices.Values(got))
	if err != nil || !slices.Equal(sorted, want) {
		s.Errorf("%s: %d names %.30q, %v; want %d, %.30q", path, len(got), sorted, err, len(want), want)
	}
	for i, c := range nodes {
		found, err := n.Lookup(s.Context(), vfs.Root, got[i])
		if err != nil || !bytes.Equal(found.Handle(), c.Handle()) {
			s.Errorf("%s/%s is another node by Lookup, %v", path, got[i], err)
		}
		s.node(c, filepath.Join(path, got[i]), seen)
	}
	if _, err := n.Lookup(s.Context(), vfs.Root, "no such name"); !errors.Is(err, vfs.ENOENT) {
		s.Errorf("%s: a name that is not there: %v", path, err)
	}
}

// openOnly leaves the closing to who asked.
func openOnly(t testing.TB, path string) vfs.FS {
	t.Helper()
	f, err := tryOpen(path, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func tryOpen(path string, part int) (vfs.FS, error) {
	return image.Open(path, image.Options{Partition: part, Log: zerolog.Nop()})
}
