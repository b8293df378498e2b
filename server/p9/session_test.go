package p9

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func fdConn(t testing.TB, fd int) net.Conn {
	t.Helper()
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestVersion(t *testing.T) {
	b := serving(t, "")
	for _, tt := range []struct {
		offered, want string
		msize, got    uint32
	}{
		{dialect, dialect, 8192, 8192},
		{dialect, dialect, 1 << 30, maxMsize},
		{"9P2000.L.Google.7", dialect, 65536, 65536},
		{"9P2000.u", "unknown", 65536, 65536},
		{"9P2000", "unknown", 65536, 65536},
		{"", "unknown", 65536, 65536},
	} {
		c := b.connect(t)
		d := c.must(tversion, tt.msize, tt.offered)
		if msize, v := d.uint32(), string(d.bytes()); msize != tt.got || v != tt.want {
			t.Errorf("offered %d %q: got %d %q, want %d %q", tt.msize, tt.offered, msize, v, tt.got, tt.want)
		}
		c.nc.Close()
	}
	c := b.connect(t)
	c.mustFail(syscall.EMSGSIZE, tversion, uint32(4095), dialect)
	c.mustFail(vfs.EINVAL, tattach, uint32(0), uint32(noFID), "", "data", uint32(0))
}

func TestAttachFindsExportsByName(t *testing.T) {
	b := serving(t, "")
	c := b.connect(t)
	c.hello(8192)
	for i, aname := range []string{"data", "/data", "", "/"} {
		d := c.must(tattach, uint32(i), uint32(noFID), "root", aname, uint32(0))
		if q := d.qid(); q.typ != qidDir {
			t.Errorf("aname %q is no directory: %+v", aname, q)
		}
	}
	c.mustFail(vfs.ENOENT, tattach, uint32(9), uint32(noFID), "", "other", uint32(0))
	c.mustFail(vfs.ENOENT, tattach, uint32(9), uint32(noFID), "", "//data", uint32(0))
	c.mustFail(syscall.EBADF, tattach, uint32(9), uint32(1), "", "data", uint32(0))
	c.mustFail(syscall.EBADF, tattach, uint32(0), uint32(noFID), "", "data", uint32(0))
	c.mustFail(syscall.EBADF, tattach, uint32(noFID), uint32(noFID), "", "data", uint32(0))
	c.mustFail(vfs.EOPNOTSUPP, tauth, uint32(9), "root", "data", uint32(0))
}

func TestVersionTakesAllFIDsAway(t *testing.T) {
	b := serving(t, "")
	c := b.attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	c.hello(maxMsize)
	c.mustFail(syscall.EBADF, tgetattr, f, uint64(getattrBasic))
	if n := len(b.locks.Snapshot()); n != 0 {
		t.Errorf("%d shares are left", n)
	}
}

func TestFilesAreReadAndWritten(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("file", oRdWr, 0o640)
	c.write(f, 0, "hello")
	c.write(f, 5, ", world")
	if got := c.read(f, 0, 100); got != "hello, world" {
		t.Errorf("read %q", got)
	}
	if got := c.read(f, 7, 3); got != "wor" {
		t.Errorf("read %q", got)
	}
	if got := c.read(f, 100, 10); got != "" {
		t.Errorf("read %q behind the end", got)
	}
	s := c.getattr(f)
	if s.mode != 0o100640 || s.size != 12 || s.nlink != 1 || s.qid.typ != qidFile {
		t.Errorf("attributes are %+v", s)
	}
	c.write(f, 0, "H")
	if now := c.getattr(f); now.qid.version == s.qid.version || now.qid.path != s.qid.path {
		t.Errorf("qid was %+v and is %+v after a write", s.qid, now.qid)
	}
	c.clunk(f)
	c.mustFail(syscall.EBADF, tread, f, uint64(0), uint32(1))
	big := strings.Repeat("x", 300_000)
	f = c.open("file", oRdWr|oTrunc)
	c.write(f, 0, big)
	if got := c.read(f, 0, maxMsize); got != big {
		t.Errorf("read %d bytes of %d", len(got), len(big))
	}
	c.must(tfsync, f, uint32(1))
	c.must(tfsync, f)
}

func TestReadAndWriteNeedTheAccessThatTheFileWasOpenedFor(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.clunk(c.create("file", oRdWr, 0o644))
	r, w := c.open("file", 0), c.open("file", oWrOnly)
	c.mustFail(syscall.EBADF, twrite, r, uint64(0), uint32(1), []byte("x"))
	c.mustFail(syscall.EBADF, tread, w, uint64(0), uint32(1))
	c.mustFail(vfs.EINVAL, tread, c.walk("file"), uint64(0), uint32(1))
	c.mustFail(vfs.EISDIR, tread, c.open("", 0), uint64(0), uint32(1))
}

func TestAppendingWritesGoToTheEnd(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.write(c.create("log", oRdWr, 0o644), 0, "one ")
	a, b := c.open("log", oWrOnly|oAppend), c.open("log", oWrOnly|oAppend)
	c.write(a, 0, "two ")
	c.write(b, 0, "three")
	if got := c.read(c.open("log", 0), 0, 100); got != "one two three" {
		t.Errorf("read %q", got)
	}
}

// So writes a client with a write-back cache, which opens files for reading too.
func TestPagesOfAnAppendingClientGoWhereItSays(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("log", oRdWr|oAppend, 0o644)
	c.write(f, 0, "one ")
	c.write(f, 0, "one two")
	if got := c.read(f, 0, 100); got != "one two" {
		t.Errorf("read %q", got)
	}
}

func TestWalk(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.must(tmkdir, uint32(0), "a", uint32(0o755), uint32(0))
	a := c.walk("a")
	c.must(tmkdir, a, "b", uint32(0o755), uint32(0))
	b := c.walk("a/b")
	c.clunk(c.create("file", oRdWr, 0o644))
	root := c.getattr(0).qid.path

	if got := c.getattr(c.walk("a/b/../..")).qid.path; got != root {
		t.Errorf("a/b/../.. is %d, want the root, %d", got, root)
	}
	if got := c.getattr(c.walk("../..")).qid.path; got != root {
		t.Errorf("above the root is %d, want the root, %d", got, root)
	}
	c.mustFail(vfs.ENOENT, twalk, uint32(0), uint32(50), uint16(1), "none")
	c.mustFail(vfs.ENOTDIR, twalk, c.walk("file"), uint32(50), uint16(1), "x")
	c.mustFail(syscall.EBADF, twalk, uint32(0), b, uint16(0))
	c.mustFail(syscall.EBADF, twalk, uint32(77), uint32(50), uint16(0))
	c.mustFail(vfs.EINVAL, twalk, uint32(0), uint32(50), uint16(17))
	for _, name := range []string{"", ".", "x/y", "x\x00y"} {
		c.mustFail(vfs.EINVAL, twalk, uint32(0), uint32(50), uint16(1), name)
	}
	c.mustFail(vfs.ENAMETOOLONG, twalk, uint32(0), uint32(50), uint16(1), strings.Repeat("n", 256))

	// The second name is not found: one qid, and no fid.
	d := c.must(twalk, uint32(0), uint32(50), uint16(2), "a", "none")
	if n := d.uint16(); n != 1 || len(d.buf) != qidSize {
		t.Errorf("%d qids in %d bytes, want 1", n, len(d.buf))
	}
	c.mustFail(syscall.EBADF, tclunk, uint32(50))

	// In place.
	c.must(twalk, a, a, uint16(1), "b")
	if got, want := c.getattr(a).qid.path, c.getattr(b).qid.path; got != want {
		t.Errorf("fid is %d after it walked, want %d", got, want)
	}
	open := c.open("a", 0)
	c.mustFail(vfs.EINVAL, twalk, open, open, uint16(1), "b")
	c.must(twalk, open, uint32(60), uint16(1), "b")
}
