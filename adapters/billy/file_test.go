package billy_test

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gobilly "github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

// counted counts the files that are open, and makes their Close fail while
// broken is set.
type counted struct {
	*plain
	open, most, syncs atomic.Int32
	broken            atomic.Bool
	syncing           bool // files have Sync
}

type countedFile struct {
	gobilly.File
	fs   *counted
	once sync.Once
}

type syncedFile struct{ *countedFile }

func (f syncedFile) Sync() error {
	f.fs.syncs.Add(1)
	if f.fs.broken.Load() {
		return syscall.ENOSPC
	}
	return nil
}

func (c *counted) OpenFile(name string, flag int, perm os.FileMode) (gobilly.File, error) {
	f, err := c.plain.OpenFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	c.most.Store(max(c.most.Load(), c.open.Add(1)))
	counted := &countedFile{File: f, fs: c}
	if c.syncing {
		return syncedFile{counted}, nil
	}
	return counted, nil
}

func (f *countedFile) Close() error {
	f.once.Do(func() { f.fs.open.Add(-1) })
	if f.fs.broken.Load() {
		return syscall.ENOSPC
	}
	return f.File.Close()
}

func TestFewFilesAreOpenAtOnce(t *testing.T) {
	under := &counted{plain: newPlain()}
	fs := started(t, under, billy.Options{MaxOpen: 3})
	var files []vfs.File
	for i := range 20 {
		_, f := create(t, fs.Root(), fmt.Sprint("file", i), fmt.Sprint("content", i))
		files = append(files, f)
	}
	for i, f := range files {
		reads(t, f, fmt.Sprint("content", i))
	}
	if most := under.most.Load(); most > 4 { // the one beyond is opened before another is closed
		t.Errorf("%d files were open", most)
	}
	for _, f := range files {
		check(t, f.Close())
	}
	if n := under.open.Load(); n != 0 {
		t.Errorf("%d files stay open", n)
	}
}

func TestSyncReachesTheFileSystem(t *testing.T) {
	for _, syncing := range []bool{true, false} {
		under := &counted{plain: newPlain(), syncing: syncing}
		fs := started(t, under, billy.Options{})
		_, f := create(t, fs.Root(), "file", "content")
		check(t, f.Sync(ctx, false))
		if syncing && under.syncs.Load() != 1 {
			t.Errorf("Sync was called %d times", under.syncs.Load())
		}
		if fi, err := under.Lstat("file"); !syncing && (err != nil || fi.Size() != 7) {
			t.Errorf("the file system has not got the data: %v, %v", fi, err)
		}
		_, done, err := f.WriteAt(ctx, []byte("C"), 0, vfs.FileSync)
		if err != nil || done != vfs.FileSync {
			t.Errorf("a write to stable storage is %d, %v", done, err)
		}
		if _, done, _ := f.WriteAt(ctx, []byte("C"), 0, vfs.Unstable); done != vfs.Unstable {
			t.Errorf("a write that nobody has synced is said to be %d", done)
		}
		check(t, f.Close())
	}
}

func TestALostWriteIsTold(t *testing.T) {
	for _, syncing := range []bool{true, false} {
		under := &counted{plain: newPlain(), syncing: syncing}
		fs := started(t, under, billy.Options{})
		_, f := create(t, fs.Root(), "file", "content")
		verifier := fs.WriteVerifier()
		under.broken.Store(true)
		fails(t, f.Sync(ctx, false), vfs.ENOSPC)
		if fs.WriteVerifier() == verifier {
			t.Error("the write verifier stays")
		}
		fails(t, f.Sync(ctx, false), vfs.ENOSPC) // it does not get better
		under.broken.Store(false)
		fails(t, f.Close(), vfs.ENOSPC)
	}
}

func TestErrorsOfTheFileSystemAreErrnos(t *testing.T) {
	for want, err := range map[vfs.Errno]error{
		vfs.EDQUOT:     &os.PathError{Op: "open", Err: syscall.EDQUOT},
		vfs.EACCES:     fmt.Errorf("no: %w", os.ErrPermission),
		vfs.EROFS:      gobilly.ErrReadOnly,
		vfs.EOPNOTSUPP: gobilly.ErrNotSupported,
		vfs.EIO:        errors.New("the network is down"),
	} {
		fs := started(t, refusing{newPlain(), err}, billy.Options{})
		_, _, _, got := fs.Root().Create(ctx, vfs.Root, "file", nil, vfs.OpenWrite)
		fails(t, got, want)
		if left := names(t, fs.Root()); len(left) > 0 {
			t.Errorf("%v leaves %q", err, left)
		}
	}
}

// refusing opens no file.
type refusing struct {
	*plain
	err error
}

func (r refusing) OpenFile(string, int, os.FileMode) (gobilly.File, error) { return nil, r.err }

// reader can only be read.
type reader struct{ *plain }

func (reader) Capabilities() gobilly.Capability {
	return gobilly.ReadCapability | gobilly.SeekCapability
}

func TestAFileSystemThatCannotBeWrittenSaysSo(t *testing.T) {
	under := newPlain()
	put(t, under, "file", "x")
	for what, fs := range map[string]vfs.FS{
		"by Capabilities": started(t, reader{under}, billy.Options{}),
		"by Options":      started(t, under, billy.Options{ReadOnly: true}),
	} {
		if !fs.Caps().ReadOnly {
			t.Errorf("%s: Caps.ReadOnly is not set", what)
		}
		n := lookup(t, fs.Root(), "file")
		holds(t, n, "x")
		_, err := n.Open(ctx, vfs.Root, vfs.OpenWrite)
		fails(t, err, vfs.EROFS)
		fails(t, n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetMode}), vfs.EROFS)
		_, _, err = fs.Root().Mkdir(ctx, vfs.Root, "dir", nil)
		fails(t, err, vfs.EROFS)
		_, err = fs.Root().Remove(ctx, vfs.Root, "file", false)
		fails(t, err, vfs.EROFS)
		_, _, err = fs.Root().Rename(ctx, vfs.Root, "file", fs.Root(), "moved", 0)
		fails(t, err, vfs.EROFS)
	}
}

