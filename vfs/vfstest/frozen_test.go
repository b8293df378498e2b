package vfstest

import (
	"bytes"
	"context"
	"path"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
)

// frozen is a file system that cannot be changed, over one that can, with a
// fault.
type frozen struct {
	vfs.FS
	fault frost
	again bool // opened for the second time
}

// frost is what is wrong with a frozen file system. The zero value is nothing.
type frost struct {
	saysWritable bool
	hides        bool // an entry
	invents      bool // a name in each directory
	otherMode    bool
	otherTarget  bool
	countsTwo    bool // links of directories
	orphans      bool // Parent is the root's
	shifts       bool // reads behind the first page
	wraps        bool // reads far behind the end
	hollow       bool // each file is said to be one hole
	skips        bool // as broken does
	oneHandle    bool // for all files
	newHandles   bool // after Close
	newNumbers   bool // after Close
	oneNumber    bool // for all files
	drifts       bool // the change attribute, with every look
	grants       bool // all access
	admits       bool // everybody
	thaws        bool // lets all changes through
	denies       bool // changes with EACCES
	blursKinds   bool // a file is an empty directory too
}

// frozenTree is what openFrozen holds.
var frozenTree = map[string]Entry{
	"dir/deep/file":  {Mode: 0o644, Content: "content", Mtime: vfs.Timespec{Sec: 1e9, Nsec: 5}},
	"dir/more":       {Type: vfs.TypeDirectory, Mode: 0o750},
	"dir/other":      {Content: "other", Mode: 0o600, Owned: true, UID: 7, GID: 8},
	"empty":          {},
	"large":          {Content: string(bytes.Repeat([]byte("0123456789abcde"), 20_000))},
	"link":           {Type: vfs.TypeSymlink, Target: "dir/deep/file"},
	"pipe":           {Type: vfs.TypeFIFO},
	"dir/same":       {SameAs: "dir/deep/file"},
	"dir/deep/empty": {},
}

// openFrozen makes a file system of frozenTree in memory.
func openFrozen(t TB) vfs.FS {
	fs := mem.New(mem.Options{Size: 64 << 20})
	e := &env{TB: t, ctx: context.Background(), fs: fs, root: fs.Root(), access: access{tree: wholeTree(frozenTree)}}
	for _, p := range e.tree.paths() {
		e.make(p)
	}
	return fs
}

// make makes one entry of the tree.
func (e *env) make(p string) {
	want := e.tree[p]
	if p == "." {
		return
	}
	dir, name := e.at(path.Dir(p)), path.Base(p)
	switch {
	case want.SameAs != "":
		_, err := e.at(want.SameAs).(vfs.Linker).Link(e.ctx, root, dir, name)
		e.ok(err)
	case want.Type == vfs.TypeDirectory:
		e.mkdir(dir, name)
	case want.Type == vfs.TypeSymlink:
		_, _, err := dir.Symlink(e.ctx, root, name, want.Target, nil)
		e.ok(err)
	case want.Type == vfs.TypeFIFO:
		_, _, err := dir.(vfs.Mknoder).Mknod(e.ctx, root, name, want.Type, vfs.Rdev{}, mode(0o644))
		e.ok(err)
	default:
		e.file(dir, name, want.Content)
	}
	set := vfs.SetAttr{Set: vfs.SetUID | vfs.SetGID, UID: want.UID, GID: want.GID}
	if want.Mode != 0 {
		set.Set, set.Mode = set.Set|vfs.SetMode, want.Mode
	}
	if want.Mtime != (vfs.Timespec{}) {
		set.Set, set.Mtime = set.Set|vfs.SetMtime, want.Mtime
	}
	if want.SameAs == "" {
		e.setAttr(e.at(p), set)
	}
}

func (f *frozen) Caps() vfs.Caps {
	return vfs.Caps{ReadOnly: !f.fault.saysWritable}
}

// Close keeps the memory, for the second open.
func (f *frozen) Close() error { return nil }

func (f *frozen) Root() vfs.Node { return f.node(f.FS.Root()) }

func (f *frozen) Resolve(ctx context.Context, handle []byte) (vfs.Node, error) {
	if f.fault.newHandles && f.again {
		return nil, vfs.ESTALE
	}
	n, err := f.FS.Resolve(ctx, handle)
	return f.node(n), err
}

func (f *frozen) node(n vfs.Node) vfs.Node {
	if n == nil {
		return nil
	}
	return &frozenNode{n, f}
}

