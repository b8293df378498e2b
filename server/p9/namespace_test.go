package p9

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func (c *client) mkdir(dir uint32, name string) {
	c.t.Helper()
	c.must(tmkdir, dir, name, uint32(0o755), uint32(0))
}

// list reads a directory with replies of at most count bytes.
func (c *client) list(path string, count uint32) (names []string) {
	c.t.Helper()
	f := c.open(path, oDirectory)
	defer c.clunk(f)
	var offset uint64
	for {
		entries := c.readdir(f, offset, count)
		if len(entries) == 0 {
			return names
		}
		for _, e := range entries {
			names = append(names, e.name)
			offset = e.offset
		}
	}
}

type entry struct {
	qid    qid
	offset uint64
	typ    uint8
	name   string
}

func (c *client) readdir(f uint32, offset uint64, count uint32) (entries []entry) {
	c.t.Helper()
	d := c.must(treaddir, f, offset, count)
	data := decoder{buf: d.data()}
	if len(data.buf) > int(count) || len(d.buf) != 0 {
		c.t.Fatalf("%d bytes of entries, %d were asked for", len(data.buf), count)
	}
	for len(data.buf) > 0 {
		entries = append(entries, entry{data.qid(), data.uint64(), data.uint8(), string(data.bytes())})
	}
	if data.bad {
		c.t.Fatal("an entry is cut off")
	}
	return entries
}

func TestReaddirGoesOnFromEveryEntry(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	want := []string{".", ".."}
	for i := range 50 {
		name := fmt.Sprintf("file%02d", i)
		c.clunk(c.create(name, oRdWr, 0o644))
		want = append(want, name)
	}
	for _, count := range []uint32{64, 100, 4096, maxMsize} {
		got := c.list("", count)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("with %d bytes: %v", count, got)
		}
	}
	f := c.open("", 0)
	all := c.readdir(f, 0, maxMsize)
	for i, e := range all {
		if rest := c.readdir(f, e.offset, maxMsize); !slices.Equal(rest, all[i+1:]) {
			t.Errorf("behind %q come %v, want %v", e.name, rest, all[i+1:])
		}
	}
	c.mustFail(vfs.EINVAL, treaddir, f, uint64(0), uint32(readdirEntry))
	c.mustFail(vfs.EINVAL, treaddir, c.walk(""), uint64(0), uint32(4096))
}

func TestReaddirTellsTypesAndNumbers(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.mkdir(0, "dir")
	c.clunk(c.create("file", oRdWr, 0o644))
	c.must(tsymlink, uint32(0), "link", "file", uint32(0))
	types := map[string]uint8{".": 4, "..": 4, "dir": 4, "file": 8, "link": 10}
	f := c.open("", 0)
	for _, e := range c.readdir(f, 0, 4096) {
		path := e.name
		if path == "." || path == ".." {
			path = ""
		}
		if want := c.getattr(c.walk(path)).qid; e.qid.path != want.path || e.qid.typ != want.typ {
			t.Errorf("%s has qid %+v, want %+v", e.name, e.qid, want)
		}
		if e.typ != types[e.name] {
			t.Errorf("%s has type %d, want %d", e.name, e.typ, types[e.name])
		}
	}
}

func TestCreate(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("f", oRdWr, 0o600)
	c.write(f, 0, "content")
	c.mustFail(vfs.EEXIST, tlcreate, c.walk(""), "f", uint32(oRdWr|oExcl), uint32(0o644), uint32(0))

	again := c.create("f", oRdWr, 0o644)
	if got := c.read(again, 0, 100); got != "content" {
		t.Errorf("without O_EXCL %q was read from the file that is there", got)
	}
	if s := c.getattr(again); s.mode != 0o100600 {
		t.Errorf("its mode is %o now", s.mode)
	}
	trunc := c.create("f", oRdWr|oTrunc, 0o644)
	if s := c.getattr(trunc); s.size != 0 {
		t.Errorf("O_TRUNC left %d bytes", s.size)
	}
	c.mkdir(0, "d")
	c.mustFail(vfs.EISDIR, tlcreate, c.walk(""), "d", uint32(oRdWr), uint32(0o644), uint32(0))
	c.mustFail(vfs.EINVAL, tlcreate, f, "g", uint32(oRdWr), uint32(0o644), uint32(0))
	c.mustFail(vfs.ENOTDIR, tlcreate, c.walk("f"), "g", uint32(oRdWr), uint32(0o644), uint32(0))
	for _, name := range []string{"", "..", "a/b", "a\x00"} {
		c.mustFail(vfs.EINVAL, tlcreate, c.walk(""), name, uint32(oRdWr), uint32(0o644), uint32(0))
	}
}

