package rclone_test

import (
	"strings"
	"testing"

	"github.com/fsva/fsva/adapters/rclone"
	"github.com/fsva/fsva/vfs"
)

// lateEnded waits until no call goes on that nobody waits for.
func lateEnded(t *testing.T, fs vfs.FS) {
	t.Helper()
	eventually(t, "the calls that were left have ended", func() bool { return rclone.Late(fs).Load() == 0 })
}

// overwrite has a file hold content, durably.
func overwrite(t *testing.T, n vfs.Node, content string) {
	t.Helper()
	f := open(t, n, vfs.OpenWrite)
	write(t, f, 0, content)
	check(t, f.Sync(ctx, false))
	check(t, f.Close())
}

// What a guest is told has failed must not happen to what it writes from then on.
func TestRemovalThatTimedOutTakesNothingWrittenSince(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, first, writeback string }{
		"its upload waits":         {"", "first", "1h"},
		"it has an older version":  {"older", "first", "1s"},
		"its upload has begun":     {"", "first", "1s"},
		"its upload is of nothing": {"", "", "1s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serveS3(t)
			if c.before != "" {
				o.put(t, "file", c.before)
			}
			fs := newPlace(t, strings.Replace(o.export("&timeout=2s"), "writeback=1s", "writeback="+c.writeback, 1)).started(t)
			names(t, fs.Root())
			if c.before != "" {
				content(t, lookup(t, fs.Root(), "file"))
			}
			o.broken.Store(silent)
			requests := o.requests.Load()
			if c.before == "" {
				file(t, fs.Root(), "file", c.first)
			} else {
				overwrite(t, lookup(t, fs.Root(), "file"), c.first)
			}
			if c.writeback == "1s" {
				eventually(t, "the upload begins", func() bool { return o.requests.Load() > requests })
			}
			_, err := fs.Root().Remove(ctx, vfs.Root, "file", false)
			fails(t, err, vfs.EIO)
			n := lookup(t, fs.Root(), "file")
			overwrite(t, n, "written since")

			o.repair()
			lateEnded(t, fs)
			if got := content(t, n); got != "written since" {
				t.Errorf("the file holds %q", got)
			}
			if c.writeback == "1s" {
				eventually(t, "it is uploaded", func() bool {
					got, _ := o.get(t, "file")
					return got == "written since"
				})
			}
		})
	}
}

func TestRenameThatTimedOutReplacesNothingWrittenSince(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	fs := newPlace(t, strings.Replace(o.export("&timeout=1s"), "writeback=1s", "writeback=1h", 1)).started(t)
	names(t, fs.Root())
	from := file(t, fs.Root(), "from", "from")
	o.broken.Store(silent)
	_, _, err := fs.Root().Rename(ctx, vfs.Root, "from", fs.Root(), "to", 0)
	fails(t, err, vfs.EIO)
	to := file(t, fs.Root(), "to", "")
	overwrite(t, to, "to")

	o.repair()
	lateEnded(t, fs)
	for want, n := range map[string]vfs.Node{"from": from, "to": to} {
		if got := content(t, n); got != want {
			t.Errorf("%s holds %q", want, got)
		}
	}
}

// A rename on the remote that has begun cannot be taken back: until it has ended,
// nothing is to be written that it would replace or move away.
func TestNamesOfARenameThatTimedOutAreKeptUntilItEnds(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "from", "from")
	fs := newPlace(t, o.export("&timeout=1s")).started(t)
	from := lookup(t, fs.Root(), "from")
	content(t, from)
	o.broken.Store(silent)
	_, _, err := fs.Root().Rename(ctx, vfs.Root, "from", fs.Root(), "to", 0)
	fails(t, err, vfs.EIO)
	f := open(t, from, vfs.OpenWrite)
	_, _, err = f.WriteAt(ctx, []byte("since"), 0, vfs.Unstable)
	fails(t, err, vfs.EIO)
	check(t, f.Close())
	_, _, _, err = fs.Root().Create(ctx, vfs.Root, "to", nil, vfs.OpenWrite)
	fails(t, err, vfs.EIO)
	_, err = fs.Root().Remove(ctx, vfs.Root, "from", false)
	fails(t, err, vfs.EIO)

	o.repair()
	lateEnded(t, fs)
	n := lookup(t, fs.Root(), "to")
	overwrite(t, n, "since")
	eventually(t, "what is written from then on is uploaded", func() bool {
		got, _ := o.get(t, "to")
		_, old := o.get(t, "from")
		return got == "since" && !old
	})
}

func TestFileIsClosedHoweverManyCallsAreLate(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	fs := newPlace(t, o.export("")).started(t)
	_, f := create(t, fs.Root(), "file", "content")
	check(t, f.Sync(ctx, false))
	late := rclone.Late(fs)
	late.Store(rclone.MaxLate)
	check(t, f.Close())
	late.Store(0)
	eventually(t, "it is uploaded", func() bool {
		got, _ := o.get(t, "file")
		return got == "content"
	})
}
