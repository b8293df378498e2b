package host

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// shared makes a directory of root that everybody may write to.
func shared(t testing.TB) (string, *FS) {
	t.Helper()
	dir := t.TempDir()
	return dir, sharedIn(t, dir)
}

func sharedIn(t testing.TB, dir string) *FS {
	t.Helper()
	needRoot(t, "acting as other users")
	fs := serve(t, dir, Options{Exclusive: true})
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestNewNodesBelongToTheCaller(t *testing.T) {
	_, fs := shared(t)
	root := fs.Root()
	file, f, _, err := root.Create(ctx, user, "file", mode(0o400), vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	write(t, f, "in spite of the mode")
	dir, _, err := root.Mkdir(ctx, user, "dir", mode(0o2755))
	if err != nil {
		t.Fatal(err)
	}
	link, _, err := root.Symlink(ctx, user, "link", "target", mode(0o777))
	if err != nil {
		t.Fatal(err)
	}
	fifo, _, err := root.(vfs.Mknoder).Mknod(ctx, user, "fifo", vfs.TypeFIFO, vfs.Rdev{}, mode(0o666))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		node vfs.Node
		mode uint32
		typ  vfs.FileType
	}{
		"file": {file, 0o400, vfs.TypeRegular},
		"dir":  {dir, 0o2755, vfs.TypeDirectory},
		"link": {link, 0o777, vfs.TypeSymlink},
		"fifo": {fifo, 0o666, vfs.TypeFIFO},
	} {
		a := must[vfs.Attr](t)(c.node.GetAttr(ctx, vfs.AttrStat))
		if a.UID != 1000 || a.GID != 1000 || a.Mode != c.mode || a.Type != c.typ {
			t.Errorf("%s: uid %d gid %d mode %o type %d", name, a.UID, a.GID, a.Mode, a.Type)
		}
	}
	_, err = fifo.Open(ctx, user, vfs.OpenRead)
	wantErr(t, "open a fifo", err, vfs.ENXIO)
	_, err = link.Open(ctx, user, vfs.OpenRead)
	wantErr(t, "open a symbolic link", err, vfs.ELOOP)
	_, err = dir.Open(ctx, user, vfs.OpenRead)
	wantErr(t, "open a directory", err, vfs.EISDIR)
	if target, err := link.ReadLink(ctx, user); err != nil || target != "target" {
		t.Errorf("readlink: %q, %v", target, err)
	}
	_, _, err = root.(vfs.Mknoder).Mknod(ctx, user, "dev", vfs.TypeChar, vfs.Rdev{Major: 1, Minor: 3}, nil)
	wantErr(t, "a device made by a user", err, vfs.EPERM)
	if _, _, err = root.(vfs.Mknoder).Mknod(ctx, vfs.Root, "dev", vfs.TypeChar, vfs.Rdev{Major: 1, Minor: 3}, nil); err != nil {
		t.Errorf("a device made by root: %v", err)
	}
}

func TestCallersAreKeptOutByTheKernel(t *testing.T) {
	dir, fs := shared(t)
	root := fs.Root()
	secret, f := create(t, root, "secret")
	f.Close()
	closed, _, err := root.Mkdir(ctx, vfs.Root, "closed", mode(0o700))
	if err != nil {
		t.Fatal(err)
	}
	_, g := create(t, closed, "inside")
	g.Close()
	if err := secret.SetAttr(ctx, vfs.Root, mode(0o600)); err != nil {
		t.Fatal(err)
	}
	_, err = secret.Open(ctx, user, vfs.OpenRead)
	wantErr(t, "open", err, vfs.EACCES)
	_, err = closed.Lookup(ctx, user, "inside")
	wantErr(t, "lookup", err, vfs.EACCES)
	_, err = closed.ReadDir(ctx, user, 0, vfs.AttrType, func(*vfs.DirEntry) bool { return true })
	wantErr(t, "readdir", err, vfs.EACCES)
	_, _, _, err = closed.Create(ctx, user, "new", nil, vfs.OpenWrite)
	wantErr(t, "create", err, vfs.EACCES)
	_, err = closed.Remove(ctx, user, "inside", false)
	wantErr(t, "remove", err, vfs.EACCES)
	wantErr(t, "chmod", secret.SetAttr(ctx, user, mode(0o666)), vfs.EPERM)
	wantErr(t, "chown", secret.SetAttr(ctx, user, &vfs.SetAttr{Set: vfs.SetUID, UID: 1000}), vfs.EPERM)
	wantErr(t, "truncate", secret.SetAttr(ctx, user, &vfs.SetAttr{Set: vfs.SetSize}), vfs.EACCES)
	wantErr(t, "utimes", secret.SetAttr(ctx, user, &vfs.SetAttr{Set: vfs.SetMtimeNow}), vfs.EACCES)
	wantErr(t, "trusted attribute", secret.(vfs.Xattrer).SetXattr(ctx, user, "trusted.x", []byte("v"), 0), vfs.EPERM)

	wantErr(t, "chmod by root", secret.SetAttr(ctx, vfs.Root, mode(0o602)), 0)
	wantErr(t, "utimes by who may write", secret.SetAttr(ctx, user, &vfs.SetAttr{Set: vfs.SetMtimeNow}), 0)
	wantErr(t, "utimes to a time", secret.SetAttr(ctx, user, &vfs.SetAttr{Set: vfs.SetMtime}), vfs.EPERM)

	// A directory without x can be listed, with attributes, by who may read it.
	if err := os.Chmod(filepath.Join(dir, "closed"), 0o704); err != nil {
		t.Fatal(err)
	}
	var names []string
	_, err = closed.ReadDir(ctx, user, 0, vfs.AttrStat|vfs.AttrNode, func(e *vfs.DirEntry) bool {
		names = append(names, e.Name)
		return e.Err == nil && e.Node != nil
	})
	if err != nil || len(names) != 1 || names[0] != "inside" {
		t.Errorf("readdir without x: %v, %v", names, err)
	}
}

func TestGroupsCount(t *testing.T) {
	dir, fs := shared(t)
	n, f := create(t, fs.Root(), "file")
	f.Close()
	path := filepath.Join(dir, "file")
	if err := os.Chmod(path, 0o060); err != nil {
		t.Fatal(err)
	}
	for gid, allowed := range map[int]bool{1000: true, 2000: true, 3000: false} {
		if err := os.Chown(path, 0, gid); err != nil {
			t.Fatal(err)
		}
		g, err := n.Open(ctx, user, vfs.OpenRead|vfs.OpenWrite)
		if allowed != (err == nil) {
			t.Errorf("group %d: open: %v", gid, err)
		}
		if err == nil {
			g.Close()
		}
		got := must[vfs.Access](t)(n.Access(ctx, user, vfs.AccessRead|vfs.AccessModify|vfs.AccessExecute))
		if want := vfs.AccessRead | vfs.AccessModify; allowed != (got == want) {
			t.Errorf("group %d: access %#x", gid, got)
		}
	}
}

func TestAccessAgreesWithModeBits(t *testing.T) {
	dir, fs := shared(t)
	const all = vfs.Access(0x1ff)
	for _, isDir := range []bool{false, true} {
		name := "file"
		if isDir {
			name = "dir"
			if err := os.Mkdir(filepath.Join(dir, name), 0); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(filepath.Join(dir, name), nil, 0); err != nil {
			t.Fatal(err)
		}
		n := must[vfs.Node](t)(fs.Root().Lookup(ctx, vfs.Root, name))
		for bits := uint32(0); bits < 8; bits++ {
			for _, c := range []struct {
				cred     *vfs.Cred
				uid, gid int
				shift    int
			}{{user, 1000, 0, 6}, {user, 0, 2000, 3}, {user, 0, 0, 0}, {vfs.Root, 1000, 1000, 0}} {
				path := filepath.Join(dir, name)
				if err := os.Chown(path, c.uid, c.gid); err != nil {
					t.Fatal(err)
				}
				if err := os.Chmod(path, os.FileMode(bits<<c.shift)); err != nil {
					t.Fatal(err)
				}
				a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrStat))
				got := must[vfs.Access](t)(n.Access(ctx, c.cred, all))
				if want := vfs.PermitAccess(c.cred, &a, all); got != want {
					t.Errorf("%s %o of %d:%d as %d: got %#x, want %#x", name, a.Mode, c.uid, c.gid, c.cred.UID, got, want)
				}
			}
		}
	}
}

