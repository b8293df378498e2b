package host

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// onKinds runs a test on the file systems whose directories differ most.
func onKinds(t *testing.T, test func(t *testing.T, dir string)) {
	t.Run("temporary directory", func(t *testing.T) { test(t, t.TempDir()) })
	t.Run("tmpfs", func(t *testing.T) { test(t, mountTmpfs(t, "64m")) })
	for _, kind := range []string{"ext4", "xfs", "btrfs"} {
		t.Run(kind, func(t *testing.T) { test(t, mountLoop(t, kind)) })
	}
}

func TestListingResumesBehindAnyEntry(t *testing.T) {
	onKinds(t, func(t *testing.T, dir string) {
		const count = 1500
		dir = filepath.Join(dir, "many")
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i := range count {
			if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("entry%d", i)), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		fs := serve(t, dir, Options{})
		seen := make(map[string]int)
		var cookie uint64
		for eof := false; !eof; {
			took := 0
			var err error
			eof, err = fs.Root().ReadDir(ctx, vfs.Root, cookie, vfs.AttrType|vfs.AttrFileID, func(e *vfs.DirEntry) bool {
				if took == 7 {
					return false
				}
				took++
				if e.Cookie <= 2 {
					t.Errorf("cookie %d", e.Cookie)
				}
				cookie = e.Cookie
				seen[e.Name]++
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for name, times := range seen {
			if times != 1 {
				t.Errorf("%s seen %d times", name, times)
			}
		}
		if len(seen) != count {
			t.Errorf("%d entries, want %d", len(seen), count)
		}
	})
}

func TestListingIsNotDisturbedByRemovals(t *testing.T) {
	onKinds(t, func(t *testing.T, dir string) {
		const count = 600
		fs := serve(t, dir, Options{})
		d, _, err := fs.Root().Mkdir(ctx, vfs.Root, "d", mode(0o755))
		if err != nil {
			t.Fatal(err)
		}
		for i := range count {
			_, f := create(t, d, fmt.Sprintf("e%d", i))
			f.Close()
		}
		seen := make(map[string]bool)
		var cookie uint64
		for eof := false; !eof; {
			var taken []string
			eof, err = d.ReadDir(ctx, vfs.Root, cookie, vfs.AttrType, func(e *vfs.DirEntry) bool {
				if len(taken) == 10 {
					return false
				}
				taken = append(taken, e.Name)
				cookie = e.Cookie
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range taken { // as rm -r does
				seen[name] = true
				if _, err := d.Remove(ctx, vfs.Root, name, false); err != nil {
					t.Errorf("remove %s: %v", name, err)
				}
			}
		}
		if len(seen) != count {
			t.Errorf("saw %d entries of %d", len(seen), count)
		}
	})
}

func TestEntriesCarryAttributesAndNodes(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		n, f := create(t, fs.Root(), "file")
		f.Close()
		want := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrAll))
		eof, err := fs.Root().ReadDir(ctx, vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(e *vfs.DirEntry) bool {
			if e.Err != nil || string(e.Node.Handle()) != string(n.Handle()) || e.Attr != want || e.FileID != want.FileID {
				t.Errorf("entry %+v, want %+v", e, want)
			}
			return true
		})
		if !eof || err != nil {
			t.Errorf("eof %v, %v", eof, err)
		}
	})
}

func TestChangeOfTheDirectoryIsToldForEachOperation(t *testing.T) {
	for _, coarse := range []bool{false, true} {
		t.Run(fmt.Sprintf("coarse=%v", coarse), func(t *testing.T) {
			fs := serve(t, t.TempDir(), Options{Exclusive: true})
			if coarse {
				fs.changes = &changes{ahead: make(map[string]uint64)}
			}
			root := fs.Root()
			last := must[vfs.Attr](t)(root.GetAttr(ctx, vfs.AttrChange)).Change
			check := func(what string, c vfs.DirChange, err error) {
				t.Helper()
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if c.Before != last || c.After <= c.Before || !c.Atomic {
					t.Errorf("%s: %+v after %d", what, c, last)
				}
				last = must[vfs.Attr](t)(root.GetAttr(ctx, vfs.AttrChange)).Change
				if last != c.After {
					t.Errorf("%s: change attribute %d, told %d", what, last, c.After)
				}
			}
			file, f, c, err := root.Create(ctx, vfs.Root, "file", nil, vfs.OpenWrite)
			check("create", c, err)
			f.Close()
			_, c, err = root.Mkdir(ctx, vfs.Root, "dir", nil)
			check("mkdir", c, err)
			_, c, err = root.Symlink(ctx, vfs.Root, "link", "x", nil)
			check("symlink", c, err)
			_, c, err = root.(vfs.Mknoder).Mknod(ctx, vfs.Root, "fifo", vfs.TypeFIFO, vfs.Rdev{}, nil)
			check("mknod", c, err)
			c, err = file.(vfs.Linker).Link(ctx, vfs.Root, root, "file2")
			check("link", c, err)
			c, _, err = root.Rename(ctx, vfs.Root, "file", root, "file3", 0)
			check("rename", c, err)
			c, err = root.Remove(ctx, vfs.Root, "file2", false)
			check("remove", c, err)
			c, err = root.Remove(ctx, vfs.Root, "dir", true)
			check("rmdir", c, err)
		})
	}
}

func TestEveryWriteMovesTheChangeAttribute(t *testing.T) {
	for _, coarse := range []bool{false, true} {
		t.Run(fmt.Sprintf("coarse=%v", coarse), func(t *testing.T) {
			fs := serve(t, t.TempDir(), Options{})
			switch {
			case coarse:
				fs.changes = &changes{ahead: make(map[string]uint64)}
			case fs.changes != nil:
				t.Skip("this kernel or file system has coarse ctimes only")
			}
			n, f := create(t, fs.Root(), "file")
			defer f.Close()
			last := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrChange)).Change
			for i := range 1000 {
				write(t, f, "x")
				now := must[vfs.Attr](t)(n.GetAttr(ctx, vfs.AttrChange)).Change
				if now <= last {
					t.Fatalf("write %d: change %d after %d", i, now, last)
				}
				last = now
			}
		})
	}
}

