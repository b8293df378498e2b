package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

var ctx = context.Background()

// user is somebody without rights of their own.
var user = &vfs.Cred{UID: 1000, GID: 1000, Groups: []uint32{2000}, Client: "test"}

// serve opens dir and closes it with the test.
func serve(t testing.TB, dir string, opts Options) *FS {
	t.Helper()
	f, err := Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

// bothKinds runs a test with the kernel's handles, where there are any, and
// with the table.
func bothKinds(t *testing.T, test func(t *testing.T, dir string, opts Options)) {
	t.Run("kernel handles", func(t *testing.T) {
		needRoot(t, "open_by_handle_at (CAP_DAC_READ_SEARCH)")
		test(t, t.TempDir(), Options{})
	})
	t.Run("table", func(t *testing.T) { test(t, t.TempDir(), Options{noHandles: true}) })
}

// needRoot skips the test of what only root may do.
func needRoot(t testing.TB, what string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip(what + " needs root")
	}
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func wantErr(t testing.TB, what string, err error, want vfs.Errno) {
	t.Helper()
	if vfs.ErrnoOf(err) != want {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}

func mode(m uint32) *vfs.SetAttr { return &vfs.SetAttr{Set: vfs.SetMode, Mode: m} }

func create(t testing.TB, dir vfs.Node, name string) (vfs.Node, vfs.File) {
	t.Helper()
	n, f, _, err := dir.Create(ctx, vfs.Root, name, mode(0o644), vfs.OpenRead|vfs.OpenWrite)
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
	return n, f
}

func write(t testing.TB, f vfs.File, s string) {
	t.Helper()
	if n, _, err := f.WriteAt(ctx, []byte(s), 0, vfs.Unstable); err != nil || n != len(s) {
		t.Fatalf("write: %d, %v", n, err)
	}
}

func read(t testing.TB, f vfs.File) string {
	t.Helper()
	buf := make([]byte, 1024)
	n, err := f.ReadAt(ctx, buf, 0)
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(buf[:n])
}

func TestOpenNamesPathAndRemedy(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, remedy := range map[string]string{
		filepath.Join(dir, "none"): "create the directory",
		file:                       "name the one that holds the file",
	} {
		_, err := Open(path, Options{})
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("Open(%s) = %v, want the path and %q", path, err, remedy)
		}
	}
}

func TestWrittenDataIsRead(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		for _, want := range []vfs.Stability{vfs.Unstable, vfs.DataSync, vfs.FileSync} {
			name := string('a' + rune(want))
			n, f := create(t, fs.Root(), name)
			if put, done, err := f.WriteAt(ctx, []byte("hello"), 3, want); put != 5 || done < want || err != nil {
				t.Fatalf("write = %d, %v, %v", put, done, err)
			}
			if got := read(t, f); got != "\x00\x00\x00hello" {
				t.Errorf("read %q", got)
			}
			if err := f.Sync(ctx, want == vfs.DataSync); err != nil {
				t.Error(err)
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
			a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrAll))
			if a.Size != 8 || a.Type != vfs.TypeRegular || a.Mode != 0o644 || a.Nlink != 1 {
				t.Errorf("attributes %+v", a)
			}
			if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) != "\x00\x00\x00hello" {
				t.Errorf("outside: %q, %v", b, err)
			}
		}
	})
}

func TestHandleSurvivesRenameAndReopen(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.State = &memoryBucket{}
		fs, err := Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		sub, _, err := fs.Root().Mkdir(ctx, vfs.Root, "sub", mode(0o755))
		if err != nil {
			t.Fatal(err)
		}
		n, f := create(t, fs.Root(), "file")
		write(t, f, "data")
		f.Close()
		if _, _, err := fs.Root().Rename(ctx, vfs.Root, "file", sub, "moved", 0); err != nil {
			t.Fatal(err)
		}
		if _, _, err := fs.Root().Rename(ctx, vfs.Root, "sub", fs.Root(), "sub2", 0); err != nil {
			t.Fatal(err)
		}
		if err := fs.Close(); err != nil {
			t.Fatal(err)
		}
		// Somebody else renames within the directory meanwhile.
		if err := os.Rename(filepath.Join(dir, "sub2/moved"), filepath.Join(dir, "sub2/again")); err != nil {
			t.Fatal(err)
		}

		fs = serve(t, dir, opts)
		again := must[vfs.Node](t)(fs.Resolve(ctx, n.Handle()))
		g := must[vfs.File](t)(again.Open(ctx, vfs.Root, vfs.OpenRead))
		defer g.Close()
		if got := read(t, g); got != "data" {
			t.Errorf("read %q through the handle", got)
		}
	})
}

