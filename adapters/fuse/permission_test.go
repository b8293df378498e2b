package fusefs_test

import (
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// club lets only its member open files, whatever their mode, and says nothing
// about writing.
type club struct {
	fuse.RawFileSystem
	member uint32
}

func (c club) Open(cancel <-chan struct{}, in *fuse.OpenIn, out *fuse.OpenOut) fuse.Status {
	if in.Uid != c.member {
		return fuse.EACCES
	}
	return c.RawFileSystem.Open(cancel, in, out)
}

func (c club) Access(_ <-chan struct{}, in *fuse.AccessIn) fuse.Status {
	switch {
	case in.Mask == fuse.W_OK:
		return fuse.ENOSYS
	case in.Uid != c.member:
		return fuse.EACCES
	}
	return fuse.OK
}

func TestWhoMayWhatIsTheFileSystemsToSayIfItWantsTo(t *testing.T) {
	alice, bob := &vfs.Cred{UID: 1001, GID: 1001}, &vfs.Cred{UID: 1002, GID: 1002}
	for _, own := range []bool{false, true} {
		opt := memOptions
		opt.OwnPermissions = own
		f, err := fusefs.New(club{fs.NewNodeFS(memRoot(), &fs.Options{NullPermissions: true}), 1001}, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		n, file, _, err := f.Root().Create(t.Context(), vfs.Root, "file", &vfs.SetAttr{Set: vfs.SetMode, Mode: 0}, vfs.OpenWrite)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		for _, c := range []struct {
			cred *vfs.Cred
			open vfs.Errno
			may  vfs.Access
		}{{alice, 0, vfs.AccessRead | vfs.AccessModify}, {bob, vfs.EACCES, vfs.AccessModify}} {
			if !own { // nobody may anything, by the mode
				c.open, c.may = vfs.EACCES, 0
			}
			opened, err := n.Open(t.Context(), c.cred, vfs.OpenRead)
			if vfs.ErrnoOf(err) != c.open {
				t.Errorf("own %v, user %d: %v, want %v", own, c.cred.UID, err, c.open)
			}
			if opened != nil {
				opened.Close()
			}
			may, err := n.Access(t.Context(), c.cred, vfs.AccessRead|vfs.AccessModify)
			if may != c.may || err != nil {
				t.Errorf("own %v, user %d may %x, want %x: %v", own, c.cred.UID, may, c.may, err)
			}
		}
	}
}

// judging returns a tree in memory that is said to judge permissions itself, and
// lets everybody do everything, with what wrap puts before it.
func judging(t *testing.T, wrap func(fuse.RawFileSystem) fuse.RawFileSystem) vfs.Node {
	t.Helper()
	opt := memOptions
	opt.OwnPermissions = true
	raw := fs.NewNodeFS(memRoot(), &fs.Options{NullPermissions: true})
	if wrap != nil {
		raw = wrap(raw)
	}
	f, err := fusefs.New(raw, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f.Root()
}

func attrOf(t *testing.T, n vfs.Node) vfs.Attr {
	t.Helper()
	a, err := n.GetAttr(t.Context(), vfs.AttrAll)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestNobodyMakesFilesOfOthersThoughTheFileSystemJudges(t *testing.T) {
	top, alice := judging(t, nil), &vfs.Cred{UID: 1001, GID: 1001}
	for _, set := range []vfs.SetAttr{
		{Set: vfs.SetUID | vfs.SetMode, UID: 0, Mode: 0o4755},
		{Set: vfs.SetGID | vfs.SetMode, GID: 0, Mode: 0o2755},
	} {
		if _, _, _, err := top.Create(t.Context(), alice, "file", &set, vfs.OpenWrite); vfs.ErrnoOf(err) != vfs.EPERM {
			t.Errorf("%+v: %v, want EPERM", set, err)
		}
		if _, _, err := top.Mkdir(t.Context(), alice, "dir", &set); vfs.ErrnoOf(err) != vfs.EPERM {
			t.Errorf("%+v: %v, want EPERM", set, err)
		}
	}
	staff, _, err := top.Mkdir(t.Context(), vfs.Root, "staff", &vfs.SetAttr{Set: vfs.SetGID | vfs.SetMode, GID: 50, Mode: 0o2777})
	if err != nil {
		t.Fatal(err)
	}
	n, file, _, err := staff.Create(t.Context(), alice, "file", &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o2755}, vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if a := attrOf(t, n); a.Mode != 0o755 {
		t.Errorf("mode %o of a file in another group's directory", a.Mode)
	}
}

// landlord gives what is made to user 500 alone, and notes who changes attributes.
// The times of a new file are set as root, since a guest's verifier of an exclusive
// create may be in them.
type landlord struct {
	fuse.RawFileSystem
	changers []uint32
}

func (l *landlord) Create(cancel <-chan struct{}, in *fuse.CreateIn, name string, out *fuse.CreateOut) fuse.Status {
	in.Uid, in.Gid, in.Mode = 500, 500, in.Mode&^0o077
	return l.RawFileSystem.Create(cancel, in, name, out)
}

func (l *landlord) SetAttr(cancel <-chan struct{}, in *fuse.SetAttrIn, out *fuse.AttrOut) fuse.Status {
	l.changers = append(l.changers, in.Caller.Uid)
	return l.RawFileSystem.SetAttr(cancel, in, out)
}

func TestAFileSystemThatJudgesDecidesOnWhatIsMade(t *testing.T) {
	var l *landlord
	top := judging(t, func(raw fuse.RawFileSystem) fuse.RawFileSystem {
		l = &landlord{RawFileSystem: raw}
		return l
	})
	alice := &vfs.Cred{UID: 1001, GID: 1001}
	for _, c := range []struct {
		name     string
		cred     *vfs.Cred
		set      vfs.SetAttr
		uid      uint32
		mode     uint32
		changers []uint32
	}{
		{"mode", alice, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o666}, 500, 0o600, nil},
		{"set-id", alice, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o6755}, 500, 0o700, []uint32{0}},
		{"time", alice, vfs.SetAttr{Set: vfs.SetMode | vfs.SetMtime, Mode: 0o666}, 500, 0o600, []uint32{0}},
		{"own", alice, vfs.SetAttr{Set: vfs.SetMode | vfs.SetUID, Mode: 0o4777, UID: 1001}, 1001, 0o4700, []uint32{1001}},
		{"other's", vfs.Root, vfs.SetAttr{Set: vfs.SetMode | vfs.SetUID, Mode: 0o4777, UID: 1001}, 1001, 0o4700, []uint32{0}},
	} {
		l.changers = nil
		n, file, _, err := top.Create(t.Context(), c.cred, c.name, &c.set, vfs.OpenWrite)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		file.Close()
		if a := attrOf(t, n); a.UID != c.uid || a.GID != 500 || a.Mode != c.mode || !slices.Equal(l.changers, c.changers) {
			t.Errorf("%s: owner %d:%d, mode %o, attributes changed by %d", c.name, a.UID, a.GID, a.Mode, l.changers)
		}
	}
}

func TestSetIDBitsGoWithAChangeOfTheDataThoughTheFileSystemJudges(t *testing.T) {
	top, alice := judging(t, nil), &vfs.Cred{UID: 1001, GID: 1001}
	n, file, _, err := top.Create(t.Context(), vfs.Root, "file", nil, vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	for _, c := range []struct {
		who  *vfs.Cred
		mode uint32
	}{{vfs.Root, 0o6777}, {alice, 0o777}} {
		for name, change := range map[string]func() error{
			"write": func() error {
				opened, err := n.Open(t.Context(), c.who, vfs.OpenWrite)
				if err != nil {
					return err
				}
				defer opened.Close()
				_, _, err = opened.WriteAt(t.Context(), []byte("text"), 0, vfs.Unstable)
				return err
			},
			"truncate": func() error { return n.SetAttr(t.Context(), c.who, &vfs.SetAttr{Set: vfs.SetSize}) },
		} {
			if err := n.SetAttr(t.Context(), vfs.Root, &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o6777}); err != nil {
				t.Fatal(err)
			}
			if err := change(); err != nil {
				t.Error(err)
			}
			if a := attrOf(t, n); a.Mode != c.mode {
				t.Errorf("%s as user %d: mode %o, want %o", name, c.who.UID, a.Mode, c.mode)
			}
		}
	}
}