func TestChangesForgetWhenTheClockHasMovedOn(t *testing.T) {
	c := &changes{ahead: make(map[string]uint64)}
	h := []byte("h")
	if got := c.of(h, 100); got != 100 {
		t.Errorf("unchanged: %d", got)
	}
	c.made(h, 100)
	c.made(h, 100)
	if got := c.of(h, 100); got != 102 {
		t.Errorf("after two changes in one tick: %d", got)
	}
	if got := c.of(h, 200); got != 200 || len(c.ahead) != 0 {
		t.Errorf("a tick later: %d, %d kept", got, len(c.ahead))
	}
	for i := range maxChanges + 10 {
		c.made(fmt.Append(nil, i), 1)
	}
	if len(c.ahead) > maxChanges {
		t.Errorf("%d kept", len(c.ahead))
	}
}

func TestReleaseAtLeast(t *testing.T) {
	for release, want := range map[string]bool{
		"6.13.0": true, "6.13": true, "6.18.44-amd64": true, "7.0-rc1": true, "7.0": true,
		"6.12.101": false, "5.19": false, "": false, "six": false, "6.x": false,
	} {
		if got := releaseAtLeast(release, 6, 13); got != want {
			t.Errorf("%q: %v", release, got)
		}
	}
}

func TestRemoveAndRenameRules(t *testing.T) {
	bothKinds(t, func(t *testing.T, dir string, opts Options) {
		fs := serve(t, dir, opts)
		root := fs.Root()
		d, _, err := root.Mkdir(ctx, vfs.Root, "dir", mode(0o755))
		if err != nil {
			t.Fatal(err)
		}
		_, f := create(t, d, "file")
		f.Close()
		n, f := create(t, root, "file")
		f.Close()
		if _, err := n.(vfs.Linker).Link(ctx, vfs.Root, root, "same"); err != nil {
			t.Fatal(err)
		}
		_, err = root.Remove(ctx, vfs.Root, "dir", false)
		wantErr(t, "unlink a directory", err, vfs.EISDIR)
		_, err = root.Remove(ctx, vfs.Root, "file", true)
		wantErr(t, "rmdir a file", err, vfs.ENOTDIR)
		_, err = root.Remove(ctx, vfs.Root, "dir", true)
		wantErr(t, "rmdir what is not empty", err, vfs.ENOTEMPTY)
		_, err = root.Remove(ctx, vfs.Root, "none", false)
		wantErr(t, "remove nothing", err, vfs.ENOENT)
		rename := func(from string, toDir vfs.Node, to string, flags vfs.RenameFlags) error {
			_, _, err := root.Rename(ctx, vfs.Root, from, toDir, to, flags)
			return err
		}
		wantErr(t, "rename without replacing", rename("file", d, "file", vfs.RenameNoReplace), vfs.EEXIST)
		wantErr(t, "rename a directory into itself", rename("dir", d, "x", 0), vfs.EINVAL)
		wantErr(t, "rename a file over a directory", rename("file", root, "dir", 0), vfs.EISDIR)
		wantErr(t, "rename a directory over a file", rename("dir", root, "file", 0), vfs.ENOTDIR)
		wantErr(t, "rename nothing", rename("none", root, "x", 0), vfs.ENOENT)
		wantErr(t, "rename to another name of the file", rename("file", root, "same", 0), 0)
		for _, name := range []string{"file", "same"} {
			if _, err := root.Lookup(ctx, vfs.Root, name); err != nil {
				t.Errorf("%s after that: %v", name, err)
			}
		}
		wantErr(t, "rename to a free name", rename("file", d, "free", vfs.RenameNoReplace), 0)
		_, err = root.Lookup(ctx, vfs.Root, "file")
		wantErr(t, "the old name", err, vfs.ENOENT)
		_, _, err = root.Mkdir(ctx, vfs.Root, "dir", nil)
		wantErr(t, "mkdir over what exists", err, vfs.EEXIST)
		_, _, _, err = root.Create(ctx, vfs.Root, "same", nil, vfs.OpenWrite)
		wantErr(t, "create over what exists", err, vfs.EEXIST)
		other := serve(t, t.TempDir(), opts)
		wantErr(t, "rename into another export", rename("same", other.Root(), "x", 0), vfs.EXDEV)
		_, err = n.Lookup(ctx, vfs.Root, "x")
		wantErr(t, "lookup in a file", err, vfs.ENOTDIR)
		_, err = n.Parent(ctx, vfs.Root)
		wantErr(t, "parent of a file", err, vfs.ENOTDIR)
	})
}
