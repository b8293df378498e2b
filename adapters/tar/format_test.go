package tar

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// holes makes a file with some bytes here and there.
func holes(t *testing.T, path string, size int64, every int64) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for off := int64(0); off < size; off += every {
		if _, err := f.WriteAt([]byte(fmt.Sprint("data at ", off)), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
}

// What GNU tar writes, in each of its formats, is read as archive/tar reads it,
// and as it is on the disk.
func TestFormatsOfGNUTarAreReadAsByTheStandardLibrary(t *testing.T) {
	program, err := exec.LookPath("tar")
	if err != nil {
		t.Skip("needs the program tar")
	}
	dir := t.TempDir()
	for _, d := range []string{"dir", "dir/deeper"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	holes(t, filepath.Join(dir, "few"), 1<<20, 1<<19)
	holes(t, filepath.Join(dir, "many"), 3<<20, 1<<16) // more than fit in a header
	holes(t, filepath.Join(dir, "only a hole"), 1<<19, 1<<30)
	for name, content := range map[string]string{"dir/file": "file", "dir/deeper/none": "", "dir/" + long[:90]: strings.Repeat("x", 5000)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	for from, err := range map[string]error{
		"link": os.Symlink("dir/file", filepath.Join(dir, "dir/link")), "hard link": os.Link(filepath.Join(dir, "dir/file"), filepath.Join(dir, "dir/other")),
	} {
		if err != nil {
			t.Fatal(from, err)
		}
	}
	for _, format := range []string{"v7", "ustar", "oldgnu", "gnu", "gnu -S", "posix", "posix -S --sparse-version=0.0", "posix -S --sparse-version=0.1", "posix -S --sparse-version=1.0"} {
		path := filepath.Join(t.TempDir(), "archive.tar")
		args := append([]string{"-C", dir, "-cf", path, "--format"}, strings.Fields(format)...)
		if out, err := exec.Command(program, append(args, ".")...).CombinedOutput(); err != nil {
			if strings.Contains(string(out), "unrecognized option") || strings.Contains(string(out), "invalid") {
				t.Skipf("needs GNU tar: %s", out)
			}
			t.Fatalf("%s: %v: %s", format, err, out)
		}
		if st, _ := os.Stat(path); strings.Contains(format, "-S") && st.Size() > 2<<20 {
			t.Errorf("%s: holes take %d bytes", format, st.Size())
		}
		compareWithLibrary(t, format, path)
		if strings.Contains(format, "-S") {
			f := mustOpen(t, path, Options{})
			for _, name := range []string{"few", "many", "only a hole", "dir/file"} {
				sameHoles(t, format, lookup(t, f, name), filepath.Join(dir, name))
			}
			f.Close()
		}
	}
}

// sameHoles compares where data and holes are with the file that was archived.
func sameHoles(t *testing.T, format string, n vfs.Node, path string) {
	t.Helper()
	disk, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer disk.Close()
	file, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	h := file.(vfs.HoleSeeker)
	a, _ := n.GetAttr(t.Context(), vfs.AttrAll)
	inData := uint64(0)
	for off := int64(0); ; {
		data, err := h.SeekData(t.Context(), off)
		want, wantErr := unix.Seek(int(disk.Fd()), off, unix.SEEK_DATA)
		if vfs.ErrnoOf(err) != vfs.ErrnoOf(wantErr) || err == nil && data != want {
			t.Fatalf("%s: %s has data behind %d at %d, %v, the disk at %d, %v", format, path, off, data, err, want, wantErr)
		}
		if err != nil {
			break
		}
		hole, err := h.SeekHole(t.Context(), data)
		if want, wantErr := unix.Seek(int(disk.Fd()), data, unix.SEEK_HOLE); err != nil || wantErr != nil || hole != want {
			t.Fatalf("%s: %s has a hole behind %d at %d, %v, the disk at %d, %v", format, path, data, hole, err, want, wantErr)
		}
		inData += uint64(hole - data)
		off = hole
	}
	if a.Used != (inData+4095)&^4095 {
		t.Errorf("%s: %s takes %d bytes, of which %d are data", format, path, a.Used, inData)
	}
}

func compareWithLibrary(t *testing.T, format, path string) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f := mustOpen(t, path, Options{})
	defer f.Close()
	r := tar.NewReader(bytes.NewReader(data))
	for {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", format, err)
		}
		name := strings.Trim(strings.TrimPrefix(h.Name, "./"), "/")
		if name == "" {
			continue
		}
		n := lookup(t, f, name)
		a, _ := n.GetAttr(t.Context(), vfs.AttrAll)
		mode, at := uint32(h.Mode&0o7777), vfs.TimespecOf(h.ModTime)
		if h.Typeflag != tar.TypeLink && (a.Mode != mode && h.Typeflag != tar.TypeSymlink || a.UID != uint32(h.Uid) || a.Mtime != at) {
			t.Errorf("%s: %s has %o, %d, %v; the library has %o, %d, %v", format, name, a.Mode, a.UID, a.Mtime, mode, h.Uid, at)
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeGNUSparse:
			want, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if got := content(t, n); got != string(want) {
				t.Errorf("%s: %s has %d other bytes than the %d of the library", format, name, len(got), len(want))
			}
			samePieces(t, format, n, want)
		case tar.TypeSymlink:
			if got, err := n.ReadLink(t.Context(), vfs.Root); err != nil || got != h.Linkname {
				t.Errorf("%s: %s leads to %q, %v", format, name, got, err)
			}
		case tar.TypeLink:
			if to := lookup(t, f, strings.TrimPrefix(h.Linkname, "./")); !bytes.Equal(to.Handle(), n.Handle()) {
				t.Errorf("%s: %s is another file than %s", format, name, h.Linkname)
			}
		}
	}
}

// samePieces reads a file in pieces that are not those between its holes.
func samePieces(t *testing.T, format string, n vfs.Node, want []byte) {
	t.Helper()
	file, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	p := make([]byte, 70_001)
	for off := 3; off < len(want); off += 7 * len(p) {
		got, err := file.ReadAt(t.Context(), p, int64(off))
		if err != nil || !bytes.Equal(p[:got], want[off:][:got]) || got < min(len(p), len(want)-off) {
			t.Fatalf("%s: %d bytes at %d are others, %v", format, got, off, err)
		}
	}
}

func TestNumbersAreReadInBothForms(t *testing.T) {
	for field, want := range map[string]int64{
		"0000644\x00":                       0o644,
		"    644 ":                          0o644,
		"\x00\x00":                          0,
		"777777777777":                      1<<36 - 1,
		"\x80\x00\x00\x01\x00":              1 << 8,
		"\xff\xff\xff\xfe":                  -2,
		"\x80\x00\x00\x00\x7f" + ff(7):      1<<63 - 1,
		"\xff\xff\xff\xff\x80" + nul(7):     -1 << 63,
		"0000644\x00 what follows it is no": 0o644,
	} {
		if got, err := number([]byte(field)); err != nil || got != want {
			t.Errorf("%q is %d, %v", field, got, err)
		}
	}
	for _, field := range []string{"8", "-1", "0x1", "\x80\x00\x00\x00\x80" + nul(7), "\xbf" + ff(11), "\xff\xff\xff\xff\x7f" + ff(7), "7777777777777777777777777"} {
		if got, err := number([]byte(field)); err == nil {
			t.Errorf("%q is %d", field, got)
		}
	}
}

func ff(n int) string  { return strings.Repeat("\xff", n) }
func nul(n int) string { return strings.Repeat("\x00", n) }

func TestTimesHaveFractionsOfEitherSign(t *testing.T) {
	for text, want := range map[string]vfs.Timespec{
		"1": {Sec: 1}, "1.5": {Sec: 1, Nsec: 5e8}, "1.1234567899": {Sec: 1, Nsec: 123456789}, "-1": {Sec: -1},
		"-1.25": {Sec: -2, Nsec: 75e7}, "-0.5": {Sec: -1, Nsec: 5e8}, "1.": {Sec: 1},
	} {
		if got, err := (records{paxMtime: text}).mtime(&block{}); err != nil || got != want {
			t.Errorf("%s is %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"x", "1.x", "1.-5", "99999999999999999999", "1e9"} {
		if got, err := (records{paxMtime: text}).mtime(&block{}); err == nil {
			t.Errorf("%s is %v", text, got)
		}
	}
}
