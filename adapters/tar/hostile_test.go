package tar

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// raw is a header of GNU's format with fields as they are, and its checksum.
func raw(kind byte, name string, size string, more map[field]string) []byte {
	var b block
	put := func(f field, s string) { copy(b.raw(f), s) }
	put(fieldName, name)
	put(fieldMode, "0000644")
	put(fieldSize, size)
	put(fieldMagic, "ustar  ")
	b[fieldKind.off] = kind
	for f, s := range more {
		put(f, s)
	}
	put(fieldChecksum, "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	put(fieldChecksum, fmt.Sprintf("%06o\x00 ", sum))
	return b[:]
}

// padded is content up to the next block.
func padded(s string) []byte {
	return append([]byte(s), make([]byte, -len(s)&(blockSize-1))...)
}

func octal(n int) string { return fmt.Sprintf("%011o", n) }

// record is a record of pax.
func record(key, value string) string {
	n := len(key) + len(value) + 3
	for len(fmt.Sprint(n))+len(key)+len(value)+3 != n {
		n++
	}
	return fmt.Sprintf("%d %s=%s\n", n, key, value)
}

// pax is an extended header.
func pax(text string) []byte {
	return slices.Concat(raw(kindPax, "pax", octal(len(text)), nil), padded(text))
}

// global is an extended header for all members behind it.
func global(text string) []byte {
	return slices.Concat(raw(kindPaxGlobal, "pax", octal(len(text)), nil), padded(text))
}

var end = make([]byte, 2*blockSize)

func TestArchivesThatCannotBeAreRefusedBySayingWhy(t *testing.T) {
	good, _ := everything(t)
	file := raw(kindRegular, "file", octal(5), nil)
	huge := "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"
	sparse := func(kind string, records ...string) []byte {
		return slices.Concat(pax(strings.Join(records, "")), raw(kindRegular, "sparse", octal(512), nil), padded(kind), end)
	}
	v1 := record(paxSparseMajor, "1") + record(paxSparseMinor, "0")
	flipped := slices.Clone(good)
	flipped[blockSize+3] ^= 1 // in the name of the second member
	for name, test := range map[string]struct {
		data []byte
		why  string
	}{
		"nothing":                   {nil, "empty"},
		"text":                      {[]byte(strings.Repeat("this is no archive ", 100)), "no tar archive"},
		"a little text":             {[]byte("this is no archive"), "cut short"},
		"bzip2":                     {[]byte("BZh91AY"), "packed by bzip2"},
		"xz":                        {[]byte("\xfd7zXZ\x00\x00"), "packed by xz"},
		"a header is damaged":       {flipped, "byte 512"},
		"cut short in content":      {good[:10*blockSize], "cut short"},
		"cut short in a header":     {good[:blockSize+100], "cut short"},
		"no content":                {file, "cut short"},
		"gzip cut short":            {gzipped(t, good)[:2000], "cut short"},
		"gzip without its trailer":  {gzipped(t, good)[:len(gzipped(t, good))-4], "cut short"},
		"gzip and garbage":          {append(gzipped(t, good), "garbage that follows"...), "not gzip"},
		"gzip of text":              {gzipped(t, []byte(strings.Repeat("text", 1000))), "no tar archive"},
		"gzip of a cut archive":     {gzipped(t, good[:10*blockSize]), "cut short"},
		"zstd cut short":            {zstandard(t, good, 9999)[:2000], "cut short"},
		"zstd of text":              {zstandard(t, []byte(strings.Repeat("text", 1000)), 999), "no tar archive"},
		"zstd of a cut archive":     {oneFrame(t, good[:10*blockSize]), "cut short"},
		"a size beyond the file":    {slices.Concat(raw(kindRegular, "huge", huge, nil), end), "cut short"},
		"a size past 2^63":          {slices.Concat(raw(kindRegular, "huge", "\x80\x00\x00\x00\x80", nil), end), "too large"},
		"a size below 0":            {slices.Concat(raw(kindRegular, "less", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", nil), end), "malformed"},
		"a size past 2^63 in pax":   {slices.Concat(pax(record(paxSize, "9223372036854775808")), file, end), "too large"},
		"a size of no digits":       {slices.Concat(raw(kindRegular, "file", "12x", nil), end), "malformed"},
		"a large extended header":   {slices.Concat(raw(kindPax, "pax", octal(maxRecords+1), nil), make([]byte, maxRecords+blockSize), end), "extended header"},
		"records that overlap":      {slices.Concat(pax("99 path=x\n"), file, end), "extended header"},
		"records without an end":    {slices.Concat(pax("9 path=xy"), file, end), "extended header"},
		"a record of itself":        {slices.Concat(pax("2 \n"), file, end), "extended header"},
		"an extended header alone":  {slices.Concat(pax(record(paxPath, "x"))[:blockSize]), "cut short"},
		"holes of unknown format":   {sparse("", record(paxSparseMajor, "2"), record(paxSparseMinor, "0")), "not known"},
		"holes without a map":       {sparse("nonsense", v1+record(paxSparseRealSize, "9")), "map of holes"},
		"holes by a map too large":  {sparse("99999999\n", v1+record(paxSparseRealSize, "9")), "pieces"},
		"holes by a map cut short":  {sparse("2\n0\n5\n", v1+record(paxSparseRealSize, "9")), "map of holes"},
		"holes beyond the file":     {sparse("", record(paxSparseSize, "9"), record(paxSparseMap, "0,512")), "map of holes"},
		"holes out of order":        {sparse("", record(paxSparseSize, "9999"), record(paxSparseMap, "500,256,0,256")), "map of holes"},
		"holes that overflow":       {sparse("", record(paxSparseSize, "9999"), record(paxSparseMap, "9223372036854775807,9223372036854775807")), "map of holes"},
		"holes with content over":   {sparse("", record(paxSparseSize, "9999"), record(paxSparseMap, "0,5")), "map of holes"},
		"holes of an odd number":    {sparse("", record(paxSparseSize, "9999"), record(paxSparseMap, "0,512,9")), "map of holes"},
		"a sparse size past 2^63":   {sparse("", record(paxSparseSize, "9223372036854775808"), record(paxSparseMap, "0,512")), "too large"},
		"a map that goes on and on": {slices.Concat(raw(kindSparse, "sparse", octal(0), map[field]string{fieldExtended: "\x01"}), bytes.Repeat([]byte{0xff}, 1000)), "cut short"},
	} {
		f, err := Open(t.Context(), save(t, test.data), Options{})
		if err == nil {
			t.Errorf("%s opens", name)
			f.Close()
		} else if !strings.Contains(err.Error(), test.why) || !strings.Contains(err.Error(), "archive.tar") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestArchivesCutShortAnywhereAreRefusedOrSaidToLackTheirEnd(t *testing.T) {
	data := written(t, func(w *tar.Writer) {
		add(t, w, tar.Header{Name: "a"}, strings.Repeat("a", 700))
		add(t, w, tar.Header{Name: "b" + long, Format: tar.FormatPAX}, "b")
	})
	whole := len(data) - 2*blockSize
	for size := range whole {
		if in := size % blockSize; in > 2 && in%100 != 0 {
			continue
		}
		var log bytes.Buffer
		f, err := Open(t.Context(), save(t, data[:size]), Options{Log: zerolog.New(&log)})
		if err != nil {
			continue
		}
		f.Close()
		if !strings.Contains(log.String(), "no mark at its end") {
			t.Errorf("%d bytes of %d open", size, whole)
		}
	}
}

// Members that no tree can hold are left out, and the others are served.
func TestHostileMembersDoNotHideTheOthers(t *testing.T) {
	data := slices.Concat(
		raw(kindSymlink, "loop", octal(0), map[field]string{fieldLink: "loop"}),
		raw(kindHardLink, "self", octal(0), map[field]string{fieldLink: "self"}),
		raw(kindHardLink, "nothing", octal(0), nil),
		raw(kindHardLink, "out", octal(99), map[field]string{fieldLink: "../../etc/passwd"}), // a link has no content
		raw(kindRegular, "a", octal(0), nil),
		raw(kindRegular, "a/b", octal(1), nil), padded("b"),
		raw(kindRegular, "/etc/passwd", octal(1), nil), padded("p"),
		raw(kindRegular, "x/../../y", octal(0), nil),
		raw(kindMultiPart, "part", octal(3), nil), padded("end"),
		raw(kindVolume, "label", octal(0), nil),
		raw(kindLongName, "long", octal(70_000), nil), padded(strings.Repeat("x", 70_000)), raw(kindRegular, "short", octal(0), nil),
		raw(kindDumpDir, "dump", octal(4), nil), padded("list"),
		raw('Z', "unknown", octal(3), nil), padded("new"),
		raw(kindOldRegular, "old/", octal(0), nil),
		raw(kindRegular, "last", octal(4), map[field]string{fieldUID: "\x80\x00\x00\x01\x00\x00\x00\x01"}), padded("last"),
		end, []byte("what follows is nothing"))
	var log bytes.Buffer
	f := mustOpen(t, save(t, data), Options{Log: zerolog.New(&log)})
	defer f.Close()
	for path, want := range map[string]string{"a/b": "b", "etc/passwd": "p", "unknown": "new", "last": "last"} {
		if got := content(t, lookup(t, f, path)); got != want {
			t.Errorf("%s is %q", path, got)
		}
	}
	for _, dir := range []string{"dump", "old", "a"} {
		if a, _ := lookup(t, f, dir).GetAttr(t.Context(), vfs.AttrAll); a.Type != vfs.TypeDirectory {
			t.Errorf("%s is no directory", dir)
		}
	}
	if a, _ := lookup(t, f, "last").GetAttr(t.Context(), vfs.AttrAll); a.UID != overflowID {
		t.Errorf("a number that is no user's becomes %d", a.UID)
	}
	if !strings.Contains(log.String(), `"left_out":7,`) {
		t.Errorf("the log is %q", log.String())
	}
}

func TestBombsAreRefused(t *testing.T) {
	bomb := slices.Concat(raw(kindRegular, "zeroes", octal(40<<20), nil), make([]byte, 40<<20), end)
	behind := slices.Concat(raw(kindRegular, "a", octal(0), nil), make([]byte, 40<<20))
	for name, packed := range map[string][]byte{
		"gzip": gzipped(t, bomb), "gzip behind the end": gzipped(t, behind),
		"zstd": zstandard(t, bomb, 1<<20), "zstd behind the end": zstandard(t, behind, 1<<20), "zstd in one frame": oneFrame(t, bomb),
	} {
		dir := t.TempDir()
		_, err := Open(t.Context(), save(t, packed), Options{Unpacked: 20 << 20, Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "more than 20971520 bytes, which unpacked=SIZE") {
			t.Errorf("%s: %v", name, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%s: %v stays behind", name, left)
		}
	}
}

// What is said of all members costs as much for each.
func TestLargeHeadersForManyMembersAreRefused(t *testing.T) {
	large := global(record("comment", strings.Repeat("c", maxRecords-100)))
	few := bytes.Repeat(raw(kindRegular, "file", octal(0), nil), maxSaid/maxRecords)
	for name, test := range map[string]struct {
		data []byte
		want bool
	}{
		"few":                {slices.Concat(large, few, end), true},
		"many":               {slices.Concat(large, few, few[:blockSize], end), false},
		"headers":            {slices.Concat(large, few[blockSize:], bytes.Repeat(global(record("comment", "c")), 2), end), true},
		"headers upon large": {slices.Concat(large, few, bytes.Repeat(global(record("other", "o")), 2), end), false},
		"many records":       {slices.Concat(global(manyRecords(maxRecords/perRecord)), few[:blockSize], end), false},
	} {
		f, err := Open(t.Context(), save(t, test.data), Options{})
		switch {
		case err == nil && !test.want:
			t.Errorf("%s: it opens", name)
		case err != nil && (test.want || !strings.Contains(err.Error(), "for all members")):
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			f.Close()
		}
	}
}

// manyRecords are that many records of hardly any bytes.
func manyRecords(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(record(fmt.Sprintf("%05x", i), ""))
	}
	return b.String()
}

func TestHeadersForAllMembersAreOverriddenByTheirOwn(t *testing.T) {
	file := func(name string) []byte {
		return raw(kindRegular, name, octal(0), map[field]string{fieldUID: "0000001"})
	}
	f := mustOpen(t, save(t, slices.Concat(
		file("before"), global(record(paxUID, "2")+record(paxGID, "20")), file("all"),
		pax(record(paxUID, "3")), file("own"), pax(record(paxUID, "")), file("back"),
		global(record(paxUID, "4")), file("later"), end)), Options{})
	defer f.Close()
	for name, want := range map[string][2]uint32{"before": {1, 0}, "all": {2, 20}, "own": {3, 20}, "back": {1, 20}, "later": {4, 20}} {
		if a, _ := lookup(t, f, name).GetAttr(t.Context(), vfs.AttrAll); a.UID != want[0] || a.GID != want[1] {
			t.Errorf("%s is of user %d and group %d, want %v", name, a.UID, a.GID, want)
		}
	}
}

func TestOpeningEndsWithTheCall(t *testing.T) {
	data, _ := everything(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, packed := range map[string][]byte{
		"plain": data, "gzip": gzipped(t, data), "zstd": zstandard(t, data, 99_999),
		"spooled": oneFrame(t, slices.Concat(data, make([]byte, maxFrame))),
	} {
		if _, err := Open(ctx, save(t, packed), Options{}); vfs.ErrnoOf(err) != vfs.EAGAIN {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADiskThatIsFullRefusesTheArchive(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	data, _ := everything(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		t.Skipf("a small file system cannot be mounted: %v", err)
	}
	defer unix.Unmount(dir, 0)
	path := save(t, oneFrame(t, slices.Concat(data, make([]byte, maxFrame))))
	_, err := Open(t.Context(), path, Options{Dir: filepath.Join(dir, "export")})
	if vfs.ErrnoOf(err) != vfs.ENOSPC || !strings.Contains(err.Error(), "does not fit") {
		t.Errorf("got %v", err)
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "export")); len(left) > 0 {
		t.Errorf("%v stays behind", left)
	}
}

func FuzzArchive(f *testing.F) {
	data := written(f, func(w *tar.Writer) {
		add(f, w, tar.Header{Name: "dir/file"}, "content of the file")
		add(f, w, tar.Header{Name: "link", Typeflag: tar.TypeSymlink, Linkname: "dir/file"}, "")
		add(f, w, tar.Header{Name: "pax/" + long, Format: tar.FormatPAX, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b"}}, "pax")
	})
	f.Add(data)
	f.Add(gzipped(f, data))
	f.Add(zstandard(f, data, 1000))
	f.Add(slices.Concat(raw(kindSparse, "sparse", octal(5), map[field]string{fieldSparse: "00000001000\x0000000000005", fieldRealSize: "00000002000"}), padded("hello"), end))
	f.Add(slices.Concat(pax(record(paxSparseMajor, "1")+record(paxSparseMinor, "0")+record(paxSparseRealSize, "99")), raw(kindRegular, "sparse", octal(517), nil), padded("1\n3\n5\n"), padded("hello"), end))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Mutation seldom finds a checksum.
		for at := 0; at+blockSize <= len(data) && len(data) > 2 && data[0] != 0x1f && data[0] != 0x28; at += blockSize {
			if b := data[at : at+blockSize]; string(b[257:262]) == "ustar" {
				sum := 8 * int(' ')
				for i, c := range b {
					if i < 148 || i >= 156 {
						sum += int(c)
					}
				}
				copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
			}
		}
		fs, err := Open(t.Context(), save(t, data), Options{Log: zerolog.Nop(), Unpacked: 1 << 20})
		if err != nil {
			return
		}
		defer fs.Close()
		readAll(t, fs.Root(), 0)
	})
}

func readAll(t *testing.T, n vfs.Node, depth int) {
	t.Helper()
	_, err := n.ReadDir(t.Context(), vfs.Root, 0, vfs.AttrNode|vfs.AttrSize, func(d *vfs.DirEntry) bool {
		switch d.Type {
		case vfs.TypeDirectory:
			if depth < 100 {
				readAll(t, d.Node, depth+1)
			}
		case vfs.TypeRegular:
			f, err := d.Node.Open(t.Context(), vfs.Root, vfs.OpenRead)
			if err != nil {
				t.Error(err)
				return false
			}
			defer f.Close()
			// All content was seen to be there.
			for _, off := range []int64{0, max(0, int64(d.Attr.Size)-1<<16)} {
				if _, err := f.ReadAt(t.Context(), make([]byte, 1<<16), off); err != nil {
					t.Errorf("%s: %v", d.Name, err)
				}
			}
		}
		return true
	})
	if err != nil {
		t.Error(err)
	}
}