func TestAFixedOwnerIsEverybodys(t *testing.T) {
	fs := started(t, newPlain(), billy.Options{Owner: billy.Owner{UID: 5, GID: 6, Mask: 0o004, Fixed: true}})
	n := file(t, fs.Root(), "file", "x")
	if a := attr(t, n); a.UID != 5 || a.GID != 6 || a.Mode != 0o640 {
		t.Errorf("the file is %+v", a)
	}
	fails(t, n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetUID, UID: 1}), vfs.EPERM)
	fails(t, n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetMode, Mode: 0o777}), vfs.EPERM)
	check(t, n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetMtime, Mtime: vfs.Timespec{Sec: 5}}))
	if !fs.Caps().SingleUser {
		t.Error("Caps.SingleUser is not set")
	}
}

func TestNodesThatNobodyNamesAreForgotten(t *testing.T) {
	var now atomic.Int64
	now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Unix())
	under := newPlain()
	for _, name := range []string{"bare", "gone", "named", "owned", "opened"} {
		put(t, under, name, "x")
	}
	fs, err := billy.New(under, billy.Options{Forget: 30 * 24 * time.Hour, Clock: func() time.Time { return time.Unix(now.Load(), 0) }})
	check(t, err)
	defer func() { check(t, fs.Close()) }()
	nodes := map[string]vfs.Node{}
	for _, name := range names(t, fs.Root()) {
		nodes[name] = lookup(t, fs.Root(), name)
	}
	check(t, nodes["owned"].SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetUID, UID: 9}))
	f, err := nodes["opened"].Open(ctx, vfs.Root, vfs.OpenRead)
	check(t, err)
	defer f.Close()
	check(t, under.Remove("gone"))

	now.Add(20 * 24 * 3600)
	lookup(t, fs.Root(), "named")
	now.Add(20 * 24 * 3600)
	if n, err := fs.Compact(ctx); n != 2 || err != nil {
		t.Errorf("%d were dropped, %v", n, err)
	}
	for name, n := range nodes {
		_, err := fs.Resolve(ctx, n.Handle())
		if name == "bare" || name == "gone" {
			fails(t, err, vfs.ESTALE)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	holds(t, lookup(t, fs.Root(), "bare"), "x")
}

// A COMMIT opens the file anew, and fsync(2) is for what others have written, too.
func TestSyncIsForWhatWasWrittenBeforeTheLastClose(t *testing.T) {
	under := &counted{plain: newPlain(), syncing: true}
	fs := started(t, under, billy.Options{})
	n, f := create(t, fs.Root(), "file", "content")
	check(t, f.Close())
	syncs := func() int32 {
		before := under.syncs.Load()
		f, err := n.Open(ctx, vfs.Root, vfs.OpenWrite|vfs.OpenReclaim)
		check(t, err)
		check(t, f.Sync(ctx, true))
		check(t, f.Close())
		return under.syncs.Load() - before
	}
	if n := syncs(); n != 1 {
		t.Errorf("what was written is synced %d times", n)
	}
	if n := syncs(); n != 0 {
		t.Errorf("what was synced is synced %d times more", n)
	}
	check(t, n.SetAttr(ctx, vfs.Root, &vfs.SetAttr{Set: vfs.SetSize, Size: 3}))
	if n := syncs(); n != 1 {
		t.Errorf("a new size is synced %d times", n)
	}
}

// So it is with files whose Sync does nothing and whose Close sends them away.
func TestCloseThatFailsAfterASyncIsALossToo(t *testing.T) {
	under := &counted{plain: newPlain(), syncing: true}
	fs := started(t, under, billy.Options{})
	_, f := create(t, fs.Root(), "file", "content")
	check(t, f.Sync(ctx, true))
	before := fs.WriteVerifier()
	under.broken.Store(true)
	if err := f.Close(); vfs.ErrnoOf(err) != vfs.ENOSPC {
		t.Errorf("Close: %v", err)
	}
	if fs.WriteVerifier() == before {
		t.Error("the verifier says that nothing was lost")
	}
}

// halfSynced has Sync only on files that are open for writing.
type halfSynced struct{ *counted }

func (h halfSynced) OpenFile(name string, flag int, perm os.FileMode) (gobilly.File, error) {
	f, err := h.counted.OpenFile(name, flag, perm)
	if s, ok := f.(syncedFile); ok && flag&(os.O_WRONLY|os.O_RDWR) == 0 {
		return s.countedFile, err
	}
	return f, err
}

// That a file without Sync is closed says nothing of what went through another.
func TestAReaderThatClosesSyncsNothing(t *testing.T) {
	under := &counted{plain: newPlain(), syncing: true}
	fs := started(t, halfSynced{under}, billy.Options{})
	n := file(t, fs.Root(), "file", "content")
	holds(t, n, "content")
	f, err := n.Open(ctx, vfs.Root, vfs.OpenWrite)
	check(t, err)
	check(t, f.Sync(ctx, true))
	check(t, f.Close())
	if n := under.syncs.Load(); n != 1 {
		t.Errorf("what was written is synced %d times", n)
	}
}
