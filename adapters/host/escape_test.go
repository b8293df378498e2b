package host

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// outside makes <tmp>/export, which is served, and <tmp>/secret beside it.
func outside(t *testing.T) (dir, secret string) {
	t.Helper()
	tmp := t.TempDir()
	dir, secret = filepath.Join(tmp, "export"), filepath.Join(tmp, "secret")
	for _, d := range []string{dir, secret} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(secret, "key"), []byte("key"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, secret
}

func TestNoNameLeadsOut(t *testing.T) {
	dir, secret := outside(t)
	if err := os.Symlink(secret, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	fs := serve(t, dir, Options{})
	root := fs.Root()
	for _, name := range []string{"..", ".", "", "../secret", "/etc/passwd", "link/key", "a\x00b"} {
		_, err := root.Lookup(ctx, vfs.Root, name)
		wantErr(t, "lookup "+name, err, vfs.EINVAL)
		_, _, err = root.Mkdir(ctx, vfs.Root, name, nil)
		wantErr(t, "mkdir "+name, err, vfs.EINVAL)
		_, err = root.Remove(ctx, vfs.Root, name, false)
		wantErr(t, "remove "+name, err, vfs.EINVAL)
		_, _, err = root.Rename(ctx, vfs.Root, "link", root, name, 0)
		wantErr(t, "rename to "+name, err, vfs.EINVAL)
	}
	link := must[vfs.Node](t)(root.Lookup(ctx, vfs.Root, "link"))
	if a := must[vfs.Attr](t)(link.GetAttr(ctx, vfs.AttrType)); a.Type != vfs.TypeSymlink {
		t.Errorf("the link was followed: type %d", a.Type)
	}
	_, err := link.Lookup(ctx, vfs.Root, "key")
	wantErr(t, "lookup in a link", err, vfs.ENOTDIR)
	_, err = link.ReadDir(ctx, vfs.Root, 0, 0, func(*vfs.DirEntry) bool { return true })
	wantErr(t, "list a link", err, vfs.ENOTDIR)
	if err := link.SetAttr(ctx, vfs.Root, mode(0)); err == nil {
		t.Error("chmod of a link succeeded")
	}
	if st, err := os.Stat(secret); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("the target of the link was touched: %v, %v", st.Mode(), err)
	}
	if err := link.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetSize}); err == nil {
		t.Error("truncation of a link succeeded")
	}
	_, _, _, err = root.Create(ctx, vfs.Root, "link", nil, vfs.OpenWrite)
	wantErr(t, "create over a link", err, vfs.EEXIST)
	_, err = root.Parent(ctx, vfs.Root)
	wantErr(t, "parent of the root", err, vfs.ENOENT)
}

func TestDirectoryMovedOutHasNoParent(t *testing.T) {
	dir, secret := outside(t)
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	fs := serve(t, dir, Options{})
	a := must[vfs.Node](t)(fs.Root().Lookup(ctx, vfs.Root, "a"))
	b := must[vfs.Node](t)(a.Lookup(ctx, vfs.Root, "b"))
	if p := must[vfs.Node](t)(b.Parent(ctx, vfs.Root)); string(p.Handle()) != string(a.Handle()) {
		t.Error("the parent is another node")
	}
	if p := must[vfs.Node](t)(a.Parent(ctx, vfs.Root)); string(p.Handle()) != string(fs.Root().Handle()) {
		t.Error("the parent is not the root")
	}
	if err := os.Rename(filepath.Join(dir, "a"), filepath.Join(secret, "a")); err != nil {
		t.Fatal(err)
	}
	_, err := a.Parent(ctx, vfs.Root)
	wantErr(t, "parent", err, vfs.ESTALE)
	_, err = b.Parent(ctx, vfs.Root)
	wantErr(t, "parent of the directory below", err, vfs.ESTALE)
}

// Somebody swaps a directory for a symbolic link to the outside again and
// again: a lookup finds the one or the other and never what the link leads to.
func TestSwappingADirectoryForALinkDoesNotLeadOut(t *testing.T) {
	dir, secret := outside(t)
	d, l := filepath.Join(dir, "d"), filepath.Join(dir, "l")
	if err := os.Mkdir(d, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(secret, l); err != nil {
		t.Fatal(err)
	}
	fs := serve(t, dir, Options{})
	stop, stopped := make(chan struct{}), make(chan struct{})
	defer func() { close(stop); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				unix.Renameat2(unix.AT_FDCWD, d, unix.AT_FDCWD, l, unix.RENAME_EXCHANGE)
			}
		}
	}()
	for range 5000 {
		n, err := fs.Root().Lookup(ctx, vfs.Root, "d")
		if err != nil {
			continue
		}
		if _, err := n.Lookup(ctx, vfs.Root, "key"); err == nil {
			t.Fatal("the lookup followed the link")
		}
	}
}

func TestMountsInsideAreNotPartOfTheExport(t *testing.T) {
	dir := mountTmpfs(t, "1m")
	inner := filepath.Join(dir, "inner")
	if err := os.Mkdir(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	mountTmpfsAt(t, inner)
	fs := serve(t, dir, Options{})
	_, err := fs.Root().Lookup(ctx, vfs.Root, "inner")
	wantErr(t, "lookup", err, vfs.EACCES)
	var entry vfs.DirEntry
	if _, err := fs.Root().ReadDir(ctx, vfs.Root, 0, vfs.AttrStat, func(e *vfs.DirEntry) bool {
		entry = *e
		return true
	}); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "attributes in the listing", entry.Err, vfs.EACCES)
	_, err = fs.Root().Remove(ctx, vfs.Root, "inner", true)
	wantErr(t, "remove", err, vfs.EACCES)
}
