package tree

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// contents is a source whose items are places in it.
type contents []string

func (c contents) Open(_ context.Context, item uint64) (Content, error) {
	if item >= uint64(len(c)) {
		return nil, vfs.EIO
	}
	return text(c[item]), nil
}

func (c contents) Close() error { return nil }

type text string

func (s text) ReadAt(_ context.Context, p []byte, off int64) error {
	if off < 0 || off > int64(len(s)) || copy(p, s[off:]) < len(p) {
		return vfs.EIO
	}
	return nil
}

func (s text) Close() error { return nil }

var someTime = vfs.Timespec{Sec: -5, Nsec: 7}

// build makes a tree and says how many names were left out.
func build(t testing.TB, c contents, entries ...Entry) (*FS, string) {
	t.Helper()
	var log bytes.Buffer
	b := NewBuilder(Options{Log: zerolog.New(&log), Time: someTime})
	for _, e := range entries {
		if err := b.Add(e); err != nil {
			t.Fatal(err)
		}
	}
	fs, err := b.Build(c, Fingerprint{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	return fs, log.String()
}

func regular(path string, c contents, item uint64) Entry {
	return Entry{Path: path, Type: vfs.TypeRegular, Mode: 0o644, Size: uint64(len(c[item])), Item: item, Mtime: someTime}
}

// inode is a file of inode 7.
func inode(path string, c contents, item uint64) Entry {
	e := regular(path, c, item)
	e.Inode = 7
	return e
}

func directory(path string) Entry { return Entry{Path: path, Type: vfs.TypeDirectory, Mode: 0o700} }

func symlink(path, target string) Entry {
	return Entry{Path: path, Type: vfs.TypeSymlink, Mode: 0o777, Target: target}
}

func TestTreeKeepsTheContractOfReadOnlyFileSystems(t *testing.T) {
	c := contents{"", "content", strings.Repeat("0123456789abcde", 100_000)}
	closed := regular("dir/closed", c, 1)
	closed.Mode, closed.UID, closed.GID = 0o640, 1001, 2000
	tagged := regular("tagged", c, 1)
	tagged.Xattrs = map[string][]byte{"user.tag": []byte("value")}
	entries := []Entry{
		regular("empty", c, 0), regular("made/up/file", c, 1), directory("dir"), regular("dir/large", c, 2), closed, tagged,
		symlink("link", "dir/large"), directory("dir/none"), {Path: "dir/same", LinkTo: "dir/large"},
		{Path: "pipe", Type: vfs.TypeFIFO, Mode: 0o600}, {Path: "sock", Type: vfs.TypeSocket, Mode: 0o600},
		{Path: "disk", Type: vfs.TypeBlock, Mode: 0o660, Rdev: vfs.Rdev{Major: 8, Minor: 1 << 18}},
	}
	want := map[string]vfstest.Entry{
		"empty":        {Mode: 0o644, Mtime: someTime},
		"made":         {Type: vfs.TypeDirectory, Mode: 0o755, Mtime: someTime},
		"made/up/file": {Content: c[1]},
		"dir":          {Type: vfs.TypeDirectory, Mode: 0o700},
		"dir/large":    {Content: c[2]},
		"dir/closed":   {Content: c[1], Mode: 0o640, Owned: true, UID: 1001, GID: 2000},
		"dir/none":     {Type: vfs.TypeDirectory},
		"dir/same":     {SameAs: "dir/large"},
		"tagged":       {Content: c[1]},
		"link":         {Type: vfs.TypeSymlink, Target: "dir/large"},
		"pipe":         {Type: vfs.TypeFIFO},
		"sock":         {Type: vfs.TypeSocket},
		"disk":         {Type: vfs.TypeBlock, Rdev: vfs.Rdev{Major: 8, Minor: 1 << 18}},
	}
	for i := range 1000 {
		entries = append(entries, regular(fmt.Sprintf("many/%d", i), c, 1))
		want[fmt.Sprintf("many/%d", i)] = vfstest.Entry{Content: c[1]}
	}
	vfstest.ReadOnly{
		Open: func(t testing.TB) vfs.FS {
			fs, log := build(t, c, entries...)
			if log != "" {
				t.Errorf("left out: %s", log)
			}
			return fs
		},
		Want: want,
	}.Run(t)
}

// paths lists a tree: directories with a slash, links with their targets and
// files with their content.
func paths(t testing.TB, fs *FS) []string {
	t.Helper()
	var all []string
	var walk func(n vfs.Node, path string)
	walk = func(n vfs.Node, path string) {
		_, err := n.ReadDir(t.Context(), vfs.Root, 0, vfs.AttrNode, func(d *vfs.DirEntry) bool {
			switch p := path + d.Name; d.Type {
			case vfs.TypeDirectory:
				all = append(all, p+"/")
				walk(d.Node, p+"/")
			case vfs.TypeSymlink:
				target, err := d.Node.ReadLink(t.Context(), vfs.Root)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, p+" -> "+target)
			default:
				all = append(all, p+"="+content(t, d.Node))
			}
			return true
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	walk(fs.Root(), "")
	return all
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

func TestNamesOfArchivesBecomeATree(t *testing.T) {
	c := contents{"0", "1"}
	long := strings.Repeat("n", 256)
	for name, test := range map[string]struct {
		entries []Entry
		want    string
		leftOut int
	}{
		"slashes and dots are nothing":             {[]Entry{regular("/a//b/./c", c, 0), regular("./a/d", c, 1)}, "a/ a/b/ a/b/c=0 a/d=1", 0},
		"dot dot is left out":                      {[]Entry{regular("../a", c, 0), regular("a/../b", c, 0), regular("a/..", c, 0), regular("..c", c, 0)}, "..c=0", 3},
		"NUL and long names are left out":          {[]Entry{regular("a\x00b", c, 0), regular("d/"+long, c, 0), regular(long[1:], c, 0)}, long[1:] + "=0", 2},
		"long paths are left out":                  {[]Entry{regular(strings.Repeat("a/", 1<<15)+"b", c, 0)}, "", 1},
		"the last of a path stays":                 {[]Entry{regular("a", c, 0), regular("a", c, 1), symlink("b", "x"), regular("b", c, 0)}, "a=1 b=0", 0},
		"a directory beats a file before it":       {[]Entry{regular("a", c, 0), regular("a/b", c, 1)}, "a/ a/b=1", 1},
		"a directory beats a file after it":        {[]Entry{regular("a/b", c, 1), regular("a", c, 0)}, "a/ a/b=1", 1},
		"a directory beats a link to elsewhere":    {[]Entry{symlink("a", "/etc"), regular("a/b", c, 1)}, "a/ a/b=1", 1},
		"a directory is no file by a slash":        {[]Entry{directory("a/"), regular("a/b/", c, 0)}, "a/ a/b=0", 0},
		"a root that is a file stays a directory":  {[]Entry{regular("./", c, 0), regular("", c, 0)}, "", 2},
		"hard links are the same file":             {[]Entry{regular("a", c, 0), {Path: "b", LinkTo: "./a"}, regular("a", c, 1)}, "a=1 b=0", 0},
		"hard links to what is not there":          {[]Entry{{Path: "b", LinkTo: "a"}, regular("a", c, 0), {Path: "c", LinkTo: "../a"}}, "a=0", 2},
		"hard links to directories":                {[]Entry{directory("a"), {Path: "b", LinkTo: "a"}, {Path: "c", LinkTo: "/"}}, "a/", 2},
		"hard links in the place of directories":   {[]Entry{regular("d/a", c, 0), {Path: "d", LinkTo: "d/a"}}, "d/ d/a=0", 1},
		"a hard link to itself":                    {[]Entry{regular("a", c, 0), {Path: "a", LinkTo: "a"}}, "a=0", 0},
		"entries of one inode are the same file":   {[]Entry{inode("../a", c, 0), inode("b", c, 0), inode("c", c, 1), inode("d/../e", c, 1), regular("b", c, 1)}, "b=1 c=0", 2},
		"an inode in the place of a directory":     {[]Entry{inode("d/a", c, 0), inode("d", c, 1), inode("d/b", c, 1)}, "d/ d/a=0 d/b=0", 1},
		"hard links do not follow symbolic links":  {[]Entry{regular("d/a", c, 0), symlink("s", "d"), {Path: "b", LinkTo: "s/a"}}, "d/ d/a=0 s -> d", 1},
		"symbolic links that cannot be":            {[]Entry{symlink("a", ""), symlink("b", "x\x00"), symlink("c", strings.Repeat("t", 4096))}, "", 3},
		"symbolic links that lead out stay":        {[]Entry{symlink("a", "../../etc/passwd")}, "a -> ../../etc/passwd", 0},
		"what is of no kind":                       {[]Entry{{Path: "a"}}, "", 1},
		"files beyond what an offset can reach":    {[]Entry{{Path: "a", Type: vfs.TypeRegular, Size: 1 << 63}}, "", 1},
		"names that differ by case or are invalid": {[]Entry{regular("A", c, 0), regular("a", c, 1), regular("\xff", c, 0)}, "A=0 a=1 \xff=0", 0},
	} {
		t.Run(name, func(t *testing.T) {
			fs, log := build(t, c, test.entries...)
			if got := strings.Join(paths(t, fs), " "); got != test.want {
				t.Errorf("got %.300q, want %.300q", got, test.want)
			}
			if want := fmt.Sprintf(`"left_out":%d,`, test.leftOut); test.leftOut > 0 && !strings.Contains(log, want) || test.leftOut == 0 && log != "" {
				t.Errorf("%d are to be left out, but the log is %q", test.leftOut, log)
			}
		})
	}
}

func TestADirectoryTakesTheAttributesOfItsLastEntry(t *testing.T) {
	c := contents{"x"}
	root := directory("./")
	root.Mode = 0o711
	again := directory("d")
	again.Mode, again.UID = 0o2755, 9
	fs, _ := build(t, c, regular("d/f", c, 0), directory("d"), again, root)
	d, err := fs.Root().Lookup(t.Context(), vfs.Root, "d")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := d.GetAttr(t.Context(), vfs.AttrAll)
	r, _ := fs.Root().GetAttr(t.Context(), vfs.AttrAll)
	if a.Mode != 0o2755 || a.UID != 9 || r.Mode != 0o711 {
		t.Errorf("d has mode %o of %d, the root %o", a.Mode, a.UID, r.Mode)
	}
}

func TestTreesAreBounded(t *testing.T) {
	b := NewBuilder(Options{MaxNodes: 10})
	if err := b.Add(Entry{Path: "1/2/3/4/5/6/7/8/9/10", Type: vfs.TypeRegular}); vfs.ErrnoOf(err) != vfs.EFBIG {
		t.Errorf("11 nodes of 10: %v", err)
	}
	b = NewBuilder(Options{MaxNodes: 10})
	if err := b.Add(Entry{Path: "a", Type: vfs.TypeRegular}); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; i < 20 && err == nil; i++ {
		err = b.Add(Entry{Path: fmt.Sprint("link", i), LinkTo: "a"})
	}
	if vfs.ErrnoOf(err) != vfs.EFBIG {
		t.Errorf("20 names of 10: %v", err)
	}
}

func TestHandlesOfAnotherSourceAreStale(t *testing.T) {
	c := contents{"0"}
	fs, _ := build(t, c, regular("a", c, 0), regular("a", c, 0))
	a, err := fs.Root().Lookup(t.Context(), vfs.Root, "a")
	if err != nil {
		t.Fatal(err)
	}
	for what, test := range map[string]struct {
		change func(h []byte) []byte
		want   vfs.Errno
	}{
		"the same":             {func(h []byte) []byte { return h }, 0},
		"another source":       {func(h []byte) []byte { h[0]++; return h }, vfs.ESTALE},
		"a number too high":    {func(h []byte) []byte { h[len(h)-1] = 9; return h }, vfs.ESTALE},
		"what was replaced":    {func(h []byte) []byte { h[len(h)-1] = 1; return h }, vfs.ESTALE},
		"a length too short":   {func(h []byte) []byte { return h[1:] }, vfs.EBADHANDLE},
		"nothing":              {func([]byte) []byte { return nil }, vfs.EBADHANDLE},
		"more than one handle": {func(h []byte) []byte { return append(h, h...) }, vfs.EBADHANDLE},
	} {
		if _, err := fs.Resolve(t.Context(), test.change(a.Handle())); vfs.ErrnoOf(err) != test.want {
			t.Errorf("%s: %v, want %v", what, err, test.want)
		}
	}
}

func TestExtendedAttributesAreForThoseWhoMayReadThem(t *testing.T) {
	c := contents{"x"}
	e := regular("f", c, 0)
	e.Mode = 0o600
	e.Xattrs = map[string][]byte{
		"user.a": []byte("1"), "trusted.b": []byte("2"), "security.c": nil, "system.d": []byte("4"), "nospace": nil, "user.": nil,
		"user.large": make([]byte, vfs.MaxXattr+1),
	}
	fs, _ := build(t, c, e)
	if !fs.Caps().Xattrs {
		t.Error("says it has none")
	}
	n, _ := fs.Root().Lookup(t.Context(), vfs.Root, "f")
	x := n.(vfs.Xattrer)
	other := &vfs.Cred{UID: 5, GID: 5}
	for _, test := range []struct {
		who   *vfs.Cred
		names []string
		name  string
		value string
		err   vfs.Errno
	}{
		{vfs.Root, []string{"security.c", "trusted.b", "user.a"}, "user.a", "1", 0},
		{vfs.Root, []string{"security.c", "trusted.b", "user.a"}, "trusted.b", "2", 0},
		{vfs.Root, []string{"security.c", "trusted.b", "user.a"}, "system.d", "", vfs.ENODATA},
		{other, []string{"security.c", "user.a"}, "user.a", "", vfs.EACCES},
		{other, []string{"security.c", "user.a"}, "trusted.b", "", vfs.ENODATA},
		{other, []string{"security.c", "user.a"}, "security.c", "", 0},
	} {
		names, err := x.ListXattr(t.Context(), test.who)
		if err != nil || !slices.Equal(names, test.names) {
			t.Errorf("user %d lists %q, %v", test.who.UID, names, err)
		}
		value, err := x.GetXattr(t.Context(), test.who, test.name)
		if string(value) != test.value || vfs.ErrnoOf(err) != test.err {
			t.Errorf("user %d gets %q of %s, %v", test.who.UID, value, test.name, err)
		}
	}
}

func TestModesGiveNobodyWhatAnAccessListDenies(t *testing.T) {
	list := func(entries ...byte) []byte { return append([]byte{2, 0, 0, 0}, entries...) }
	user := []byte{1, 0, 6, 0, 255, 255, 255, 255}
	group := func(perm byte) []byte { return []byte{4, 0, perm, 0, 255, 255, 255, 255} }
	named := func(perm byte) []byte { return []byte{2, 0, perm, 0, 9, 0, 0, 0} }
	mask := []byte{0x10, 0, 6, 0, 255, 255, 255, 255}
	other := []byte{0x20, 0, 4, 0, 255, 255, 255, 255}
	for what, test := range map[string]struct {
		acl  []byte
		want uint32
	}{
		"group has less than the mask": {list(slices.Concat(user, group(4), named(6), mask, other)...), 0o644},
		"somebody is kept out":         {list(slices.Concat(user, group(6), named(0), mask, other)...), 0o600},
		"nothing but classes":          {list(slices.Concat(user, group(6), other)...), 0o664},
		"cut short":                    {list(user[:5]...), 0o600},
		"nothing at all":               {nil, 0o600},
	} {
		if got := RestrictMode(0o664, test.acl, false); got != test.want {
			t.Errorf("%s: %o, want %o", what, got, test.want)
		}
	}
	short := list(1, 0, 6, 0, 2, 0, 4, 0, 9, 0, 0, 0, 4, 0, 6, 0, 0x10, 0, 6, 0, 0x20, 0, 4, 0)
	if got := RestrictMode(0o664, short, true); got != 0o644 {
		t.Errorf("as ext4 has it: %o", got)
	}
}

// What a builder is fed comes from archives, so nothing may be able to break
// what it makes: each path is there once, each node has a parent, and names are
// such that a guest can use.
func FuzzBuilder(f *testing.F) {
	f.Add([]byte("0a/b\n1a\n2l:a/b\n3h:a/b\n0../x\n1/\n0a\x00\n3a:a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := contents{"0", "1"}
		b := NewBuilder(Options{Log: zerolog.Nop(), MaxNodes: 1000})
		for line := range bytes.Lines(data) {
			path, target, _ := strings.Cut(string(line[1:]), ":")
			e := Entry{Path: strings.TrimSuffix(path, "\n"), Mode: 0o644, Type: vfs.TypeRegular, Size: 1}
			target = strings.TrimSuffix(target, "\n")
			switch line[0] & 3 {
			case 1:
				e.Type = vfs.TypeDirectory
			case 2:
				e.Type, e.Target = vfs.TypeSymlink, target
			case 3:
				e.LinkTo = target
			}
			if err := b.Add(e); err != nil {
				return
			}
		}
		fs, err := b.Build(c, Fingerprint{})
		if err != nil {
			t.Fatal(err)
		}
		paths(t, fs)
		checkNodes(t, fs)
	})
}

func checkNodes(t *testing.T, fs *FS) {
	t.Helper()
	links := make([]uint32, len(fs.nodes))
	for _, l := range fs.links {
		if err := vfs.CheckName(string(fs.name(l))); err != nil {
			t.Errorf("%q: %v", fs.name(l), err)
		}
		links[l.node]++
	}
	for i, r := range fs.nodes {
		switch {
		case r.typ == vfs.TypeDirectory && i != rootNode && (links[i] != 1 || r.parent >= uint32(i)):
			t.Errorf("directory %d has %d names and is in %d", i, links[i], r.parent)
		case r.typ == vfs.TypeDirectory:
			in := fs.links[r.rest : r.rest+r.size]
			if !slices.IsSortedFunc(in, func(a, b link) int { return bytes.Compare(fs.name(a), fs.name(b)) }) {
				t.Errorf("directory %d is not in order", i)
			}
			for j := range in[:max(0, len(in)-1)] {
				if bytes.Equal(fs.name(in[j]), fs.name(in[j+1])) {
					t.Errorf("directory %d has %q twice", i, fs.name(in[j]))
				}
			}
		case r.typ != vfs.TypeDirectory && r.nlink != links[i]:
			t.Errorf("file %d has %d names and %d links", i, links[i], r.nlink)
		}
	}
}
