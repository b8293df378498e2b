package rclone_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/vfs"
)

// big is larger than one request of rclone's, so that a file of it is in the
// cache in part.
var big = strings.Repeat("0123456789abcdef", 4<<20) // 64 MiB

func TestWhatIsWrittenIsUploaded(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	fs := newPlace(t, o.export("")).started(t)
	dir := mkdir(t, fs.Root(), "dir")
	file(t, dir, "file", "content")
	_, _, err := dir.Symlink(ctx, vfs.Root, "link", "file", nil)
	check(t, err)
	eventually(t, "the file and the link are objects", func() bool {
		got, _ := o.get(t, "dir/file")
		_, link := o.get(t, "dir/link.rclonelink")
		return got == "content" && link
	})
	if _, marker := o.get(t, "dir/"); !marker {
		t.Error("the directory would end with its last file")
	}
}

func TestWhatIsInTheBucketIsServed(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "a/b/c", "deep")
	o.put(t, "top.rclonelink", "a/b")
	fs := newPlace(t, o.export("")).started(t)
	if got := content(t, lookup(t, lookup(t, lookup(t, fs.Root(), "a"), "b"), "c")); got != "deep" {
		t.Errorf("a/b/c holds %q", got)
	}
	if got, err := lookup(t, fs.Root(), "top").ReadLink(ctx, vfs.Root); got != "a/b" {
		t.Errorf("the link leads to %q, %v", got, err)
	}
}

// A remote that stops to answer is EIO in the time that was said, but for what
// the cache has; what is written meanwhile is uploaded when it answers again.
// The log has a line for each change.
func TestRemoteVanishesAndComesBack(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]int32{"it is silent": silent, "it refuses": 403, "it is broken": 503} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := serveS3(t)
			o.put(t, "cached", "cached")
			o.put(t, "dir/far", "far")
			p := newPlace(t, o.export("&timeout=2s"))
			fs := p.started(t)
			cached, dir := lookup(t, fs.Root(), "cached"), lookup(t, fs.Root(), "dir")
			content(t, cached)
			far := lookup(t, dir, "far")

			o.broken.Store(broken)
			if _, err := tryContent(t, far); vfs.ErrnoOf(err) != vfs.EIO {
				t.Errorf("reading what only the remote has: %v, want EIO", err)
			}
			_, _, err := fs.Root().Mkdir(ctx, vfs.Root, "new", nil)
			fails(t, err, vfs.EIO)
			eventually(t, "the log says so", func() bool { return p.log.count("the remote fails") == 1 })
			if got := content(t, cached); got != "cached" {
				t.Errorf("the cache has %q", got)
			}
			n := file(t, dir, "written", "meanwhile")
			if got := content(t, n); got != "meanwhile" {
				t.Errorf("what was written reads as %q", got)
			}
			if broken != silent { // an upload that is not answered fails after minutes
				eventually(t, "an upload fails", func() bool { return p.log.count("uploads fail") == 1 })
			}

			o.repair()
			eventually(t, "the log says that it answers", func() bool { return p.log.count("the remote answers again") == 1 })
			eventually(t, "the file is uploaded", func() bool {
				got, _ := o.get(t, "dir/written")
				return got == "meanwhile"
			})
			eventually(t, "the log says that uploads succeed", func() bool {
				return p.log.count("uploads succeed again") == p.log.count("uploads fail")
			})
			eventually(t, "what only the remote has can be read", func() bool {
				got, err := tryContent(t, far)
				return err == nil && got == "far"
			})
			if p.log.count("the remote fails") != 1 || p.log.count("uploads fail") > 1 {
				t.Errorf("the log repeats itself:\n%s", p.log)
			}
			if log := p.log.String(); strings.Contains(log, secretKey) {
				t.Errorf("the log has the secret:\n%s", log)
			}
		})
	}
}

