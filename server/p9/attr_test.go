package p9

import (
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// setattr sends a Tsetattr of the attributes in valid.
func (c *client) setattr(f, valid, mode, uid, gid uint32, size uint64, atime, mtime vfs.Timespec) error {
	c.t.Helper()
	_, err := c.call(tsetattr, f, valid, mode, uid, gid, size,
		uint64(atime.Sec), uint64(atime.Nsec), uint64(mtime.Sec), uint64(mtime.Nsec))
	return err
}

func TestSetattr(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	var zero vfs.Timespec
	at, mt := vfs.Timespec{Sec: 5, Nsec: 6}, vfs.Timespec{Sec: -7, Nsec: 8}
	valid := uint32(setattrMode | setattrUID | setattrGID | setattrSize | setattrAtime | setattrAtimeSet | setattrMtime | setattrMtimeSet | setattrCtime)
	if err := c.setattr(f, valid, 0o100600, 11, 22, 33, at, mt); err != nil {
		t.Fatal(err)
	}
	s := c.getattr(f)
	if s.mode != 0o100600 || s.uid != 11 || s.gid != 22 || s.size != 33 || s.atimeNS != at || s.mtime != mt {
		t.Errorf("attributes are %+v", s)
	}
	if err := c.setattr(f, setattrMtime, 0, 0, 0, 0, zero, zero); err != nil {
		t.Fatal(err)
	}
	if now := c.getattr(f); now.mtime.Sec < 1_000_000_000 || now.atimeNS != at {
		t.Errorf("mtime is %v, want now, and atime %v, want %v", now.mtime, now.atimeNS, at)
	}
	for name, err := range map[string]error{
		"size of 2^63":          c.setattr(f, setattrSize, 0, 0, 0, 1<<63, zero, zero),
		"nanoseconds of 1e9":    c.setattr(f, setattrMtime|setattrMtimeSet, 0, 0, 0, 0, zero, vfs.Timespec{Nsec: 1e9}),
		"an unknown attribute":  c.setattr(f, 0x200, 0, 0, 0, 0, zero, zero),
		"size of a directory":   c.setattr(c.walk(""), setattrSize, 0, 0, 0, 0, zero, zero),
		"fid that is not there": c.setattr(9999, setattrMode, 0, 0, 0, 0, zero, zero),
	} {
		if err != vfs.EINVAL && err != vfs.EISDIR && err != syscall.EBADF {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestGetattrSaysWhatIsValid(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	s := c.getattr(0)
	if want := getattrBasic | getattrDataVersion; s.valid&want != want {
		t.Errorf("valid is %#x", s.valid)
	}
	before := s.change
	c.mkdir(0, "d")
	if s = c.getattr(0); s.change == before {
		t.Error("data_version stays when the directory changes")
	}
	d := c.must(tgetattr, uint32(0), uint64(getattrBasic))
	if valid := getattrMask(d.uint64()); valid != getattrBasic {
		t.Errorf("valid is %#x where %#x was asked for", valid, getattrBasic)
	}
}

func TestStatfs(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	d := c.must(tstatfs, uint32(0))
	typ, bsize, blocks := d.uint32(), d.uint32(), d.uint64()
	d.take(4 * 8)
	fsid, namelen := d.uint64(), d.uint32()
	if typ != v9fsMagic || bsize == 0 || blocks == 0 || fsid != 1 || namelen != vfs.MaxName || d.bad || len(d.buf) != 0 {
		t.Errorf("type %#x, %d blocks of %d, fsid %d, names of %d", typ, blocks, bsize, fsid, namelen)
	}
}

func TestCallersAreSquashedAsTheExportSays(t *testing.T) {
	for _, tt := range []struct {
		options            string
		claim, owner       uint32
		claimGroup, groups uint32
	}{
		{"", 0, 0, 0, 0},
		{"", 1000, 1000, 50, 50},
		{",squash=root", 0, export.Nobody, 0, export.Nobody},
		{",squash=root", 1000, 1000, 0, export.Nobody},
		{",squash=all,anonuid=7,anongid=8", 1000, 7, 50, 8},
	} {
		b := serving(t, tt.options)
		set := &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o777}
		if err := b.exp.FS.Root().SetAttr(t.Context(), vfs.Root, set); err != nil {
			t.Fatal(err)
		}
		c := b.attached(t, tt.claim)
		f := c.walk("")
		c.must(tlcreate, f, "f", uint32(oRdWr), uint32(0o644), tt.claimGroup)
		if s := c.getattr(f); s.uid != tt.owner || s.gid != tt.groups {
			t.Errorf("%s: %d in group %d makes a file of %d in %d, want %d in %d",
				tt.options, tt.claim, tt.claimGroup, s.uid, s.gid, tt.owner, tt.groups)
		}
	}
}

func TestUsersMayWhatTheModeSays(t *testing.T) {
	b := serving(t, "")
	root, user := b.attached(t, 0), b.attached(t, 1000)
	if err := root.setattr(0, setattrMode, 0o755, 0, 0, 0, vfs.Timespec{}, vfs.Timespec{}); err != nil {
		t.Fatal(err)
	}
	root.clunk(root.create("secret", oRdWr, 0o600))
	root.clunk(root.create("program", oRdWr, 0o711))
	user.mustFail(vfs.EACCES, tlopen, user.walk("secret"), uint32(0))
	user.mustFail(vfs.EACCES, tlopen, user.walk("program"), uint32(oRdWr))
	user.open("program", 0) // to run it
	user.mustFail(vfs.EACCES, tlcreate, user.walk(""), "f", uint32(oRdWr), uint32(0o644), uint32(1000))
}

func TestXattrs(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	f := c.create("f", oRdWr, 0o644)
	set := func(name, value string, flags uint32) error {
		x := c.walk("f")
		if _, err := c.call(txattrcreate, x, name, uint64(len(value)), flags); err != nil {
			return err
		}
		if value != "" {
			half := len(value) / 2
			c.write(x, 0, value[:half])
			c.write(x, uint64(half), value[half:])
		}
		_, err := c.call(tclunk, x)
		return err
	}
	get := func(name string) (string, error) {
		c.next++
		d, err := c.call(txattrwalk, f, c.next, name)
		if err != nil {
			return "", err
		}
		size := d.uint64()
		value := c.read(c.next, 0, maxMsize)
		if uint64(len(value)) != size {
			t.Errorf("%s has %d bytes, %d were announced", name, len(value), size)
		}
		c.clunk(c.next)
		return value, nil
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(set("user.a", "value", 0))
	must(set("user.empty", "", 0))
	must(set("user.long", strings.Repeat("x", vfs.MaxXattr), uint32(vfs.XattrCreate)))
	if v, err := get("user.a"); v != "value" || err != nil {
		t.Errorf("user.a is %q, %v", v, err)
	}
	if v, err := get("user.empty"); v != "" || err != nil {
		t.Errorf("user.empty is %q, %v", v, err)
	}
	names, err := get("")
	must(err)
	for _, want := range []string{"user.a\x00", "user.empty\x00", "user.long\x00"} {
		if !strings.Contains(names, want) {
			t.Errorf("the list %q lacks %q", names, want)
		}
	}
	must(set("user.a", "", uint32(vfs.XattrReplace))) // as the Linux client removes one
	if _, err := get("user.a"); err != vfs.ENODATA {
		t.Errorf("user.a after its removal: %v", err)
	}
	for name, tt := range map[string]struct{ err, want error }{
		"create what exists":      {set("user.long", "x", uint32(vfs.XattrCreate)), vfs.EEXIST},
		"replace what does not":   {set("user.none", "x", uint32(vfs.XattrReplace)), vfs.ENODATA},
		"a value too long":        {set("user.x", strings.Repeat("x", vfs.MaxXattr+1), 0), vfs.E2BIG},
		"a name too long":         {set("user."+strings.Repeat("x", 255), "x", 0), vfs.ERANGE},
		"flags that do not exist": {set("user.x", "x", 4), vfs.EINVAL},
		"no name":                 {set("", "x", 0), vfs.EINVAL},
		"NUL in the name":         {set("user.\x00", "x", 0), vfs.EINVAL},
	} {
		if tt.err != tt.want {
			t.Errorf("%s: %v, want %v", name, tt.err, tt.want)
		}
	}
}

func TestXattrThatWasNotWrittenWholeIsNotSet(t *testing.T) {
	c := serving(t, "").attached(t, 0)
	c.clunk(c.create("f", oRdWr, 0o644))
	x := c.walk("f")
	c.must(txattrcreate, x, "user.a", uint64(10), uint32(0))
	c.write(x, 0, "12345")
	c.mustFail(vfs.EINVAL, twrite, x, uint64(7), uint32(1), []byte("x"))
	c.mustFail(vfs.ENOSPC, twrite, x, uint64(5), uint32(6), []byte("678901"))
	c.mustFail(vfs.EINVAL, tread, x, uint64(0), uint32(1))
	c.mustFail(vfs.EINVAL, tclunk, x)
	c.mustFail(syscall.EBADF, tclunk, x)
	c.mustFail(vfs.ENODATA, txattrwalk, c.walk("f"), uint32(50), "user.a")
}

func TestXattrMemoryIsBounded(t *testing.T) {
	b := serving(t, "", func(c *Config) { c.MaxXattrBytes = 2 * vfs.MaxXattr })
	c := b.attached(t, 0)
	c.clunk(c.create("f", oRdWr, 0o644))
	create := func() (uint32, error) {
		x := c.walk("f")
		_, err := c.call(txattrcreate, x, "user.a", uint64(vfs.MaxXattr), uint32(0))
		return x, err
	}
	first, err := create()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := create(); err != nil {
		t.Fatal(err)
	}
	if _, err := create(); err != syscall.ENOBUFS {
		t.Errorf("the third is refused with %v", err)
	}
	c.call(tclunk, first)
	if _, err := create(); err != nil {
		t.Errorf("after a clunk: %v", err)
	}
}
