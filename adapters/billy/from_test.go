package billy_test

import (
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	gobilly "github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
)

func memory() gobilly.Filesystem { return billy.FromVFS(mem.New(mem.Options{}), vfs.Root) }

func content(t *testing.T, fs gobilly.Basic, name string) string {
	t.Helper()
	f, err := fs.Open(name)
	check(t, err)
	b, err := io.ReadAll(f)
	check(t, err)
	check(t, f.Close())
	return string(b)
}

func TestOpenFlagsMeanWhatTheyDoInOS(t *testing.T) {
	fs := memory()
	write := func(flag int, s string) error {
		f, err := fs.OpenFile("dir/file", flag, 0o640)
		if err != nil {
			return err
		}
		_, err = f.Write([]byte(s))
		return errors.Join(err, f.Close())
	}
	if err := write(os.O_WRONLY, "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("opening what is not there: %v", err)
	}
	check(t, write(os.O_WRONLY|os.O_CREATE|os.O_EXCL, "first")) // and its directory
	if err := write(os.O_WRONLY|os.O_CREATE|os.O_EXCL, "x"); !errors.Is(err, os.ErrExist) {
		t.Errorf("making what is there: %v", err)
	}
	for _, tt := range []struct {
		flag        int
		write, want string
	}{
		{os.O_WRONLY, "F", "First"},
		{os.O_WRONLY | os.O_APPEND, "!", "First!"},
		{os.O_RDWR | os.O_CREATE | os.O_TRUNC, "new", "new"},
	} {
		check(t, write(tt.flag, tt.write))
		if got := content(t, fs, "dir/file"); got != tt.want {
			t.Errorf("flags %#x: %q, want %q", tt.flag, got, tt.want)
		}
	}
	fi, err := fs.Stat("/dir/file")
	check(t, err)
	if fi.Name() != "file" || fi.Mode() != 0o640 || fi.Size() != 3 || fi.Sys().(*syscall.Stat_t).Ino == 0 {
		t.Errorf("the file is %v %v of %d bytes", fi.Name(), fi.Mode(), fi.Size())
	}
}

func TestFilesSeekAsInOS(t *testing.T) {
	f, err := memory().Create("file")
	check(t, err)
	defer f.Close()
	_, err = f.Write([]byte("0123456789"))
	check(t, err)
	for _, tt := range []struct {
		off    int64
		whence int
		want   string
	}{{2, io.SeekStart, "234"}, {1, io.SeekCurrent, "678"}, {-2, io.SeekEnd, "89"}} {
		_, err := f.Seek(tt.off, tt.whence)
		check(t, err)
		p := make([]byte, 3)
		n, err := f.Read(p)
		check(t, err)
		if string(p[:n]) != tt.want {
			t.Errorf("from %d of %d: %q, want %q", tt.off, tt.whence, p[:n], tt.want)
		}
	}
	if _, err := f.Seek(-1, io.SeekStart); err == nil {
		t.Error("a seek to before the start works")
	}
	if n, err := f.ReadAt(make([]byte, 5), 8); n != 2 || err != io.EOF {
		t.Errorf("ReadAt over the end: %d, %v", n, err)
	}
	if _, err := f.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("Read at the end: %v", err)
	}
	check(t, f.Truncate(4))
	if n, err := f.ReadAt(make([]byte, 5), 0); n != 4 || err != io.EOF {
		t.Errorf("ReadAt after Truncate: %d, %v", n, err)
	}
}