func TestHandleOfRemovedFileIsStaleAlsoWhenTheNameIsBack(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		n, f := create(t, fs.Root(), "file")
		f.Close()
		if _, err := fs.Root().Remove(ctx, vfs.Root, "file", false); err != nil {
			t.Fatal(err)
		}
		_, err := n.GetAttr(ctx, vfs.AttrStat)
		wantErr(t, "GetAttr", err, vfs.ESTALE)
		_, f = create(t, fs.Root(), "file")
		f.Close()
		_, err = fs.Resolve(ctx, n.Handle())
		wantErr(t, "Resolve", err, vfs.ESTALE)
		_, err = n.Open(ctx, vfs.Root, vfs.OpenRead)
		wantErr(t, "Open", err, vfs.ESTALE)
	})
}

func TestFileRemovedByOthersIsStale(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		n, f := create(t, fs.Root(), "file")
		f.Close()
		if _, err := n.GetAttr(ctx, vfs.AttrStat); err != nil { // a descriptor is cached
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "file")); err != nil {
			t.Fatal(err)
		}
		_, err := n.GetAttr(ctx, vfs.AttrStat)
		wantErr(t, "GetAttr", err, vfs.ESTALE)
		if fds := fs.fds.count(); fds > 1 {
			t.Errorf("%d descriptors are left", fds)
		}
	})
}

func TestRemovedDirectoryIsStale(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		d, _, err := fs.Root().Mkdir(ctx, vfs.Root, "dir", mode(0o755))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, "dir")); err != nil {
			t.Fatal(err)
		}
		_, err = d.Lookup(ctx, vfs.Root, "x")
		wantErr(t, "Lookup", err, vfs.ESTALE)
		_, _, _, err = d.Create(ctx, vfs.Root, "x", nil, vfs.OpenWrite)
		wantErr(t, "Create", err, vfs.ESTALE)
	})
}

func TestBytesThatWereNeverAHandle(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		root := fs.Root().Handle()
		for _, h := range [][]byte{nil, {}, {0}, {9, 9, 9}, {byKernel}, {byTable, 1}, make([]byte, vfs.MaxNodeHandle+1), append([]byte{7}, root...)} {
			_, err := fs.Resolve(ctx, h)
			wantErr(t, "Resolve", err, vfs.EBADHANDLE)
		}
		wrong := append([]byte(nil), root...)
		for i := range wrong[1:] {
			wrong[1+i] ^= 0xa5
		}
		if _, err := fs.Resolve(ctx, wrong); err == nil {
			t.Error("a garbled handle was resolved")
		}
	})
}

func TestRemovedOpenFileStaysUsableWithFewDescriptors(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.MaxOpen = 2
		fs := serve(t, dir, opts)
		root := fs.Root()
		n, f := create(t, root, "file")
		write(t, f, "before")
		press := func() {
			for _, name := range []string{"p", "q", "r", "s"} {
				_, g := create(t, root, name)
				write(t, g, name)
				g.Close()
				if _, err := root.Remove(ctx, vfs.Root, name, false); err != nil {
					t.Fatal(err)
				}
			}
		}
		press()
		if _, err := root.Remove(ctx, vfs.Root, "file", false); err != nil {
			t.Fatal(err)
		}
		press()
		if got := read(t, f); got != "before" {
			t.Errorf("read %q", got)
		}
		write(t, f, "after!")
		press()
		a := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrStat))
		if a.Nlink != 0 || a.Size != 6 {
			t.Errorf("attributes of the open file without a name: %+v", a)
		}
		g := must[vfs.File](t)(n.Open(ctx, vfs.Root, vfs.OpenRead))
		f.Close()
		press()
		if got := read(t, g); got != "after!" {
			t.Errorf("read %q through the second open", got)
		}
		g.Close()
		_, err := n.GetAttr(ctx, vfs.AttrStat)
		wantErr(t, "GetAttr after the last close", err, vfs.ESTALE)
		if got := fs.fds.count(); got > 2 {
			t.Errorf("%d descriptors are left", got)
		}
	})
}

// TestFileOpenedWhileItsNameGoesIsKept opens a file between the moment that
// Remove has seen that nobody has it open, and the moment that the name is gone.
func TestFileOpenedWhileItsNameGoesIsKept(t *testing.T) {
	needRoot(t, "open_by_handle_at (CAP_DAC_READ_SEARCH)")
	dir := t.TempDir()
	fs := serve(t, dir, Options{MaxOpen: 2})
	n, f := create(t, fs.Root(), "file")
	write(t, f, "data")
	if fs.fds.removing(n.Handle()) {
		t.Fatal("an open file counts as closed")
	}
	f.Close()
	if !fs.fds.removing(n.Handle()) {
		t.Fatal("a closed file counts as open")
	}
	g := must[vfs.File](t)(n.Open(ctx, vfs.Root, vfs.OpenRead))
	if err := os.Remove(filepath.Join(dir, "file")); err != nil {
		t.Fatal(err)
	}
	fs.fds.removed(n.Handle())
	for _, name := range []string{"p", "q", "r", "s"} { // take the place in the cache
		_, h := create(t, fs.Root(), name)
		write(t, h, name)
		h.Close()
	}
	if got := read(t, g); got != "data" {
		t.Errorf("read %q", got)
	}
	g.Close()
	_, err := n.GetAttr(ctx, vfs.AttrStat)
	wantErr(t, "GetAttr after the last close", err, vfs.ESTALE)
	for i := range fs.fds.shards {
		if left := len(fs.fds.shards[i].dying); left != 0 {
			t.Errorf("%d nodes are still dying", left)
		}
	}
}

