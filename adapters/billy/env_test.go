package billy_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	gobilly "github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

var ctx = context.Background()

var alice = &vfs.Cred{UID: 1001, GID: 1001, Client: "test"}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// started is open for a test that ends with the file system open.
func started(t *testing.T, under gobilly.Filesystem, opt billy.Options) vfs.FS {
	t.Helper()
	fs := open(t, under, opt)
	t.Cleanup(func() { check(t, fs.Close()) })
	return fs
}

// killed opens under again with what a kill at this moment leaves in the state
// directory.
func killed(t *testing.T, under gobilly.Filesystem, state string) vfs.FS {
	t.Helper()
	return started(t, under, billy.Options{State: copied(t, state)})
}

// copied returns a copy of a state directory.
func copied(t *testing.T, state string) string {
	t.Helper()
	left := t.TempDir()
	b, err := os.ReadFile(filepath.Join(state, "state.db"))
	check(t, err)
	check(t, os.WriteFile(filepath.Join(left, "state.db"), b, 0o600))
	return left
}

// create makes a file of alice's with content and leaves it open.
func create(t *testing.T, dir vfs.Node, name, content string) (vfs.Node, vfs.File) {
	t.Helper()
	n, f, _, err := dir.Create(ctx, vfs.Root, name, &vfs.SetAttr{
		Set: vfs.SetMode | vfs.SetUID | vfs.SetGID, Mode: 0o640, UID: alice.UID, GID: alice.GID}, vfs.OpenRead|vfs.OpenWrite)
	check(t, err)
	_, _, err = f.WriteAt(ctx, []byte(content), 0, vfs.Unstable)
	check(t, err)
	return n, f
}

// file is create without leaving it open.
func file(t *testing.T, dir vfs.Node, name, content string) vfs.Node {
	t.Helper()
	n, f := create(t, dir, name, content)
	check(t, f.Close())
	return n
}

func mkdir(t *testing.T, dir vfs.Node, name string) vfs.Node {
	t.Helper()
	n, _, err := dir.Mkdir(ctx, vfs.Root, name, &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o755})
	check(t, err)
	return n
}

func lookup(t *testing.T, dir vfs.Node, name string) vfs.Node {
	t.Helper()
	n, err := dir.Lookup(ctx, vfs.Root, name)
	check(t, err)
	return n
}

func resolve(t *testing.T, fs vfs.FS, handle []byte) vfs.Node {
	t.Helper()
	n, err := fs.Resolve(ctx, handle)
	check(t, err)
	return n
}

func attr(t *testing.T, n vfs.Node) vfs.Attr {
	t.Helper()
	a, err := n.GetAttr(ctx, vfs.AttrAll)
	check(t, err)
	return a
}

func reads(t *testing.T, f vfs.File, want string) {
	t.Helper()
	p := make([]byte, len(want)+1)
	n, err := f.ReadAt(ctx, p, 0)
	if err != nil || string(p[:n]) != want {
		t.Errorf("the file holds %q, %v; want %q", p[:n], err, want)
	}
}

func holds(t *testing.T, n vfs.Node, want string) {
	t.Helper()
	f, err := n.Open(ctx, vfs.Root, vfs.OpenRead)
	check(t, err)
	reads(t, f, want)
	check(t, f.Close())
}

func same(a, b vfs.Node) bool { return bytes.Equal(a.Handle(), b.Handle()) }

func fails(t *testing.T, err error, want vfs.Errno) {
	t.Helper()
	if vfs.ErrnoOf(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

func names(t *testing.T, dir vfs.Node) (names []string) {
	t.Helper()
	_, err := dir.ReadDir(ctx, vfs.Root, 0, 0, func(d *vfs.DirEntry) bool {
		names = append(names, d.Name)
		return true
	})
	check(t, err)
	return names
}

// put writes a file past the adapter.
func put(t *testing.T, under gobilly.Filesystem, name, content string) {
	t.Helper()
	f, err := under.Create(name)
	check(t, err)
	_, err = f.Write([]byte(content))
	check(t, err)
	check(t, f.Close())
}
