package p9fs_test

import (
	"sync/atomic"
	"testing"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/adapters/mem"
	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// watcher offers a file system and checks how its Files are used.
type watcher struct {
	p9.Attacher
	t       *testing.T
	live    atomic.Int64 // Files not closed
	running atomic.Int64 // methods
	renamed atomic.Int64 // calls of Renamed
}

func (w *watcher) Attach() (p9.File, error) {
	f, err := w.Attacher.Attach()
	return w.watch(f, false), err
}

func (w *watcher) watch(f p9.File, opened bool) *watched {
	w.live.Add(1)
	f2 := &watched{File: f, w: w}
	f2.opened.Store(opened)
	return f2
}

// watched is a File that knows what may be done with it.
type watched struct {
	p9.File
	w              *watcher
	opened, closed atomic.Bool
}

// in fails the test if the File is used when it must not be, and returns what
// to call when the method ends.
func (f *watched) in(method string, opened bool) func() {
	f.w.running.Add(1)
	if f.closed.Load() {
		f.w.t.Errorf("%s of a File that was closed", method)
	}
	if f.opened.Load() != opened {
		f.w.t.Errorf("%s of a File with opened = %v", method, !opened)
	}
	return func() { f.w.running.Add(-1) }
}

func (f *watched) Walk(names []string) ([]p9.QID, p9.File, error) {
	defer f.in("Walk", false)()
	qids, next, err := f.File.Walk(names)
	if err != nil {
		return nil, nil, err
	}
	return qids, f.w.watch(next, false), nil
}

func (f *watched) Open(mode p9.OpenFlags) (p9.QID, uint32, error) {
	defer f.in("Open", false)()
	qid, unit, err := f.File.Open(mode)
	f.opened.Store(err == nil)
	return qid, unit, err
}

func (f *watched) Create(name string, mode p9.OpenFlags, perm p9.FileMode, uid p9.UID, gid p9.GID) (p9.File, p9.QID, uint32, error) {
	defer f.in("Create", false)()
	made, qid, unit, err := f.File.Create(name, mode, perm, uid, gid)
	if err != nil {
		return nil, qid, unit, err
	}
	return f.w.watch(made, true), qid, unit, nil
}

func (f *watched) ReadAt(p []byte, off int64) (int, error) {
	defer f.in("ReadAt", true)()
	return f.File.ReadAt(p, off)
}

func (f *watched) WriteAt(p []byte, off int64) (int, error) {
	defer f.in("WriteAt", true)()
	return f.File.WriteAt(p, off)
}

func (f *watched) Readdir(offset uint64, count uint32) (p9.Dirents, error) {
	defer f.in("Readdir", true)()
	return f.File.Readdir(offset, count)
}

func (f *watched) Link(target p9.File, name string) error {
	defer f.in("Link", false)()
	return f.File.Link(target.(*watched).File, name)
}

func (f *watched) RenameAt(oldName string, dir p9.File, newName string) error {
	defer f.in("RenameAt", false)()
	if n := f.w.running.Load(); n != 1 {
		f.w.t.Errorf("RenameAt runs with %d others", n-1)
	}
	return f.File.RenameAt(oldName, dir.(*watched).File, newName)
}

func (f *watched) Renamed(dir p9.File, name string) {
	defer f.in("Renamed", true)() // the others are dropped
	defer dir.(*watched).in("Renamed to", false)()
	f.w.renamed.Add(1)
	f.File.Renamed(dir.(*watched).File, name)
}

func (f *watched) Close() error {
	if f.closed.Swap(true) {
		f.w.t.Error("a File is closed twice")
	}
	f.w.live.Add(-1)
	return f.File.Close()
}

// watchedFS checks at its end that all Files were closed.
type watchedFS struct {
	vfs.FS
	w *watcher
}

func (f watchedFS) Close() error {
	err := f.FS.Close()
	if n := f.w.live.Load(); n != 0 {
		f.w.t.Errorf("%d Files are left", n)
	}
	return err
}

func watchMem(t *testing.T, opt p9fs.Options) watchedFS {
	inner := mem.New(mem.Options{})
	t.Cleanup(func() { inner.Close() })
	w := &watcher{Attacher: p9fs.Attacher(inner, p9fs.AttachOptions{}), t: t}
	return watchedFS{open(t, w, opt), w}
}

func TestFilesAreUsedAsTheLibraryAllowsAndClosedOnce(t *testing.T) {
	vfstest.Suite{
		Entries: 2_000,
		Open:    func(t *testing.T) vfs.FS { return watchMem(t, p9fs.Options{}) },
	}.Run(t)
}

func TestContractWithOneFileKept(t *testing.T) {
	vfstest.Suite{
		Entries: 2_000,
		Open:    func(t *testing.T) vfs.FS { return watchMem(t, p9fs.Options{Files: 1, IndexOffsets: true}) },
	}.Run(t)
}
