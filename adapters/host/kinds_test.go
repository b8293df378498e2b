package host

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

func TestReadOnlyMount(t *testing.T) {
	dir := mountTmpfs(t, "1m")
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	fs := serve(t, dir, Options{})
	if !fs.Caps().ReadOnly {
		t.Error("Caps do not say so")
	}
	n := must[vfs.Node](t)(fs.Root().Lookup(ctx, user, "file"))
	for _, cred := range []*vfs.Cred{vfs.Root, user} {
		_, err := n.Open(ctx, cred, vfs.OpenWrite)
		wantErr(t, "open for writing", err, vfs.EROFS)
		wantErr(t, "truncate", n.SetAttr(ctx, cred, &vfs.SetAttr{Set: vfs.SetSize}), vfs.EROFS)
		got := must[vfs.Access](t)(n.Access(ctx, cred, vfs.AccessRead|vfs.AccessModify))
		if got != vfs.AccessRead {
			t.Errorf("access %#x", got)
		}
		f := must[vfs.File](t)(n.Open(ctx, cred, vfs.OpenRead))
		if read(t, f) != "x" {
			t.Error("cannot read")
		}
		f.Close()
	}
	_, _, err := fs.Root().Mkdir(ctx, vfs.Root, "d", nil)
	wantErr(t, "mkdir", err, vfs.EROFS)
}

func TestAccessControlListsCount(t *testing.T) {
	dir := mountTmpfs(t, "1m")
	fs := serve(t, dir, Options{})
	n, f := create(t, fs.Root(), "file")
	f.Close()
	// acl(5) as struct posix_acl_xattr_header and entries: tag, rights, id.
	acl := binary.LittleEndian.AppendUint32(nil, 2)
	const none = ^uint32(0)
	for _, e := range []struct {
		tag, rights uint16
		id          uint32
	}{{1, 6, none}, {2, 4, 1000}, {4, 0, none}, {16, 4, none}, {32, 0, none}} {
		acl = binary.LittleEndian.AppendUint16(acl, e.tag)
		acl = binary.LittleEndian.AppendUint16(acl, e.rights)
		acl = binary.LittleEndian.AppendUint32(acl, e.id)
	}
	if err := unix.Setxattr(filepath.Join(dir, "file"), "system.posix_acl_access", acl, 0); err != nil {
		t.Skipf("tmpfs has no ACLs on this machine: %v", err)
	}
	const want = vfs.AccessRead | vfs.AccessModify
	if got := must[vfs.Access](t)(n.Access(ctx, user, want)); got != vfs.AccessRead {
		t.Errorf("the user of the list: access %#x", got)
	}
	if got := must[vfs.Access](t)(n.Access(ctx, &vfs.Cred{UID: 1001, GID: 1000}, want)); got != 0 {
		t.Errorf("another: access %#x", got)
	}
	g := must[vfs.File](t)(n.Open(ctx, user, vfs.OpenRead))
	g.Close()
}

func TestSubvolumesHaveFileIDsOfTheirOwn(t *testing.T) {
	dir := mountLoop(t, "btrfs")
	if out, err := exec.Command("btrfs", "subvolume", "create", filepath.Join(dir, "sub")).CombinedOutput(); err != nil {
		t.Skipf("cannot make a subvolume: %v\n%s", err, out)
	}
	fs := serve(t, dir, Options{})
	sub := must[vfs.Node](t)(fs.Root().Lookup(ctx, vfs.Root, "sub"))
	a := must[vfs.Attr](t)(fs.Root().GetAttr(ctx, vfs.AttrStat))
	b := must[vfs.Attr](t)(sub.GetAttr(ctx, vfs.AttrStat))
	if a.FileID == b.FileID {
		t.Errorf("both are %d", a.FileID)
	}
	n, f := create(t, sub, "file")
	defer f.Close()
	for _, dir := range []vfs.Node{fs.Root(), sub} {
		_, err := dir.ReadDir(ctx, vfs.Root, 0, vfs.AttrType|vfs.AttrFileID, func(e *vfs.DirEntry) bool {
			child := must[vfs.Node](t)(dir.Lookup(ctx, vfs.Root, e.Name))
			if a := must[vfs.Attr](t)(child.GetAttr(ctx, vfs.AttrStat)); e.FileID != a.FileID || e.Attr.FileID != a.FileID {
				t.Errorf("%s is listed as %d, GetAttr says %d", e.Name, e.FileID, a.FileID)
			}
			return true
		})
		if err != nil {
			t.Error(err)
		}
	}
	again := must[vfs.Node](t)(fs.Resolve(ctx, n.Handle()))
	if _, err := again.GetAttr(ctx, vfs.AttrAll); err != nil {
		t.Error(err)
	}
	if p := must[vfs.Node](t)(sub.Parent(ctx, vfs.Root)); string(p.Handle()) != string(fs.Root().Handle()) {
		t.Error("the parent of the subvolume is not the root")
	}
}

func TestSyncedMetadataChanges(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.SyncMetadata = true
		fs := serve(t, dir, opts)
		root := fs.Root()
		d, _, err := root.Mkdir(ctx, vfs.Root, "dir", &vfs.SetAttr{Set: vfs.SetMode | vfs.SetMtime, Mode: 0o2755})
		if err != nil {
			t.Fatal(err)
		}
		link, _, err := d.Symlink(ctx, vfs.Root, "link", "x", &vfs.SetAttr{Set: vfs.SetMtime, Mtime: vfs.Timespec{Sec: 5}})
		if err != nil {
			t.Fatal(err)
		}
		if a := must[vfs.Attr](t)(link.GetAttr(ctx, vfs.AttrTimes)); a.Mtime.Sec != 5 {
			t.Errorf("times of the link: %v", a.Mtime)
		}
		if _, _, err := d.Rename(ctx, vfs.Root, "link", root, "link", 0); err != nil {
			t.Fatal(err)
		}
		wantErr(t, "chmod", d.SetAttr(ctx, vfs.Root, mode(0o700)), 0)
		if _, err := root.Remove(ctx, vfs.Root, "dir", true); err != nil {
			t.Fatal(err)
		}
	})
}

func TestFailedCreationLeavesNothing(t *testing.T) {
	_, fs := shared(t)
	root := fs.Root()
	give := &vfs.SetAttr{Set: vfs.SetMode | vfs.SetUID, Mode: 0o644, UID: 1001}
	_, _, _, err := root.Create(ctx, user, "file", give, vfs.OpenWrite)
	wantErr(t, "create for somebody else", err, vfs.EPERM)
	_, _, err = root.Mkdir(ctx, user, "dir", give)
	wantErr(t, "mkdir for somebody else", err, vfs.EPERM)
	_, _, err = root.Symlink(ctx, user, "link", "x", give)
	wantErr(t, "symlink for somebody else", err, vfs.EPERM)
	eof, err := root.ReadDir(ctx, user, 0, 0, func(e *vfs.DirEntry) bool {
		t.Errorf("%s is left", e.Name)
		return true
	})
	if !eof || err != nil {
		t.Error(eof, err)
	}
}