func TestOwnerAndReclaimPassWhateverTheMode(t *testing.T) {
	_, fs := shared(t)
	n, f, _, err := fs.Root().Create(ctx, user, "file", mode(0), vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	write(t, f, "mine")
	f.Close()
	other := &vfs.Cred{UID: 1001, GID: 1001}
	for _, c := range []struct {
		what string
		cred *vfs.Cred
		how  vfs.OpenFlags
		want vfs.Errno
	}{
		{"owner", user, 0, vfs.EACCES},
		{"owner who has it open", user, vfs.OpenOwner, 0},
		{"other who has it open", other, vfs.OpenOwner, vfs.EACCES},
		{"other reclaiming", other, vfs.OpenReclaim, 0},
	} {
		g, err := n.Open(ctx, c.cred, c.how|vfs.OpenRead)
		wantErr(t, c.what, err, c.want)
		if err == nil {
			if got := read(t, g); got != "mine" {
				t.Errorf("%s reads %q", c.what, got)
			}
			g.Close()
		}
	}
}

func TestSizeThroughAnOpenNeedsNoPermission(t *testing.T) {
	_, fs := shared(t)
	n, f, _, err := fs.Root().Create(ctx, user, "file", mode(0), vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size := &vfs.SetAttr{Set: vfs.SetSize, Size: 42}
	wantErr(t, "by name", n.SetAttr(ctx, user, size), vfs.EACCES)
	size.Via = f
	wantErr(t, "through the open", n.SetAttr(ctx, user, size), 0)
	if a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrSize)); a.Size != 42 {
		t.Errorf("size %d", a.Size)
	}
}

