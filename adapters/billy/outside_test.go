package billy_test

import (
	"slices"
	"testing"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
)

// What others do to the file system while the adapter has it.

func TestARemovalByOthersIsStale(t *testing.T) {
	under := newPlain()
	fs := started(t, under, billy.Options{})
	n := file(t, fs.Root(), "file", "x")
	check(t, under.Remove("file"))
	_, err := n.GetAttr(ctx, vfs.AttrAll)
	fails(t, err, vfs.ESTALE)
	put(t, under, "file", "another")
	if same(lookup(t, fs.Root(), "file"), n) {
		t.Error("a new file has the handle of the old one")
	}
	_, err = fs.Resolve(ctx, n.Handle())
	fails(t, err, vfs.ESTALE)
}

func TestFilesOfOthersAreListedAndFound(t *testing.T) {
	under := newPlain()
	fs := started(t, under, billy.Options{Owner: billy.Owner{UID: 7, GID: 8, Mask: 0o022}})
	file(t, fs.Root(), "ours", "")
	put(t, under, "theirs", "content")
	check(t, under.Remove("ours"))
	put(t, under, ".fsva-removed", "none of anybody's business")
	if got := names(t, fs.Root()); !slices.Equal(got, []string{"theirs"}) {
		t.Errorf("listed are %q", got)
	}
	n := lookup(t, fs.Root(), "theirs")
	holds(t, n, "content")
	if a := attr(t, n); a.UID != 7 || a.GID != 8 || a.Mode != 0o644 || a.Nlink != 1 {
		t.Errorf("the file is %+v", a)
	}
}

func TestAWriteByOthersMovesTheChangeAttribute(t *testing.T) {
	under := newPlain()
	fs := started(t, under, billy.Options{})
	n := file(t, fs.Root(), "file", "x")
	before := attr(t, n)
	put(t, under, "file", "longer")
	after := attr(t, n)
	if after.Change <= before.Change || after.Size != 6 {
		t.Errorf("%+v became %+v", before, after)
	}
	if attr(t, n).Change != after.Change {
		t.Error("looking moves it again")
	}
}

// A file system that tells numbers of its own needs no help to know a file
// again.
func TestARenameByOthersKeepsTheHandleWhereThereAreNumbers(t *testing.T) {
	memory := mem.New(mem.Options{})
	fs := started(t, billy.FromVFS(memory, vfs.Root), billy.Options{})
	n := file(t, fs.Root(), "file", "x")
	a := attr(t, n)
	_, _, err := memory.Root().Rename(ctx, vfs.Root, "file", memory.Root(), "moved", 0)
	check(t, err)
	moved := lookup(t, fs.Root(), "moved")
	if !same(moved, n) || attr(t, moved).FileID != a.FileID {
		t.Error("the file became another")
	}
	holds(t, resolve(t, fs, n.Handle()), "x")

	_, err = lookup(t, memory.Root(), "moved").(vfs.Linker).Link(ctx, vfs.Root, memory.Root(), "link")
	check(t, err)
	if !same(lookup(t, fs.Root(), "link"), n) || attr(t, n).Nlink != 2 {
		t.Errorf("the second name is of another file, or has %d links", attr(t, n).Nlink)
	}
	if got := names(t, fs.Root()); len(got) != 2 {
		t.Errorf("listed are %q", got)
	}
}

func TestTheHiddenDirectoryIsNoName(t *testing.T) {
	const name = ".fsva-removed"
	fs := started(t, newPlain(), billy.Options{})
	_, f := create(t, fs.Root(), "file", "x") // so that there is such a directory
	_, err := fs.Root().Remove(ctx, vfs.Root, "file", false)
	check(t, err)
	if got := names(t, fs.Root()); len(got) != 0 {
		t.Errorf("listed are %q", got)
	}
	_, err = fs.Root().Lookup(ctx, vfs.Root, name)
	fails(t, err, vfs.ENOENT)
	_, _, err = fs.Root().Mkdir(ctx, vfs.Root, name, nil)
	fails(t, err, vfs.EPERM)
	file(t, fs.Root(), "other", "")
	_, _, err = fs.Root().Rename(ctx, vfs.Root, "other", fs.Root(), name, 0)
	fails(t, err, vfs.EPERM)
	_, err = fs.Root().Remove(ctx, vfs.Root, name, true)
	fails(t, err, vfs.ENOENT)
	mkdir(t, mkdir(t, fs.Root(), "dir"), name) // it is special in the root only
	check(t, f.Close())
}
