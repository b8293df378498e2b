package vfstest

import (
	"bytes"
	"context"
	"slices"

	"github.com/fsva/fsva/vfs"
)

// env is a file system under check. Its methods fail the check where the file
// system does not do what is asked, so that checks read as what they claim.
// They are for the goroutine of the check alone.
type env struct {
	TB
	access
	ctx  context.Context
	fs   vfs.FS
	root vfs.Node
}

// Who makes calls. A file system that acts as one user does not mind.
var (
	root  = vfs.Root
	alice = &vfs.Cred{UID: 1001, GID: 1001, Client: "vfstest"}
	bob   = &vfs.Cred{UID: 1002, GID: 1002, Groups: []uint32{2000}, Client: "vfstest"}
)

const readWrite = vfs.OpenRead | vfs.OpenWrite

func (e *env) closeFS() {
	if e.fs == nil {
		return
	}
	if err := e.fs.Close(); err != nil {
		e.Errorf("Close: %v", err)
	}
}

// restart goes through a restart of the appliance. Nodes of before are void.
func (e *env) restart() {
	e.fs = e.reopen(e.fs)
	e.root = e.fs.Root()
}

// ok ends the check if err is one.
func (e *env) ok(err error) {
	e.Helper()
	if err != nil {
		e.Fatalf("unexpected error: %v", err)
	}
}

// fails wants one of some errors.
func (e *env) fails(err error, want ...vfs.Errno) {
	e.Helper()
	if got := vfs.ErrnoOf(err); !slices.Contains(want, got) {
		e.Errorf("got %v, want %v", err, want)
	}
}

func mode(m uint32) *vfs.SetAttr { return &vfs.SetAttr{Set: vfs.SetMode, Mode: m} }

// create makes an empty file that anybody may read.
func (e *env) create(dir vfs.Node, name string) vfs.Node {
	e.Helper()
	n, f := e.createOpen(dir, name)
	e.ok(f.Close())
	return n
}

// createOpen makes a file and leaves it open for reading and writing.
func (e *env) createOpen(dir vfs.Node, name string) (vfs.Node, vfs.File) {
	e.Helper()
	n, f, _, err := dir.Create(e.ctx, root, name, mode(0o644), readWrite)
	if err != nil {
		e.Fatalf("Create %q: %v", name, err)
	}
	return n, f
}

// file makes a file with content.
func (e *env) file(dir vfs.Node, name, content string) vfs.Node {
	e.Helper()
	n, f := e.createOpen(dir, name)
	e.write(f, 0, content)
	e.ok(f.Close())
	return n
}

func (e *env) mkdir(dir vfs.Node, name string) vfs.Node {
	e.Helper()
	n, _, err := dir.Mkdir(e.ctx, root, name, mode(0o755))
	if err != nil {
		e.Fatalf("Mkdir %q: %v", name, err)
	}
	return n
}

func (e *env) remove(dir vfs.Node, name string) {
	e.Helper()
	if _, err := dir.Remove(e.ctx, root, name, false); err != nil {
		e.Fatalf("Remove %q: %v", name, err)
	}
}

func (e *env) rmdir(dir vfs.Node, name string) {
	e.Helper()
	if _, err := dir.Remove(e.ctx, root, name, true); err != nil {
		e.Fatalf("Remove directory %q: %v", name, err)
	}
}

func (e *env) rename(dir vfs.Node, name string, newDir vfs.Node, newName string) {
	e.Helper()
	if _, _, err := dir.Rename(e.ctx, root, name, newDir, newName, 0); err != nil {
		e.Fatalf("Rename %q to %q: %v", name, newName, err)
	}
}

func (e *env) lookup(dir vfs.Node, name string) vfs.Node {
	e.Helper()
	n, err := dir.Lookup(e.ctx, root, name)
	if err != nil {
		e.Fatalf("Lookup %q: %v", name, err)
	}
	return n
}

// gone wants that dir has no such name.
func (e *env) gone(dir vfs.Node, name string) {
	e.Helper()
	_, err := dir.Lookup(e.ctx, root, name)
	e.fails(err, vfs.ENOENT)
}

func (e *env) attr(n vfs.Node) vfs.Attr {
	e.Helper()
	a, err := n.GetAttr(e.ctx, vfs.AttrAll)
	if err != nil {
		e.Fatalf("GetAttr: %v", err)
	}
	if want := vfs.AttrStat | vfs.AttrChange; a.Valid&want != want {
		e.Fatalf("GetAttr gave attributes %#x of %#x", a.Valid, want)
	}
	return a
}

func (e *env) setAttr(n vfs.Node, set vfs.SetAttr) {
	e.Helper()
	if err := n.SetAttr(e.ctx, root, &set); err != nil {
		e.Fatalf("SetAttr %#x: %v", set.Set, err)
	}
}

func (e *env) truncate(n vfs.Node, size uint64) {
	e.Helper()
	e.setAttr(n, vfs.SetAttr{Set: vfs.SetSize, Size: size})
}

func (e *env) open(n vfs.Node, how vfs.OpenFlags) vfs.File {
	e.Helper()
	f, err := n.Open(e.ctx, root, how)
	if err != nil {
		e.Fatalf("Open: %v", err)
	}
	return f
}

func (e *env) write(f vfs.File, off int64, content string) {
	e.Helper()
	n, _, err := f.WriteAt(e.ctx, []byte(content), off, vfs.Unstable)
	if err != nil || n != len(content) {
		e.Fatalf("WriteAt %d: %d of %d bytes, %v", off, n, len(content), err)
	}
}

// reads wants what is in the file from off, up to its end or that long.
func (e *env) reads(f vfs.File, off int64, want string) {
	e.Helper()
	p := make([]byte, len(want)+1)
	n, err := f.ReadAt(e.ctx, p, off)
	if err != nil {
		e.Fatalf("ReadAt %d: %v", off, err)
	}
	if !bytes.HasPrefix(p[:n], []byte(want)) {
		e.Errorf("ReadAt %d: got %.60q, want %.60q", off, p[:min(n, len(want))], want)
	}
}

// holds wants that a file has this content and no more.
func (e *env) holds(n vfs.Node, want string) {
	e.Helper()
	f := e.open(n, vfs.OpenRead)
	p := make([]byte, len(want)+1)
	got, err := f.ReadAt(e.ctx, p, 0)
	if err != nil || string(p[:got]) != want {
		e.Errorf("the file holds %d bytes %.60q, %v; want %d bytes %.60q", got, p[:got], err, len(want), want)
	}
	e.ok(f.Close())
	if size := e.attr(n).Size; size != uint64(len(want)) {
		e.Errorf("size %d, want %d", size, len(want))
	}
}

// list returns the names in a directory, in its order.
func (e *env) list(dir vfs.Node) []string {
	e.Helper()
	var names []string
	eof, err := dir.ReadDir(e.ctx, root, 0, 0, func(d *vfs.DirEntry) bool {
		names = append(names, d.Name)
		return true
	})
	if err != nil || !eof {
		e.Fatalf("ReadDir: eof %v, %v", eof, err)
	}
	return names
}

// lists wants that a directory has these names.
func (e *env) lists(dir vfs.Node, want ...string) {
	e.Helper()
	got := e.list(dir)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		e.Errorf("the directory lists %q, want %q", got, want)
	}
}

func same(a, b vfs.Node) bool { return bytes.Equal(a.Handle(), b.Handle()) }