func TestWriteBySomebodyElseTakesSetIDAway(t *testing.T) {
	_, fs := shared(t)
	n, f := create(t, fs.Root(), "file")
	f.Close()
	if err := n.SetAttr(ctx, vfs.Root, mode(0o6777)); err != nil {
		t.Fatal(err)
	}
	g := must[vfs.File](t)(n.Open(ctx, user, vfs.OpenWrite))
	defer g.Close()
	write(t, g, "x")
	if a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrMode)); a.Mode != 0o777 {
		t.Errorf("mode %o after the write", a.Mode)
	}
}

// The kernel would let CAP_SYS_RESOURCE use the blocks that are kept for root.
func TestActingForAUserLeavesNoCapability(t *testing.T) {
	_, fs := shared(t)
	err := fs.as(user, func() error {
		var caps [2]unix.CapUserData
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		if err := unix.Capget(&header, &caps[0]); err != nil {
			return err
		}
		if want := uint32(1<<unix.CAP_SETUID | 1<<unix.CAP_SETGID); caps[0].Effective != want || caps[1].Effective != 0 {
			t.Errorf("effective %#x %#x", caps[0].Effective, caps[1].Effective)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestManyCallersAtOnceKeepTheirIdentities(t *testing.T) {
	_, fs := shared(t)
	var wg sync.WaitGroup
	for i := range uint32(8) {
		wg.Go(func() {
			cred := &vfs.Cred{UID: 1000 + i, GID: 2000 + i, Groups: []uint32{3000 + i}}
			if i == 0 {
				cred = vfs.Root
			}
			name := string('a' + rune(i))
			for range 200 {
				n, f, _, err := fs.Root().Create(ctx, cred, name, mode(0o600), vfs.OpenWrite)
				if err != nil {
					t.Error(err)
					return
				}
				f.Close()
				if a, err := n.GetAttr(ctx, vfs.AttrOwner); err != nil || a.UID != cred.UID || a.GID != cred.GID {
					t.Errorf("made by %d:%d, belongs to %d:%d (%v)", cred.UID, cred.GID, a.UID, a.GID, err)
				}
				if _, err := fs.Root().Remove(ctx, cred, name, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestAnIDThatIsNoneIsRefused(t *testing.T) {
	_, fs := shared(t)
	_, err := fs.Root().Lookup(ctx, &vfs.Cred{UID: noID, GID: 1000}, "x")
	wantErr(t, "lookup as -1", err, vfs.EPERM)
}

func TestSetAttrSetsWhatIsNamed(t *testing.T) {
	_, fs := shared(t)
	n, f := create(t, fs.Root(), "file")
	f.Close()
	err := n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{
		Set:  vfs.SetMode | vfs.SetUID | vfs.SetGID | vfs.SetSize | vfs.SetAtime | vfs.SetMtime,
		Mode: 0o4711, UID: 7, GID: 8, Size: 9,
		Atime: vfs.Timespec{Sec: -5, Nsec: 6}, Mtime: vfs.Timespec{Sec: 1 << 32, Nsec: 999_999_999},
	})
	if err != nil {
		t.Fatal(err)
	}
	a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrAll))
	if a.Mode != 0o4711 || a.UID != 7 || a.GID != 8 || a.Size != 9 {
		t.Errorf("attributes %+v", a)
	}
	if a.Atime != (vfs.Timespec{Sec: -5, Nsec: 6}) || a.Mtime != (vfs.Timespec{Sec: 1 << 32, Nsec: 999_999_999}) {
		t.Errorf("times %v %v", a.Atime, a.Mtime)
	}
	if err := n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetAtimeNow}); err != nil {
		t.Fatal(err)
	}
	b := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrTimes))
	if b.Atime.Sec <= 0 || b.Mtime != a.Mtime {
		t.Errorf("times %v %v after setting one to now", b.Atime, b.Mtime)
	}
}