func TestNodesOfEveryKindAreMade(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.mkdir(0, "d")
	c.mustFail(vfs.EEXIST, tmkdir, uint32(0), "d", uint32(0o755), uint32(0))
	c.must(tsymlink, uint32(0), "link", "to/nowhere", uint32(0))
	d := c.must(treadlink, c.walk("link"))
	if got := string(d.bytes()); got != "to/nowhere" {
		t.Errorf("link points to %q", got)
	}
	c.mustFail(vfs.EINVAL, treadlink, c.walk("d"))
	c.mustFail(vfs.ENAMETOOLONG, tsymlink, uint32(0), "long", strings.Repeat("x", 4096), uint32(0))
	c.mustFail(vfs.ENOENT, tsymlink, uint32(0), "none", "", uint32(0))
	for name, mode := range map[string]uint32{
		"char": 0o020600, "block": 0o060640, "fifo": 0o010644, "socket": 0o140755, "regular": 0o100644,
	} {
		c.must(tmknod, uint32(0), name, mode, uint32(8), uint32(300), uint32(0))
		s := c.getattr(c.walk(name))
		if s.mode != mode {
			t.Errorf("%s has mode %o, want %o", name, s.mode, mode)
		}
		if rdev := uint64(300&0xff | 8<<8 | 300&^0xff<<12); (name == "char" || name == "block") && s.rdev != rdev {
			t.Errorf("%s is device %#x, want %#x", name, s.rdev, rdev)
		}
	}
	c.mustFail(vfs.EINVAL, tmknod, uint32(0), "dir", uint32(0o040755), uint32(0), uint32(0), uint32(0))
	c.must(tlink, uint32(0), c.walk("regular"), "second")
	if s := c.getattr(c.walk("second")); s.nlink != 2 {
		t.Errorf("%d links, want 2", s.nlink)
	}
	c.mustFail(vfs.EEXIST, tlink, uint32(0), c.walk("regular"), "second")
}

func TestRenameAndRemove(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.mkdir(0, "a")
	c.mkdir(0, "b")
	c.write(c.create("f", oRdWr, 0o644), 0, "f")
	a, b := c.walk("a"), c.walk("b")

	c.must(trenameat, uint32(0), "f", a, "g")
	moved := c.walk("a/g")
	c.must(trename, moved, b, "h")
	c.must(trename, moved, b, "i") // the fid knows its new name
	if _, err := c.tryWalk("b/i"); err != nil {
		t.Errorf("b/i: %v", err)
	}
	stale := c.walk("b/i")
	c.must(trenameat, b, "i", b, "j")
	c.mustFail(vfs.ENOENT, trename, stale, b, "k")
	c.mustFail(vfs.EBUSY, trename, uint32(0), b, "root")
	c.mustFail(vfs.EINVAL, trenameat, b, "j", b, "x/y")

	c.mustFail(vfs.ENOTEMPTY, tunlinkat, uint32(0), "b", uint32(atRemoveDir))
	c.mustFail(vfs.EISDIR, tunlinkat, uint32(0), "b", uint32(0))
	c.mustFail(vfs.ENOTDIR, tunlinkat, b, "j", uint32(atRemoveDir))
	c.mustFail(vfs.EINVAL, tunlinkat, b, "j", uint32(1))
	busy := c.walk("b")
	c.mustFail(vfs.ENOTEMPTY, tremove, busy)
	c.mustFail(syscall.EBADF, tclunk, busy) // clunked all the same
	c.must(tremove, c.walk("b/j"))
	c.must(tunlinkat, uint32(0), "b", uint32(atRemoveDir))
	c.must(tremove, c.walk("a"))
	if got := c.list("", 4096); len(got) != 2 {
		t.Errorf("%v is left", got)
	}
}

func TestFilesThatAreOpenOutliveTheirNames(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	c.write(f, 0, "0123456789")
	c.must(tunlinkat, uint32(0), "f", uint32(0))
	c.must(tsetattr, f, uint32(setattrSize), uint32(0), uint32(0), uint32(0), uint64(5),
		uint64(0), uint64(0), uint64(0), uint64(0))
	if s := c.getattr(f); s.nlink != 0 || s.size != 5 {
		t.Errorf("%d links and %d bytes", s.nlink, s.size)
	}
	c.write(f, 5, "more")
	if got := c.read(f, 0, 100); got != "01234more" {
		t.Errorf("read %q", got)
	}
	c.must(tfsync, f, uint32(0))
	c.clunk(f)
}

func TestNothingChangesOnReadOnlyExports(t *testing.T) {
	b := serving(t, ",ro")
	root := b.exp.FS.Root()
	_, f, _, err := root.Create(t.Context(), vfs.Root, "f", &vfs.SetAttr{}, vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	c := b.attached(t, 0)
	file := c.walk("f")
	for _, tt := range []struct {
		typ    msgType
		fields []any
	}{
		{tlopen, []any{file, uint32(oRdWr)}},
		{tlopen, []any{file, uint32(oTrunc)}},
		{tlcreate, []any{c.walk(""), "g", uint32(oRdWr), uint32(0), uint32(0)}},
		{tmkdir, []any{uint32(0), "d", uint32(0), uint32(0)}},
		{tsymlink, []any{uint32(0), "l", "x", uint32(0)}},
		{tmknod, []any{uint32(0), "n", uint32(0), uint32(0), uint32(0), uint32(0)}},
		{tlink, []any{uint32(0), file, "g"}},
		{trename, []any{file, uint32(0), "g"}},
		{trenameat, []any{uint32(0), "f", uint32(0), "g"}},
		{tunlinkat, []any{uint32(0), "f", uint32(0)}},
		{tremove, []any{c.walk("f")}},
		{txattrcreate, []any{file, "user.x", uint64(1), uint32(0)}},
		{tsetattr, append([]any{file, uint32(setattrMode)}, make([]byte, 12+8+32))},
	} {
		c.mustFail(vfs.EROFS, tt.typ, tt.fields...)
	}
	c.must(tlcreate, c.walk(""), "f", uint32(0), uint32(0), uint32(0)) // is there: opens it
}