func (f *frozen) refusal() error {
	if f.fault.denies {
		return vfs.EACCES
	}
	return vfs.EROFS
}

func TestFrozenFaultsAreFound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault frost
		check string
	}{
		{"it says it is writable", frost{saysWritable: true}, "abilities/say that it is read-only"},
		{"an entry is missing", frost{hides: true}, "tree/lists what it should"},
		{"an entry is missing", frost{hides: true}, "listing/has each entry once, whatever the page"},
		{"an entry is missing", frost{hides: true}, "races/of many readers show each the whole tree"},
		{"a name is invented", frost{invents: true}, "errors/say what is not there"},
		{"modes differ", frost{otherMode: true}, "tree/has the attributes it should"},
		{"targets differ", frost{otherTarget: true}, "tree/has the targets of symbolic links"},
		{"all directories have two links", frost{countsTwo: true}, "tree/has as many links as names"},
		{"all directories are in the root", frost{orphans: true}, "tree/knows the parents of directories"},
		{"data is shifted", frost{shifts: true}, "data/is the same in pieces of any size"},
		{"data is shifted", frost{shifts: true}, "data/is the same from the end to the start"},
		{"data is shifted", frost{shifts: true}, "data/of a file opened several times is read by each"},
		{"huge offsets wrap around", frost{wraps: true}, "data/ends where the file ends"},
		{"files are said to be holes", frost{hollow: true}, "data/has nothing but zeroes in its holes"},
		{"listings skip an entry", frost{skips: true}, "listing/has each entry once, whatever the page"},
		{"listings skip an entry", frost{skips: true}, "listing/resumes behind any entry"},
		{"files share a handle", frost{oneHandle: true}, "handles/lead back to their nodes, of which each has its own"},
		{"handles end with the process", frost{newHandles: true}, "handles/survive a restart"},
		{"numbers end with the process", frost{newNumbers: true}, "attributes/stay as they are over a restart"},
		{"files share a number", frost{oneNumber: true}, "attributes/number each file"},
		{"attributes drift", frost{drifts: true}, "attributes/stay as they are"},
		{"attributes drift", frost{drifts: true}, "listing/has attributes and nodes as GetAttr and Lookup have"},
		{"all access is granted", frost{grants: true}, "permission/to change is never granted"},
		{"everybody may open", frost{admits: true}, "permission/goes by owner, group and others"},
		{"changes are made", frost{thaws: true}, "changes/of attributes are EROFS"},
		{"changes are made", frost{thaws: true}, "changes/of data are EROFS"},
		{"changes are made", frost{thaws: true}, "changes/of entries are EROFS"},
		{"changes are made", frost{thaws: true}, "changes/of what is there leave it there"},
		{"changes are EACCES", frost{denies: true}, "changes/of attributes are EROFS"},
		{"changes are EACCES", frost{denies: true}, "changes/of names that are taken are EROFS or EEXIST"},
		{"files are directories", frost{blursKinds: true}, "errors/say what is no directory"},
		{"files are directories", frost{blursKinds: true}, "errors/say what cannot be opened"},
	} {
		t.Run(tt.name+" "+tt.check, func(t *testing.T) {
			if r := judgeFrozen(t, tt.check, frost{}); r.failed || r.skipped {
				t.Fatalf("without the fault: failed %v, skipped %v: %s", r.failed, r.skipped, r.said)
			}
			if r := judgeFrozen(t, tt.check, tt.fault); !r.failed {
				t.Error("the fault was not found")
			}
		})
	}
}

// judgeFrozen runs one check on a frozen file system with a fault.
func judgeFrozen(t *testing.T, name string, fault frost) *recorder {
	t.Helper()
	for _, c := range readOnlyChecks {
		if c.name == name {
			fs := openFrozen(t)
			return record(func(r *recorder) {
				c.on(r, access{
					open:   func() vfs.FS { return &frozen{FS: fs, fault: fault} },
					reopen: func(vfs.FS) vfs.FS { return &frozen{FS: fs, fault: fault, again: true} },
					tree:   wholeTree(frozenTree),
				})
			})
		}
	}
	t.Fatalf("there is no check %q", name)
	return nil
}

// The whole suite, as an adapter's author calls it.
func TestReadOnlyOfWhatIsRight(t *testing.T) {
	fs := openFrozen(t)
	open := func(testing.TB) vfs.FS { return &frozen{FS: fs} }
	ReadOnly{Open: open, Want: frozenTree}.Run(t)
}
