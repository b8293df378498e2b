package git_test

import (
	"os"
	"strings"
	"testing"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// everything is a tree with a bit of all that git can hold, and what is to be
// seen of it. It has another version of its large files in its history, so that
// they are stored as deltas once they are packed.
func everything(t testing.TB) (repo, map[string]vfstest.Entry) {
	r := newRepo(t)
	big, medium := noise(1, 3<<20), noise(2, 300<<10)
	r.write("big", big)
	r.write("medium", medium)
	r.commit()
	big = big[:1<<20] + "an insertion" + big[1<<20:2<<20] + big[:100<<10] // copies backwards, too
	medium = "at the start" + medium[1000:]
	for name, text := range map[string]string{
		"big": big, "medium": medium, "empty": "", "a": "a", "same": "a", "dir/a": "a", "dir/sub/deep/er/file": "deep",
		"dir-": "sorts before dir/ in git", "dir.x": "and this", "with space \xff\"\n": "odd", strings.Repeat("n", 255): "long",
		"run.sh": "#!/bin/sh\n", "lfs.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n",
	} {
		r.write(name, text)
	}
	check(t, os.Chmod(r.path("run.sh"), 0o755))
	check(t, os.Symlink("dir/a", r.path("link")))
	check(t, os.Symlink("../../nowhere", r.path("dir/broken")))
	for i := range 100 {
		r.write("many/"+noise(uint64(i), 8)+".txt", noise(uint64(i), i))
	}
	other := newRepo(t)
	other.write("x", "not to be seen")
	other.commit()
	r.git("submodule", "add", "-q", other.dir, "module")
	r.commit()

	at := vfs.Timespec{Sec: commitTime}
	want := map[string]vfstest.Entry{"module": {Type: vfs.TypeDirectory, Mode: 0o755, Mtime: at}}
	for _, name := range strings.Split(strings.TrimSuffix(r.git("ls-files", "-z"), "\x00"), "\x00") {
		if name == "module" {
			continue
		}
		st, err := os.Lstat(r.path(name))
		check(t, err)
		e := vfstest.Entry{Mode: uint32(st.Mode().Perm()), Owned: true, Mtime: at}
		if st.Mode()&os.ModeSymlink != 0 {
			e.Type, e.Mode = vfs.TypeSymlink, 0o777
			e.Target, err = os.Readlink(r.path(name))
			check(t, err)
		} else {
			b, err := os.ReadFile(r.path(name))
			check(t, err)
			e.Content = string(b)
		}
		want[name] = e
	}
	return r, want
}

func contract(t *testing.T, path string, opt git.Options, want map[string]vfstest.Entry) {
	t.Helper()
	vfstest.ReadOnly{Open: func(t testing.TB) vfs.FS { return open(t, path, opt) }, Want: want}.Run(t)
}

func TestContractOfARevision(t *testing.T) {
	r, want := everything(t)
	main := git.Options{Revision: "main"}
	t.Run("loose", func(t *testing.T) { contract(t, r.dir, main, want) })
	r.git("gc", "-q", "--aggressive", "--prune=now")
	t.Run("packed", func(t *testing.T) { contract(t, r.dir, main, want) })
	t.Run("spool that holds one blob", func(t *testing.T) { contract(t, r.dir, git.Options{Revision: "main", Spool: 4 << 20}, want) })
}

func TestContractOfAllRefs(t *testing.T) {
	r := newRepo(t)
	r.write("dir/file", "old")
	r.commit()
	r.write("dir/file", "new")
	r.commit()
	r.git("tag", "-a", "-m", "a tag", "v1")
	r.git("tag", "-a", "-m", "a tag of a tag", "v1-again", "v1")
	r.git("tag", "tree", "HEAD^{tree}")
	r.git("tag", "of-a-blob", "HEAD:dir/file") // which is not shown
	r.git("branch", "feature/one")
	r.git("update-ref", "refs/remotes/origin/main", "HEAD")
	r.git("update-ref", "refs/notes/commits", "HEAD^")
	r.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	r.git("pack-refs", "--all")
	r.git("branch", "feature/loose")
	r.git("branch", "-f", "feature/one", "HEAD^") // loose, and before it another one packed
	want := map[string]vfstest.Entry{}
	for ref, content := range map[string]string{
		"HEAD": "new", "branches/main": "new", "branches/feature/loose": "new", "branches/feature/one": "old",
		"tags/v1": "new", "tags/v1-again": "new", "remotes/origin/HEAD": "new", "remotes/origin/main": "new", "other/notes/commits": "old",
	} {
		want[ref+"/dir/file"] = vfstest.Entry{Mode: 0o644, Content: content, Mtime: vfs.Timespec{Sec: commitTime}}
	}
	want["tags/tree/dir/file"] = vfstest.Entry{Mode: 0o644, Content: "new"}
	contract(t, r.dir, git.Options{}, want)
}
