package tar

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// written makes an archive.
func written(t testing.TB, fill func(w *tar.Writer)) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	fill(w)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func save(t testing.TB, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "archive.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func add(t testing.TB, w *tar.Writer, h tar.Header, content string) {
	t.Helper()
	h.Size = int64(len(content))
	if h.ModTime.IsZero() {
		h.ModTime = time.Unix(1e9, 0)
	}
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	err := w.WriteHeader(&h)
	if err == nil {
		_, err = io.WriteString(w, content)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// zstandard packs data in frames that hold size bytes.
func zstandard(t testing.TB, data []byte, size int) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	var all []byte
	for piece := range slices.Chunk(data, size) {
		all = enc.EncodeAll(piece, all)
	}
	return all
}

// oneFrame packs data in a frame that counts for a large one however little is
// in it: its blocks are said to be compressed.
func oneFrame(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.Write(data)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func mustOpen(t testing.TB, path string, opt Options) vfs.FS {
	t.Helper()
	f, err := Open(t.Context(), path, opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

var long = strings.Repeat("a long name, ", 15)

// everything is an archive that has all there can be, and what it holds.
func everything(t testing.TB) ([]byte, map[string]vfstest.Entry) {
	large := strings.Repeat("0123456789abcde", 200_000)
	at := vfs.Timespec{Sec: 1e9}
	data := written(t, func(w *tar.Writer) {
		add(t, w, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, "")
		add(t, w, tar.Header{Name: "dir/", Typeflag: tar.TypeDir, Mode: 0o750}, "")
		add(t, w, tar.Header{Name: "dir/large", Uid: 1000, Gid: 2000}, large)
		add(t, w, tar.Header{Name: "dir/secret", Mode: 0o600}, "secret")
		add(t, w, tar.Header{Name: "small", Mode: 0o4755}, "small")
		add(t, w, tar.Header{Name: "none"}, "")
		add(t, w, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "dir/large"}, "")
		add(t, w, tar.Header{Name: "on/the/way"}, "x")
		add(t, w, tar.Header{Name: "../up"}, "left out")
		add(t, w, tar.Header{Name: "pipe", Typeflag: tar.TypeFifo}, "")
		add(t, w, tar.Header{Name: "null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}, "")
		add(t, w, tar.Header{Name: "disk", Typeflag: tar.TypeBlock, Devmajor: 254, Devminor: 70000}, "")
		add(t, w, tar.Header{Name: "again", Typeflag: tar.TypeLink, Linkname: "dir/large"}, "")
		add(t, w, tar.Header{Name: "twice"}, "first")
		add(t, w, tar.Header{Name: "twice"}, "last")
		add(t, w, tar.Header{Name: "gnu/" + long, Format: tar.FormatGNU}, "gnu")
		add(t, w, tar.Header{Name: "pax/" + long, Format: tar.FormatPAX, ModTime: time.Unix(5, 123456789), Uid: 1 << 31}, "pax")
		add(t, w, tar.Header{Name: "far", Format: tar.FormatPAX, Typeflag: tar.TypeSymlink, Linkname: "../" + long}, "")
	})
	return data, map[string]vfstest.Entry{
		"dir":         {Type: vfs.TypeDirectory, Mode: 0o750, Mtime: at},
		"dir/large":   {Mode: 0o644, Content: large, Mtime: at, Owned: true, UID: 1000, GID: 2000},
		"dir/secret":  {Mode: 0o600, Content: "secret"},
		"small":       {Mode: 0o4755, Content: "small"},
		"none":        {},
		"link":        {Type: vfs.TypeSymlink, Target: "dir/large"},
		"on/the/way":  {Content: "x"},
		"pipe":        {Type: vfs.TypeFIFO},
		"null":        {Type: vfs.TypeChar, Rdev: vfs.Rdev{Major: 1, Minor: 3}},
		"disk":        {Type: vfs.TypeBlock, Rdev: vfs.Rdev{Major: 254, Minor: 70000}},
		"again":       {SameAs: "dir/large"},
		"twice":       {Content: "last"},
		"gnu/" + long: {Content: "gnu"},
		"pax/" + long: {Content: "pax", Mtime: vfs.Timespec{Sec: 5, Nsec: 123456789}, Owned: true, UID: 1 << 31},
		"far":         {Type: vfs.TypeSymlink, Target: "../" + long},
	}
}

func TestArchiveKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	data, want := everything(t)
	for name, packed := range map[string][]byte{
		"plain":         data,
		"gzip":          gzipped(t, data),
		"zstd, frames":  zstandard(t, data, 200_000),
		"zstd, one":     zstandard(t, data, len(data)),
		"zstd, spooled": oneFrame(t, slices.Concat(data, make([]byte, maxFrame))),
	} {
		t.Run(name, func(t *testing.T) {
			path, dir := save(t, packed), t.TempDir()
			vfstest.ReadOnly{
				Open: func(t testing.TB) vfs.FS { return mustOpen(t, path, Options{Log: zerolog.Nop(), Dir: dir}) },
				Want: want,
			}.Run(t)
			_, err := os.Stat(filepath.Join(dir, unpackedName))
			if spooled := err == nil; spooled != (name == "zstd, spooled") {
				t.Errorf("unpacked into a file: %v", spooled)
			}
		})
	}
}

func lookup(t testing.TB, f vfs.FS, path string) vfs.Node {
	t.Helper()
	n := f.Root()
	for name := range strings.SplitSeq(path, "/") {
		var err error
		if n, err = n.Lookup(t.Context(), vfs.Root, name); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return n
}

func content(t testing.TB, n vfs.Node) string {
	t.Helper()
	f, err := n.Open(t.Context(), vfs.Root, vfs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, _ := n.GetAttr(t.Context(), vfs.AttrSize)
	p := make([]byte, a.Size+1)
	got, err := f.ReadAt(t.Context(), p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return string(p[:got])
}

func TestExtendedAttributesComeFromRecords(t *testing.T) {
	f := mustOpen(t, save(t, written(t, func(w *tar.Writer) {
		add(t, w, tar.Header{Name: "file", Mode: 0o664, PAXRecords: map[string]string{
			"SCHILY.xattr.user.star":            "a\x01value",
			"LIBARCHIVE.xattr.user.by%20bsd":    "AQID",
			"LIBARCHIVE.xattr.user.star":        "bm90aGlz",
			"SCHILY.xattr.security.capability":  "cap",
			"SCHILY.xattr.system.of.the.kernel": "not served",
		}}, "")
		add(t, w, tar.Header{Name: "kept out", Mode: 0o664, PAXRecords: map[string]string{
			"SCHILY.acl.access": "user::rw-,user:joe:---:1000,group::rw-,mask::rw-,other::r--",
		}}, "")
	})), Options{})
	defer f.Close()
	x := lookup(t, f, "file").(vfs.Xattrer)
	for name, want := range map[string]string{"user.star": "a\x01value", "user.by bsd": "\x01\x02\x03", "security.capability": "cap"} {
		if got, err := x.GetXattr(t.Context(), vfs.Root, name); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", name, got, err)
		}
	}
	if names, err := x.ListXattr(t.Context(), vfs.Root); err != nil || len(names) != 3 {
		t.Errorf("listed are %q, %v", names, err)
	}
	if a, _ := lookup(t, f, "kept out").GetAttr(t.Context(), vfs.AttrMode); a.Mode != 0o600 {
		t.Errorf("a mode of %o lets in whom the list keeps out", a.Mode)
	}
}

func TestAnIndexIsMadeOnceForAnArchive(t *testing.T) {
	data, _ := everything(t)
	for name, packed := range map[string][]byte{
		"gzip":    gzipped(t, data),
		"frames":  zstandard(t, data, 200_000),
		"spooled": oneFrame(t, slices.Concat(data, make([]byte, maxFrame))),
	} {
		dir, path := t.TempDir(), save(t, packed)
		// open says whether the archive was unpacked.
		open := func() bool {
			t.Helper()
			var log bytes.Buffer
			f := mustOpen(t, path, Options{Dir: dir, Log: zerolog.New(&log)})
			defer f.Close()
			if got := content(t, lookup(t, f, "dir/large")); got != strings.Repeat("0123456789abcde", 200_000) {
				t.Errorf("%s: %d other bytes", name, len(got))
			}
			return strings.Contains(log.String(), "unpacking an archive once")
		}
		damage := func(file string, change func(p []byte) []byte) {
			t.Helper()
			p, err := os.ReadFile(file)
			if err == nil {
				err = os.WriteFile(file, change(p), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		index := filepath.Join(dir, indexName)
		if !open() || open() {
			t.Errorf("%s: the index is not made, or twice", name)
		}
		for what, change := range map[string]func(p []byte) []byte{
			"cut short":  func(p []byte) []byte { return p[:len(p)/2] },
			"empty":      func([]byte) []byte { return nil },
			"flipped":    func(p []byte) []byte { p[len(p)/2] ^= 1; return p },
			"of another": func([]byte) []byte { return []byte("\x00\x00\x00\x00") },
		} {
			if name == "spooled" {
				continue // it is the same code, and takes long
			}
			damage(index, change)
			if !open() || open() {
				t.Errorf("%s: an index that is %s is used, or not made anew", name, what)
			}
		}
		if name == "spooled" {
			damage(filepath.Join(dir, unpackedName), func(p []byte) []byte { return p[:1000] })
			if !open() || open() {
				t.Errorf("what is unpacked is used though it is cut short")
			}
		}
		if err := os.Chtimes(path, time.Unix(5, 0), time.Unix(5, 0)); err != nil {
			t.Fatal(err)
		}
		if !open() || open() {
			t.Errorf("%s: the index of what the file was before is used", name)
		}
		if left, _ := os.ReadDir(dir); len(left) > 2 {
			t.Errorf("%s: left are %v", name, left)
		}
	}
}

func TestAnIndexThatCannotBeKeptIsDoneWithout(t *testing.T) {
	data, _ := everything(t)
	dir := filepath.Join(save(t, nil), "below a file")
	var log bytes.Buffer
	f := mustOpen(t, save(t, gzipped(t, data)), Options{Dir: dir, Log: zerolog.New(&log)})
	defer f.Close()
	if got := content(t, lookup(t, f, "small")); got != "small" {
		t.Errorf("read is %q", got)
	}
	if !strings.Contains(log.String(), "cannot be kept") {
		t.Errorf("the log is %q", log.String())
	}
	if _, err := Open(t.Context(), save(t, oneFrame(t, slices.Concat(data, make([]byte, maxFrame)))), Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "has to be unpacked") {
		t.Errorf("one large frame: %v", err)
	}
}

func TestHandlesHoldOverAStartFromAnIndex(t *testing.T) {
	data, _ := everything(t)
	path, opt := save(t, gzipped(t, data)), Options{Dir: t.TempDir()}
	f := mustOpen(t, path, opt)
	handle := lookup(t, f, "gnu/"+long).Handle()
	f.Close()
	f = mustOpen(t, path, opt)
	defer f.Close()
	n, err := f.Resolve(t.Context(), handle)
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, n); got != "gnu" {
		t.Errorf("the handle leads to %q", got)
	}
}
