package git_test

import (
	"bytes"
	"testing"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
)

func TestOneBlobAtTwoPathsIsTwoFiles(t *testing.T) {
	r := newRepo(t)
	for _, name := range []string{"a/file", "b/file", "b/again"} {
		r.write(name, "same")
	}
	r.commit()
	r.git("branch", "other")
	fs := serve(t, r.dir, git.Options{})
	handles, ids := map[string]string{}, map[uint64]string{}
	for _, ref := range []string{"branches/main", "branches/other", "HEAD"} {
		for _, name := range []string{"", "/a", "/b", "/a/file", "/b/file", "/b/again"} {
			n := walk(t, fs, ref+name)
			a := attr(t, n)
			if other := handles[string(n.Handle())] + ids[a.FileID]; other != "" || a.Nlink != 1 {
				t.Errorf("%s is also %s, and has %d links", ref+name, other, a.Nlink)
			}
			handles[string(n.Handle())], ids[a.FileID] = ref+name, ref+name
		}
	}
	// The same trees, and yet each has its own parent.
	for _, ref := range []string{"branches/main", "branches/other"} {
		up, err := walk(t, fs, ref+"/a").Parent(ctx, vfs.Root)
		check(t, err)
		if !bytes.Equal(up.Handle(), walk(t, fs, ref).Handle()) {
			t.Errorf("%s/a is in another directory", ref)
		}
	}
}

func TestHandlesFitNFSv3(t *testing.T) {
	r := newRepo(t)
	r.write("dir/file", "x")
	r.commit()
	fs := serve(t, r.dir, git.Options{Revision: "main"})
	if n := len(walk(t, fs, "dir/file").Handle()); n > 44 {
		t.Errorf("a handle has %d bytes", n)
	}
}

func TestHandlesOfAnotherRevisionAreStale(t *testing.T) {
	r := newRepo(t)
	r.write("file", "x")
	id := r.commit()
	h := walk(t, serve(t, r.dir, git.Options{Revision: "main"}), "file").Handle()
	for _, rev := range []string{"", "HEAD", id} {
		_, err := serve(t, r.dir, git.Options{Revision: rev}).Resolve(ctx, h)
		fails(t, err, vfs.ESTALE)
	}
}

// A handle is not to lead to what has come where its node was.
func TestHandlesAreCheckedAgainstTheObject(t *testing.T) {
	r := newRepo(t)
	r.write("a", "1")
	r.write("b", "2")
	r.commit()
	fs := serve(t, r.dir, git.Options{Revision: "main"})
	a, b := walk(t, fs, "a").Handle(), walk(t, fs, "b").Handle()
	mixed := append(bytes.Clone(a[:len(a)-4]), b[len(b)-4:]...)
	_, err := fs.Resolve(ctx, mixed)
	fails(t, err, vfs.ESTALE)
}
