package fusefs_test

import (
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fuse"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
)

// exported is a file system with lasting node ids: 1 is the root, 2 a directory
// in it, 3 a directory there. It keeps account of what was looked up since it was
// started, as the protocol asks.
type exported struct {
	fuse.RawFileSystem
	known map[uint64]int
}

var exportedNames = map[uint64]map[string]uint64{
	1: {"dir": 2, ".": 1},
	2: {"sub": 3, ".": 2, "..": 1},
	3: {".": 3, "..": 2},
}

func (e exported) Lookup(_ <-chan struct{}, in *fuse.InHeader, name string, out *fuse.EntryOut) fuse.Status {
	id := exportedNames[in.NodeId][name]
	if id == 0 {
		return fuse.ENOENT
	}
	if name != "." && e.known[in.NodeId] == 0 && in.NodeId != 1 {
		panic("a node that nobody has looked up")
	}
	e.known[id]++
	out.NodeId, out.Generation = id, 7
	out.Ino, out.Mode = id, syscall.S_IFDIR|0o755
	return fuse.OK
}

func (e exported) Forget(id, n uint64) { e.known[id] -= int(n) }

// ReadDir needs no handle, since there is no OPENDIR.
func (e exported) ReadDir(_ <-chan struct{}, in *fuse.ReadIn, list *fuse.DirEntryList) fuse.Status {
	if in.Offset == 0 {
		for name, id := range exportedNames[in.NodeId] {
			list.AddDirEntry(fuse.DirEntry{Name: name, Ino: id, Mode: syscall.S_IFDIR})
		}
	}
	return fuse.OK
}

func (e exported) GetAttr(_ <-chan struct{}, in *fuse.GetAttrIn, out *fuse.AttrOut) fuse.Status {
	out.Ino, out.Mode = in.NodeId, syscall.S_IFDIR|0o755
	return fuse.OK
}

func startExported(t *testing.T) (*fusefs.FS, exported) {
	t.Helper()
	raw := exported{fuse.NewDefaultRawFileSystem(), map[uint64]int{}}
	f, err := fusefs.New(raw, fusefs.Options{LastingIDs: true})
	if err != nil {
		t.Fatal(err)
	}
	return f, raw
}

// lookedUp returns both directories, and closes the file system.
func lookedUp(t *testing.T, f *fusefs.FS) (dir, sub vfs.Node) {
	t.Helper()
	dir, err := f.Root().Lookup(t.Context(), vfs.Root, "dir")
	if err != nil {
		t.Fatal(err)
	}
	if sub, err = dir.Lookup(t.Context(), vfs.Root, "sub"); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, sub
}

// allForgotten closes the file system.
func allForgotten(t *testing.T, f *fusefs.FS, raw exported) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for id, n := range raw.known {
		if n != 0 && id != 1 {
			t.Errorf("%d lookups of %d were not forgotten", n, id)
		}
	}
}

func TestLastingNodesAreFoundAfterARestart(t *testing.T) {
	f, _ := startExported(t)
	if f.Caps().Volatile {
		t.Error("handles are said not to last")
	}
	dir, sub := lookedUp(t, f)

	f, raw := startExported(t)
	found, err := f.Resolve(t.Context(), sub.Handle())
	if err != nil {
		t.Fatal(err)
	}
	above, err := found.Parent(t.Context(), vfs.Root)
	if err != nil || string(above.Handle()) != string(dir.Handle()) {
		t.Errorf("another directory is above: %v", err)
	}
	if _, err := f.Resolve(t.Context(), append(sub.Handle()[:23:23], 8)); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("of another generation: %v, want ESTALE", err)
	}
	allForgotten(t, f, raw)
}

// After a restart nobody has looked up what is above a directory.
func TestRenameKnowsWhatIsAboveADirectoryAfterARestart(t *testing.T) {
	f, _ := startExported(t)
	_, sub := lookedUp(t, f)

	f, raw := startExported(t)
	found, err := f.Resolve(t.Context(), sub.Handle())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Root().Rename(t.Context(), vfs.Root, "dir", found, "x", 0); vfs.ErrnoOf(err) != vfs.EINVAL {
		t.Errorf("a directory is moved below itself: %v", err)
	}
	allForgotten(t, f, raw)
}

func TestDirectoriesAreListedWithoutOpendirAndReaddirplus(t *testing.T) {
	f, _ := startExported(t)
	defer f.Close()
	var names []string
	eof, err := f.Root().ReadDir(t.Context(), vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(d *vfs.DirEntry) bool {
		if d.Node == nil || d.Attr.FileID != 2 {
			t.Errorf("%+v", d)
		}
		names = append(names, d.Name)
		return true
	})
	if !eof || err != nil || len(names) != 1 || names[0] != "dir" {
		t.Errorf("%q, eof %v, %v", names, eof, err)
	}
}

func TestNodesThatDoNotLastAreStaleAfterARestart(t *testing.T) {
	dir := t.TempDir()
	f := loopback(t, dir, fusefs.Options{})
	n, _, err := f.Root().Mkdir(t.Context(), vfs.Root, "dir", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = loopback(t, dir, fusefs.Options{})
	defer f.Close()
	if _, err := f.Resolve(t.Context(), n.Handle()); vfs.ErrnoOf(err) != vfs.ESTALE {
		t.Errorf("%v, want ESTALE", err)
	}
}
