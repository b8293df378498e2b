package vfstest

import (
	"maps"
	"path"
	"slices"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// ReadOnly is the contract for a file system that cannot be changed: the part
// of it that needs no writing, and that everything which would be a change is
// refused.
//
//	vfstest.ReadOnly{
//		Open: func(t testing.TB) vfs.FS { return openArchive(t) },
//		Want: map[string]vfstest.Entry{
//			"dir/file": {Mode: 0o644, Content: "content"},
//			"link":     {Type: vfs.TypeSymlink, Target: "dir/file"},
//		},
//	}.Run(t)
//
// Want should have a bit of everything the file system can hold: directories
// in directories, an empty one, files of no, of a few and of many bytes, one
// that not everybody may read, symbolic links.
type ReadOnly struct {
	// Open opens the file system. The suite closes it.
	Open func(t testing.TB) vfs.FS

	// Reopen opens it again after Close, as a restart of the appliance
	// does. Nil means Open, which is right for what was made beforehand.
	Reopen func(t testing.TB) vfs.FS

	// Want is all that the file system holds, by path without a slash at
	// either end; the root is ".". Directories that are only on the way
	// to something else may be left out, and are then taken as they are.
	Want map[string]Entry

	// Limits are checks that the file system is known to fail, by name, and
	// why: they are skipped with that reason, for all to see.
	Limits map[string]string
}

// Entry is what a file system holds at a path.
type Entry struct {
	Type    vfs.FileType // TypeUnknown means a regular file
	Mode    uint32       // 07777, not checked where it is 0
	Content string       // of a regular file
	Target  string       // of a symbolic link
	// SameAs is the path of another entry that is the same file, of which
	// this is a hard link; nothing else is then read here.
	SameAs string
	// UID and GID are checked where Owned is set.
	Owned    bool
	UID, GID uint32
	Mtime    vfs.Timespec // not checked where it is zero
	Rdev     vfs.Rdev     // of a device
}

// Run checks the contract.
func (r ReadOnly) Run(t *testing.T) {
	run(t, readOnlyChecks, r.Limits, func(t *testing.T) access { return r.access(t) })
}

func (r ReadOnly) access(t testing.TB) access {
	again := r.Reopen
	if again == nil {
		again = r.Open
	}
	return access{
		open: func() vfs.FS { return r.Open(t) },
		reopen: func(old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
			return again(t)
		},
		tree: wholeTree(r.Want),
	}
}

// readOnlyChecks is the contract of file systems that cannot be changed.
var readOnlyChecks = subjects([]subject{
	{"abilities", readOnlyAbilityChecks},
	{"tree", treeChecks},
	{"data", readChecks},
	{"listing", readListingChecks},
	{"handles", readHandleChecks},
	{"attributes", steadyChecks},
	{"permission", readPermissionChecks},
	{"errors", readErrorChecks},
	{"changes", refusalChecks},
	{"races", readRaceChecks},
})

// wanted is a tree as it has to be, by path, with all its directories.
type wanted map[string]Entry

// wholeTree adds the directories that are only on the way.
func wholeTree(want map[string]Entry) wanted {
	w := wanted{".": {Type: vfs.TypeDirectory}}
	for p := range want {
		for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
			w[dir] = Entry{Type: vfs.TypeDirectory}
		}
	}
	for p, e := range want {
		if e.Type == vfs.TypeUnknown {
			e.Type = vfs.TypeRegular
		}
		w[p] = e
	}
	return w
}

// paths are all paths in order, directories before what is in them.
func (w wanted) paths() []string { return slices.Sorted(maps.Keys(w)) }

// of is the entry at a path, the file itself for a hard link.
func (w wanted) of(p string) Entry {
	e := w[p]
	if e.SameAs != "" {
		return w[e.SameAs]
	}
	return e
}

// file is the path that stands for the file at p, whatever its name.
func (w wanted) file(p string) string {
	if e := w[p]; e.SameAs != "" {
		return e.SameAs
	}
	return p
}

// names are what a directory holds.
func (w wanted) names(dir string) []string {
	var names []string
	for p := range w {
		if p != "." && path.Dir(p) == dir {
			names = append(names, path.Base(p))
		}
	}
	slices.Sort(names)
	return names
}

// links is how many links the file at p must have; for a directory that is 2
// and one for each directory in it.
func (w wanted) links(p string) uint32 {
	var n uint32
	if w.of(p).Type == vfs.TypeDirectory {
		n = 2
		for _, name := range w.names(p) {
			if w.of(path.Join(p, name)).Type == vfs.TypeDirectory {
				n++
			}
		}
		return n
	}
	for other := range w {
		if w.file(other) == w.file(p) {
			n++
		}
	}
	return n
}

// at walks to a path of the tree.
func (e *env) at(p string) vfs.Node {
	e.Helper()
	if p == "." {
		return e.root
	}
	return e.lookup(e.at(path.Dir(p)), path.Base(p))
}

// every calls f with each path of the tree and its node, of some types or, with
// none, of all.
func (e *env) every(f func(p string, n vfs.Node), types ...vfs.FileType) {
	e.Helper()
	for _, p := range e.tree.paths() {
		if len(types) == 0 || slices.Contains(types, e.tree.of(p).Type) {
			f(p, e.at(p))
		}
	}
}