func TestPathsLeadThroughSymbolicLinks(t *testing.T) {
	fs := memory()
	put(t, fs, "a/b/file", "found")
	for link, target := range map[string]string{
		"a/b/up": "../b", "absolute": "/a/b", "chain": "absolute/up/file", "loop": "loop", "dangling": "nowhere", "above": "../../..//a",
	} {
		check(t, fs.Symlink(target, link))
	}
	for _, name := range []string{"a/b/up/file", "absolute/file", "chain", "above/b/file", "/a/../a/b/./file", "../a/b/file"} {
		if got := content(t, fs, name); got != "found" {
			t.Errorf("%s holds %q", name, got)
		}
	}
	for name, want := range map[string]error{"loop": vfs.ELOOP, "dangling": os.ErrNotExist, "a/b/file/x": vfs.ENOTDIR} {
		if _, err := fs.Stat(name); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	fi, err := fs.Lstat("loop")
	check(t, err)
	if fi.Mode()&os.ModeSymlink == 0 {
		t.Errorf("Lstat follows: %v", fi.Mode())
	}
	if target, err := fs.Readlink("above"); err != nil || target != "../../..//a" {
		t.Errorf("Readlink: %q, %v", target, err)
	}
}

func TestAChrootHidesWhatIsAbove(t *testing.T) {
	fs := memory()
	put(t, fs, "secret", "no")
	put(t, fs, "sub/file", "yes")
	check(t, fs.Symlink("/secret", "sub/link"))
	sub, err := fs.Chroot("sub")
	check(t, err)
	if got := content(t, sub, "/file"); got != "yes" || sub.Root() != "/sub" {
		t.Errorf("%s has a file with %q", sub.Root(), got)
	}
	for _, name := range []string{"../secret", "link", "/sub/file"} {
		if _, err := sub.Stat(name); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := fs.Chroot("secret"); !errors.Is(err, vfs.ENOTDIR) {
		t.Errorf("a file as root: %v", err)
	}
}

func TestDirectoriesAreMadeOnTheWay(t *testing.T) {
	fs := memory()
	check(t, fs.MkdirAll("x/y/z", 0o755))
	check(t, fs.MkdirAll("x/y/z", 0o755))
	put(t, fs, "file", "")
	if err := fs.MkdirAll("file/below", 0o755); !errors.Is(err, vfs.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
	check(t, fs.Rename("file", "new/place/file"))
	infos, err := fs.ReadDir("/")
	check(t, err)
	var names []string
	for _, fi := range infos {
		names = append(names, fi.Name())
	}
	if got := strings.Join(names, " "); got != "new x" {
		t.Errorf("the root has %q", got)
	}
	if err := fs.Remove("x"); !errors.Is(err, vfs.ENOTEMPTY) {
		t.Errorf("removing what is not empty: %v", err)
	}
	check(t, fs.Remove("x/y/z"))
}

func TestTempFilesHaveNamesOfTheirOwn(t *testing.T) {
	fs := memory()
	seen := map[string]bool{}
	for range 10 {
		f, err := fs.TempFile("tmp", "prefix")
		check(t, err)
		check(t, f.Close())
		if seen[f.Name()] || !strings.HasPrefix(f.Name(), "tmp/prefix") {
			t.Errorf("a temporary file is called %q", f.Name())
		}
		seen[f.Name()] = true
	}
}

func TestLocksExclude(t *testing.T) {
	fs := memory()
	put(t, fs, "file", "")
	var inside atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			f, err := fs.Open("file")
			if err != nil {
				t.Error(err)
				return
			}
			if err := f.Lock(); err != nil || inside.Add(1) != 1 {
				t.Errorf("two hold the lock, %v", err)
			}
			inside.Add(-1)
			if err := f.Close(); err != nil { // which unlocks
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestCallsAreMadeAsTheUserThatWasGiven(t *testing.T) {
	memory := mem.New(mem.Options{})
	put(t, billy.FromVFS(memory, vfs.Root), "secret", "no")
	check(t, billy.FromVFS(memory, vfs.Root).(gobilly.Change).Chmod("secret", 0o600))
	hers := billy.FromVFS(memory, alice)
	if _, err := hers.Open("secret"); !errors.Is(err, os.ErrPermission) {
		t.Errorf("alice opens it: %v", err)
	}
	put(t, hers, "hers", "yes")
	fi, err := hers.Stat("hers")
	check(t, err)
	if uid := fi.Sys().(*syscall.Stat_t).Uid; uid != alice.UID {
		t.Errorf("her file belongs to %d", uid)
	}
}
