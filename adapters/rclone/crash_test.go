package rclone_test

import (
	"os"
	"strings"
	"testing"

	"github.com/fsva/fsva/vfs"
)

// A kill leaves data that a guest was told is durable, in a file that is open,
// in one that is closed, and in one that is empty; the next start uploads it.
func TestKillLosesNothingThatWasSynced(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "old", "this was there before")
	p := newPlace(t, o.export("&writeback=1h"))
	p.url = strings.Replace(p.url, "writeback=1s&", "", 1)
	fs := p.started(t)
	dir := mkdir(t, fs.Root(), "dir")
	opened, f := create(t, dir, "open", "first")
	defer f.Close()
	closed := file(t, dir, "closed", "second")
	empty := file(t, dir, "empty", "")
	old := lookup(t, fs.Root(), "old")
	g := open(t, old, vfs.OpenWrite)
	write(t, g, 0, "That")
	check(t, f.Sync(ctx, false))
	check(t, g.Sync(ctx, true))
	check(t, g.Close())

	left := p.killed(t)
	left.url = o.export("")
	again := left.started(t)
	for _, c := range []struct {
		node      vfs.Node
		key, want string
	}{
		{opened, "dir/open", "first"}, {closed, "dir/closed", "second"}, {empty, "dir/empty", ""}, {old, "old", "That was there before"},
	} {
		n, err := again.Resolve(ctx, c.node.Handle())
		check(t, err)
		if got := content(t, n); got != c.want {
			t.Errorf("%s holds %q after the kill", c.key, got)
		}
		eventually(t, c.key+" is uploaded", func() bool {
			got, ok := o.get(t, c.key)
			return ok && got == c.want
		})
		if got := content(t, n); got != c.want {
			t.Errorf("%s holds %q once it is uploaded", c.key, got)
		}
	}
	eventually(t, "the ledger is empty", func() bool { return entries(t, left.dir+"/ledger") == 0 })
}

func entries(t *testing.T, dir string) int {
	list, err := os.ReadDir(dir)
	check(t, err)
	return len(list)
}

// damages are what a crash of the machine, or rclone on a full disk, does to the
// cache.
var damages = map[string]func(t *testing.T, cache string){
	"what is known of it is empty": func(t *testing.T, cache string) {
		check(t, os.Truncate(find(t, cache+"/vfsMeta"), 0))
	},
	"what is known of it is gone": func(t *testing.T, cache string) {
		check(t, os.Remove(find(t, cache+"/vfsMeta")))
	},
	"its data is gone": func(t *testing.T, cache string) {
		check(t, os.Remove(find(t, cache+"/vfs")))
	},
	"all of it is gone": func(t *testing.T, cache string) {
		check(t, os.RemoveAll(cache))
	},
}

// find returns the one file called "file" below dir.
func find(t *testing.T, dir string) (path string) {
	t.Helper()
	check(t, walkFiles(dir, func(p string) {
		if strings.HasSuffix(p, "/file") {
			path = p
		}
	}))
	if path == "" {
		t.Fatalf("no file below %s", dir)
	}
	return path
}

func TestDamagedCacheLosesNothingThatWasSynced(t *testing.T) {
	t.Parallel()
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			o := serveS3(t)
			p := newPlace(t, strings.Replace(o.export(""), "writeback=1s", "writeback=1h", 1))
			_, f := create(t, p.started(t).Root(), "file", "precious")
			defer f.Close()
			check(t, f.Sync(ctx, false))

			left := p.killed(t)
			damage(t, left.dir+"/cache")
			left.url = o.export("")
			if got := content(t, lookup(t, left.started(t).Root(), "file")); got != "precious" {
				t.Errorf("the file holds %q", got)
			}
			eventually(t, "it is uploaded", func() bool {
				got, _ := o.get(t, "file")
				return got == "precious"
			})
		})
	}
}
