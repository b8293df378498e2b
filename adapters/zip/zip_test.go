package zip

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// write makes an archive and returns its path.
func write(t testing.TB, fill func(w *zip.Writer)) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return save(t, b.Bytes())
}

func save(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.zip")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func add(t testing.TB, w *zip.Writer, name string, mode fs.FileMode, method uint16, content string) *zip.FileHeader {
	t.Helper()
	h := &zip.FileHeader{Name: name, Method: method, Modified: time.Unix(1e9, 0)}
	h.SetMode(mode)
	f, err := w.CreateHeader(h)
	if err == nil {
		_, err = io.WriteString(f, content)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func openZip(t testing.TB, path string, log io.Writer) vfs.FS {
	t.Helper()
	f, err := Open(path, zerolog.New(log))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestArchiveKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	large := strings.Repeat("0123456789abcde", 200_000)
	at := vfs.Timespec{Sec: 1e9}
	path := write(t, func(w *zip.Writer) {
		add(t, w, "dir/", fs.ModeDir|0o750, zip.Store, "")
		add(t, w, "dir/stored", 0o644, zip.Store, large)
		add(t, w, "dir/deflated", 0o600, zip.Deflate, large)
		add(t, w, "small", 0o755|fs.ModeSetuid, zip.Deflate, "small")
		add(t, w, "none", 0o644, zip.Deflate, "")
		add(t, w, "link", fs.ModeSymlink|0o777, zip.Deflate, "dir/stored")
		add(t, w, "on/the/way", 0o644, zip.Store, "x")
		add(t, w, "../up", 0o644, zip.Store, "left out")
		add(t, w, "pipe", fs.ModeNamedPipe|0o600, zip.Store, "")
	})
	vfstest.ReadOnly{
		Open: func(t testing.TB) vfs.FS { return openZip(t, path, io.Discard) },
		Want: map[string]vfstest.Entry{
			"dir":          {Type: vfs.TypeDirectory, Mode: 0o750, Mtime: at},
			"dir/stored":   {Mode: 0o644, Content: large, Mtime: at, Owned: true},
			"dir/deflated": {Mode: 0o600, Content: large},
			"small":        {Mode: 0o4755, Content: "small"},
			"none":         {},
			"link":         {Type: vfs.TypeSymlink, Target: "dir/stored"},
			"on/the/way":   {Content: "x"},
			"pipe":         {Type: vfs.TypeFIFO},
		},
	}.Run(t)
}

func lookup(t testing.TB, f vfs.FS, name string) vfs.Node {
	t.Helper()
	n, err := f.Root().Lookup(t.Context(), vfs.Root, name)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestFilesOfOtherSystemsMayBeReadByEverybody(t *testing.T) {
	path := write(t, func(w *zip.Writer) {
		for _, name := range []string{"dir/", "file"} {
			if _, err := w.CreateHeader(&zip.FileHeader{Name: name, CreatorVersion: 10 << 8}); err != nil {
				t.Fatal(err)
			}
		}
	})
	f := openZip(t, path, io.Discard)
	defer f.Close()
	for name, want := range map[string]uint32{"dir": 0o755, "file": 0o644} {
		if a, _ := lookup(t, f, name).GetAttr(t.Context(), vfs.AttrMode); a.Mode != want {
			t.Errorf("%s has mode %o", name, a.Mode)
		}
	}
}

func TestOwnersAreThoseOfInfoZIP(t *testing.T) {
	for what, test := range map[string]struct {
		extra    []byte
		uid, gid uint32
	}{
		"both":        {[]byte{1, 0, 1, 0, 9, 0x75, 0x78, 11, 0, 1, 4, 0xe9, 3, 0, 0, 4, 0xd0, 7, 0, 0}, 1001, 2000},
		"none":        {nil, 0, 0},
		"cut short":   {[]byte{0x75, 0x78, 11, 0, 1, 4, 0xe9}, 0, 0},
		"no gid":      {[]byte{0x75, 0x78, 6, 0, 1, 4, 0xe9, 3, 0, 0}, 0, 0},
		"beyond uids": {[]byte{0x75, 0x78, 9, 0, 1, 5, 0, 0, 0, 0, 1, 1, 5}, 0, 0},
	} {
		if uid, gid := owner(test.extra); uid != test.uid || gid != test.gid {
			t.Errorf("%s: %d:%d", what, uid, gid)
		}
	}
}

// patch changes a field of two bytes in the central directory, by its offset in
// the entry of the first file.
func patch(t *testing.T, path string, off int, value uint16) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, []byte("PK\x01\x02"))
	binary.LittleEndian.PutUint16(data[at+off:], value)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFilesThatCannotBeReadSaySoOneByOne(t *testing.T) {
	for why, field := range map[string]struct {
		off   int
		value uint16
	}{
		"encrypted":       {8, 1},
		"method 12":       {10, 12},
		"larger than":     {26, 0x7fff},
		"has two sizes":   {10, zip.Store},
		"method 93":       {10, 93},
		"encrypted, too":  {8, 1 << 13},
		"method 9; store": {10, 9},
	} {
		path := write(t, func(w *zip.Writer) {
			add(t, w, "bad", 0o644, zip.Deflate, strings.Repeat("content", 50))
			add(t, w, "good", 0o644, zip.Deflate, "good")
		})
		patch(t, path, field.off, field.value)
		var log bytes.Buffer
		f := openZip(t, path, &log)
		text, _, _ := strings.Cut(why, ",")
		text, _, _ = strings.Cut(text, ";")
		if !strings.Contains(log.String(), text) || strings.Count(log.String(), "\n") != 1 {
			t.Errorf("%s: logged is %q", why, log.String())
		}
		if _, err := lookup(t, f, "bad").Open(t.Context(), vfs.Root, vfs.OpenRead); vfs.ErrnoOf(err) != vfs.EOPNOTSUPP {
			t.Errorf("%s: %v", why, err)
		}
		if file, err := lookup(t, f, "good").Open(t.Context(), vfs.Root, vfs.OpenRead); err != nil {
			t.Errorf("%s: the other file: %v", why, err)
		} else {
			file.Close()
		}
		f.Close()
	}
}

func TestContentWithAnotherChecksumIsAnError(t *testing.T) {
	path := write(t, func(w *zip.Writer) { add(t, w, "file", 0o644, zip.Deflate, strings.Repeat("content", 500)) })
	patch(t, path, 16, 0x1234)
	f := openZip(t, path, io.Discard)
	defer f.Close()
	file, err := lookup(t, f, "file").Open(t.Context(), vfs.Root, vfs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if n, err := file.ReadAt(t.Context(), make([]byte, 9999), 0); vfs.ErrnoOf(err) != vfs.EIO {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestWhatIsNoArchiveIsRefusedBySayingWhy(t *testing.T) {
	whole, err := os.ReadFile(write(t, func(w *zip.Writer) { add(t, w, "file", 0o644, zip.Deflate, "content") }))
	if err != nil {
		t.Fatal(err)
	}
	for what, path := range map[string]string{
		"nothing":     save(t, nil),
		"text":        save(t, []byte("this is no archive")),
		"cut short":   save(t, whole[:len(whole)-5]),
		"missing":     filepath.Join(t.TempDir(), "missing.zip"),
		"a directory": t.TempDir(),
	} {
		if f, err := Open(path, zerolog.Nop()); err == nil {
			t.Errorf("%s opens", what)
			f.Close()
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v does not name the file", what, err)
		}
	}
}

func FuzzArchive(f *testing.F) {
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		data, err := os.ReadFile(write(f, func(w *zip.Writer) {
			add(f, w, "dir/file", 0o644, method, "content of the file")
			add(f, w, "link", fs.ModeSymlink|0o777, method, "dir/file")
		}))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fs, err := Open(save(t, data), zerolog.Nop())
		if err != nil {
			return
		}
		defer fs.Close()
		readAll(t, fs.Root(), 0)
	})
}

func readAll(t *testing.T, n vfs.Node, depth int) {
	t.Helper()
	_, err := n.ReadDir(t.Context(), vfs.Root, 0, vfs.AttrNode, func(d *vfs.DirEntry) bool {
		switch d.Type {
		case vfs.TypeDirectory:
			if depth < 100 {
				readAll(t, d.Node, depth+1)
			}
		case vfs.TypeRegular:
			if f, err := d.Node.Open(t.Context(), vfs.Root, vfs.OpenRead); err == nil {
				_, _ = f.ReadAt(t.Context(), make([]byte, 1<<16), 0) // whatever it says, it must return
				f.Close()
			}
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
}