// A file of which the cache has a part must not be changed when the rest cannot
// be had: it could never be uploaded.
func TestPartOfAFileIsNotChangedWithoutTheRest(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "big", big)
	fs := newPlace(t, o.export("&timeout=2s")).started(t)
	n := lookup(t, fs.Root(), "big")
	content(t, n)
	o.broken.Store(503)
	f := open(t, n, vfs.OpenRead|vfs.OpenWrite)
	_, _, err := f.WriteAt(ctx, []byte("x"), int64(len(big)), vfs.Unstable)
	if err == nil {
		t.Error("a byte was written to a file of which the rest is gone")
	}
	o.repair()
	eventually(t, "it can be written", func() bool {
		_, _, err := f.WriteAt(ctx, []byte("X"), 0, vfs.Unstable)
		return err == nil
	})
	check(t, f.Close())
	eventually(t, "it is uploaded whole", func() bool {
		got, _ := o.get(t, "big")
		return got == "X"+big[1:]
	})
}

// Removing and renaming what is not uploaded needs the remote only if it has an
// older version, and then nothing is lost when the remote fails.
func TestFailedRemovalKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "file", "old")
	fs := newPlace(t, strings.Replace(o.export("&timeout=2s"), "writeback=1s", "writeback=1h", 1)).started(t)
	n := lookup(t, fs.Root(), "file")
	f := open(t, n, vfs.OpenWrite)
	write(t, f, 0, "new")
	check(t, f.Close())
	o.broken.Store(503)
	_, err := fs.Root().Remove(ctx, vfs.Root, "file", false)
	fails(t, err, vfs.EIO)
	_, _, err = fs.Root().Rename(ctx, vfs.Root, "file", fs.Root(), "other", 0)
	fails(t, err, vfs.EIO)
	o.repair()
	eventually(t, "the new version is there", func() bool {
		again, err := fs.Root().Lookup(ctx, vfs.Root, "file")
		if err != nil {
			return false
		}
		got, err := tryContent(t, again)
		return err == nil && got == "new"
	})
}

func TestNamesThatNoTreeCanHold(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	long := strings.Repeat("n", 256)
	for _, key := range []string{
		"a//b", "a/c", "//", "/lead", "x/../y", "..", ".", "x/./z", "f", "f/g", "s", "s.rclonelink", long, "long/" + long,
		"nl\nname", "b\\s", "caf\u00e9", "cafe\u0301", "end/", "...rclonelink", "bad\xffutf",
	} {
		o.put(t, key, key)
	}
	p := newPlace(t, o.export(""))
	fs := p.started(t)
	got := names(t, fs.Root())
	slices.Sort(got)
	for _, name := range got {
		if vfs.CheckName(name) != nil {
			t.Errorf("%q is listed", name)
		}
	}
	for _, name := range []string{"a", "f", "s", "x", "nl\nname", "b\\s", "caf\u00e9", "cafe\u0301"} {
		if !slices.Contains(got, name) {
			t.Errorf("%q is missing from %q", name, got)
		}
	}
	if list := names(t, lookup(t, fs.Root(), "a")); !slices.Equal(list, []string{"c"}) {
		t.Errorf("a has %q", list)
	}
	if list := names(t, lookup(t, fs.Root(), "f")); !slices.Equal(list, []string{"g"}) {
		t.Errorf("f, a file and a directory, has %q", list)
	}
	if s := lookup(t, fs.Root(), "s"); content(t, s) != "s" {
		t.Error("s, a file and a link, is no file")
	}
	if a, b := content(t, lookup(t, fs.Root(), "caf\u00e9")), content(t, lookup(t, fs.Root(), "cafe\u0301")); a == b {
		t.Errorf("two names of different bytes are one file, %q", a)
	}
	if list := names(t, lookup(t, fs.Root(), "long")); len(list) != 0 {
		t.Errorf("a name of 256 bytes is listed")
	}
	if p.log.count("left out") == 0 {
		t.Error("the log does not tell of what is left out")
	}
	for _, key := range []string{"a//b", "f", "x/../y"} { // what is not shown is not touched
		if got, ok := o.get(t, key); !ok || got != key {
			t.Errorf("%q is %q by now", key, got)
		}
	}
	_, _, _, err := fs.Root().Create(ctx, vfs.Root, "file.rclonelink", nil, vfs.OpenWrite)
	fails(t, err, vfs.EINVAL)
}