func TestRenameOverOpenFileKeepsItReadable(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.MaxOpen = 1
		fs := serve(t, dir, opts)
		_, old := create(t, fs.Root(), "old")
		write(t, old, "old")
		_, f := create(t, fs.Root(), "new")
		write(t, f, "new")
		f.Close()
		if _, _, err := fs.Root().Rename(ctx, vfs.Root, "new", fs.Root(), "old", 0); err != nil {
			t.Fatal(err)
		}
		if got := read(t, old); got != "old" {
			t.Errorf("read %q", got)
		}
		old.Close()
	})
}

func TestTenThousandOpenFilesNeedFewDescriptors(t *testing.T) {
	needRoot(t, "opening files again whatever their mode")
	const files, limit = 10_000, 100
	fs := serve(t, t.TempDir(), Options{MaxOpen: limit})
	root := fs.Root()
	var open [files]vfs.File
	for i := range open {
		name := "f" + string(rune('a'+i/1000)) + string(rune('a'+i/100%10)) + string(rune('a'+i/10%10)) + string(rune('a'+i%10))
		_, open[i] = create(t, root, name)
		write(t, open[i], name)
	}
	if got := descriptorsOfProcess(t); got > 2*limit+50 {
		t.Errorf("%d descriptors for %d open files", got, files)
	}
	for _, i := range []int{0, 4711, files - 1} {
		if got := read(t, open[i]); len(got) != 5 {
			t.Errorf("file %d: read %q", i, got)
		}
	}
	for _, f := range open {
		f.Close()
	}
	if got := fs.fds.count(); got > limit {
		t.Errorf("%d descriptors cached, the limit is %d", got, limit)
	}
}

func descriptorsOfProcess(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestPinnedDescriptorOutlivesClose(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		opts.MaxOpen = 1
		fs := serve(t, dir, opts)
		_, f := create(t, fs.Root(), "file")
		write(t, f, "pinned")
		d := f.(vfs.Descriptor)
		fd := must[int](t)(d.PinFD())
		must[int](t)(d.PinFD())
		d.UnpinFD()
		f.Close()
		_, g := create(t, fs.Root(), "other")
		g.Close()
		buf := make([]byte, 6)
		if _, err := unix.Pread(fd, buf, 0); err != nil || string(buf) != "pinned" {
			t.Errorf("pread %q, %v", buf, err)
		}
		d.UnpinFD()
	})
}

// memoryBucket is a Bucket that forgets with the test.
type memoryBucket struct{ m map[string]string }

func (b *memoryBucket) Get(key []byte) ([]byte, error) {
	if v, ok := b.m[string(key)]; ok {
		return []byte(v), nil
	}
	return nil, nil
}

func (b *memoryBucket) Put(key, value []byte) error {
	if b.m == nil {
		b.m = make(map[string]string)
	}
	b.m[string(key)] = string(value)
	return nil
}

func (b *memoryBucket) Delete(key []byte) error {
	delete(b.m, string(key))
	return nil
}

func TestWithoutRootAnOpenFileOutlivesItsMode(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may open files whatever their mode: run as another user")
	}
	fs := serve(t, t.TempDir(), Options{MaxOpen: 1})
	if !fs.Caps().SingleUser {
		t.Error("Caps do not say SingleUser")
	}
	_, f, _, err := fs.Root().Create(ctx, vfs.Root, "file", mode(0), vfs.OpenRead|vfs.OpenWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, g := create(t, fs.Root(), "other")
	write(t, g, "other")
	g.Close()
	write(t, f, "data")
	if got := read(t, f); got != "data" {
		t.Errorf("read %q", got)
	}
}

func TestWriteVerifierChangesWithFailuresOnly(t *testing.T) {
	dir := t.TempDir()
	state := &memoryBucket{}
	fs := serve(t, dir, Options{State: state})
	first := fs.WriteVerifier()
	if again := serve(t, dir, Options{State: state}).WriteVerifier(); again != first {
		t.Error("a restart of the process changed the verifier")
	}
	fs.writeBackFailed(errors.New("test"))
	second := fs.WriteVerifier()
	if second == first {
		t.Error("a failed write-back did not change the verifier")
	}
	if again := serve(t, dir, Options{State: state}).WriteVerifier(); again != second {
		t.Error("a restart forgot the failed write-back")
	}
}