func TestManyFilesOfOneDirectoryAreLookedAtTogether(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	for i := range 300 {
		o.put(t, strings.Repeat("d", 1+i%3)+"/"+string(rune('a'+i%26))+strings.Repeat("x", i), "x")
	}
	fs := newPlace(t, o.export("&modtime=server")).started(t)
	before := o.requests.Load()
	_, err := lookup(t, fs.Root(), "d").ReadDir(ctx, vfs.Root, 0, vfs.AttrAll, func(*vfs.DirEntry) bool { return true })
	check(t, err)
	if n := o.requests.Load() - before; n > 20 {
		t.Errorf("%d requests for a directory whose listing has everything", n)
	}
}

func TestRefusesWhatCannotBeServed(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "object", "x")
	dead := serveS3(t)
	dead.broken.Store(silent)
	denied := serveS3(t)
	denied.broken.Store(403)
	for name, c := range map[string]struct{ url, says string }{
		"a bucket that is not there": {strings.Replace(o.export(""), bucket, "nobucket", 1), "no such bucket"},
		"an object":                  {strings.Replace(o.export(""), bucket, bucket+"/object", 1), "a file"},
		"a server that is silent":    {dead.export("&timeout=1s"), "no answer within 1s"},
		"a server that refuses":      {denied.export(""), "ExpiredToken"},
	} {
		t.Run(name, func(t *testing.T) {
			fs, err := newPlace(t, c.url).tryOpen()
			if err == nil {
				fs.Close()
				t.Fatal("it opens")
			}
			if !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), secretKey) {
				t.Errorf("the error is %q, which should tell of %q and no secret", err, c.says)
			}
		})
	}
}

func TestRemoteThatWasServedBeforeMayComeBack(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	o.put(t, "object", "x")
	p := newPlace(t, o.export("&timeout=1s"))
	check(t, p.open(t).Close())
	o.broken.Store(403)
	fs, err := p.tryOpen()
	if err == nil {
		fs.Close()
		t.Fatal("it opens")
	}
	if !errors.Is(err, adapters.ErrUnreachable) || !strings.Contains(err.Error(), "ExpiredToken") || strings.Contains(err.Error(), secretKey) {
		t.Errorf("the error is %q (unreachable: %v)", err, errors.Is(err, adapters.ErrUnreachable))
	}
	if fs, err = newPlace(t, o.export("")).tryOpen(); err == nil {
		fs.Close()
		t.Fatal("it opens")
	}
	if errors.Is(err, adapters.ErrUnreachable) {
		t.Error("a remote that never answered is taken for one that went away")
	}
	o.broken.Store(0)
	if got := content(t, lookup(t, p.started(t).Root(), "object")); got != "x" {
		t.Errorf("the object has %q", got)
	}
}

func TestWritesAndReadsOfALargeFile(t *testing.T) {
	t.Parallel()
	o := serveS3(t)
	fs := newPlace(t, o.export("")).started(t)
	data := bytes.Repeat([]byte("large file "), 1<<20)
	_, f := create(t, fs.Root(), "large", "")
	for off := 0; off < len(data); off += 1 << 20 {
		_, _, err := f.WriteAt(ctx, data[off:min(off+1<<20, len(data))], int64(off), vfs.Unstable)
		check(t, err)
	}
	check(t, f.Close())
	eventually(t, "it is uploaded", func() bool {
		got, _ := o.get(t, "large")
		return got == string(data)
	})
	start := time.Now()
	other := newPlace(t, o.export("")).started(t)
	g := open(t, lookup(t, other.Root(), "large"), vfs.OpenRead)
	defer g.Close()
	got := make([]byte, len(data))
	for off := 0; off < len(got); off += 1 << 20 {
		_, err := g.ReadAt(ctx, got[off:min(off+1<<20, len(got))], int64(off))
		check(t, err)
	}
	if !bytes.Equal(got, data) {
		t.Error("another appliance reads something else")
	}
	t.Logf("read in %v", time.Since(start))
}
