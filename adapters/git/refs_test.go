package git_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
)

// history is a repository of three commits, the last of which merges a branch.
func history(t *testing.T) (repo, []string) {
	r := newRepo(t)
	var commits []string
	for _, text := range []string{"one", "two"} {
		r.write("file", text)
		commits = append(commits, r.commit())
	}
	r.git("checkout", "-q", "-b", "side", "HEAD~1")
	r.write("other", "side")
	commits = append(commits, r.commit())
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	return r, append(commits, r.git("rev-parse", "HEAD"))
}

func TestARevisionIsWhatGitSaysItIs(t *testing.T) {
	r, commits := history(t)
	r.git("tag", "-a", "-m", "x", "v1", commits[1])
	r.git("tag", "both", commits[0])
	r.git("branch", "both", commits[1]) // a tag comes first
	r.git("update-ref", "refs/remotes/origin/main", commits[0])
	r.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/main")
	for _, packed := range []bool{false, true} {
		if packed {
			r.git("gc", "-q")
		}
		for _, rev := range []string{"main", "HEAD", "@", "HEAD~1", "HEAD^2", "HEAD^", "HEAD~2", "HEAD^2~1", "HEAD^0", "main~", "v1", "v1^", "both",
			"heads/both", "refs/heads/both", "origin", "origin/main", "side", commits[2], commits[1][:7], commits[0][:39], "v1~0"} {
			fs := serve(t, r.dir, git.Options{Revision: rev})
			var out strings.Builder
			for _, name := range names(t, fs.Root()) {
				text, err := content(walk(t, fs, name))
				check(t, err)
				out.WriteString(name + "=" + text + " ")
			}
			var want strings.Builder
			for name := range strings.FieldsSeq(r.git("ls-tree", "--name-only", rev)) {
				want.WriteString(name + "=" + r.git("show", rev+":"+name) + " ")
			}
			got := strings.Fields(out.String())
			slices.Sort(got)
			if strings.Join(got, " ") != strings.TrimSpace(want.String()) {
				t.Errorf("%s is %s, want %s", rev, got, want.String())
			}
		}
	}
}

func TestWhatIsNoRevisionIsNamed(t *testing.T) {
	r, commits := history(t)
	r.git("tag", "blob", "HEAD:file")
	for rev, want := range map[string]string{
		"missing": `no branch, tag or commit "missing"`, "main~9": "has 0 parents", "main^3": "has 2 parents", "blob": "neither a commit nor a tree",
		strings.Repeat("0", 40): "no such object", "main:file": "no revision", commits[0][:3]: "no branch", "ffffffff": "no branch",
	} {
		fs, err := git.Open(ctx, r.dir, git.Options{Revision: rev})
		if err == nil {
			fs.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), r.dir) {
			t.Errorf("%s: %v; want something about %q", rev, err, want)
		}
	}
}

func TestARefThatMovesShowsItsNewCommit(t *testing.T) {
	r := newRepo(t)
	r.write("dir/file", "old")
	r.write("gone", "x")
	r.commit()
	for _, opt := range []git.Options{{Revision: "main"}, {}} {
		top := ""
		if opt.Revision == "" {
			top = "branches/main"
		}
		fs := serve(t, r.dir, opt)
		root := walk(t, fs, top)
		before, old := attr(t, root), walk(t, root0{FS: fs, root: root}, "dir/file")
		r.write("dir/file", "new")
		check(t, os.Remove(r.path("gone")))
		r.commit()
		// The same node, with something else in it.
		if after := attr(t, root); after.Change == before.Change || after.FileID != before.FileID {
			t.Errorf("before the move %+v, after it %+v", before, after)
		}
		if got := names(t, root); !slices.Equal(got, []string{"dir"}) {
			t.Errorf("the new commit has %q", got)
		}
		holds(t, walk(t, root0{FS: fs, root: root}, "dir/file"), "new")
		// Who has a file of the old commit goes on reading it.
		holds(t, old, "old")
		again, err := fs.Resolve(ctx, old.Handle())
		check(t, err)
		holds(t, again, "old")
		if now := walk(t, root0{FS: fs, root: root}, "dir/file"); attr(t, now).FileID == attr(t, again).FileID {
			t.Error("two versions of a file have one file id")
		}
		r.git("reset", "-q", "--hard", "HEAD~1") // and back
		holds(t, walk(t, root0{FS: fs, root: root}, "dir/file"), "old")
		walk(t, root0{FS: fs, root: root}, "gone")
	}
}

// root0 is a file system with another root.
type root0 struct {
	vfs.FS
	root vfs.Node
}

func (r root0) Root() vfs.Node { return r.root }

func TestAListingGoesOnOverAMoveOfItsRef(t *testing.T) {
	r := newRepo(t)
	for i := range 100 {
		r.write("stays"+noise(uint64(i), 6)+"-", "x")
	}
	r.write("goes", "x")
	r.commit()
	fs := serve(t, r.dir, git.Options{Revision: "main"})
	seen := map[string]int{}
	var cookie uint64
	for page := 0; ; page++ {
		left := 7
		eof, err := fs.Root().ReadDir(ctx, vfs.Root, cookie, 0, func(d *vfs.DirEntry) bool {
			if left == 0 {
				return false
			}
			left--
			seen[d.Name]++
			cookie = d.Cookie
			return true
		})
		check(t, err)
		if eof {
			break
		}
		if page == 5 {
			check(t, os.Remove(r.path("goes")))
			r.write("0comes", "x")
			r.commit()
		}
	}
	for name := range strings.SplitSeq(r.git("ls-files", "-z"), "\x00") {
		if strings.HasPrefix(name, "stays") && seen[name] != 1 {
			t.Errorf("%q was seen %d times", name, seen[name])
		}
	}
}

func TestRefsComeAndGo(t *testing.T) {
	r := newRepo(t)
	r.write("file", "x")
	r.commit()
	fs := serve(t, r.dir, git.Options{})
	branches := walk(t, fs, "branches")
	before := attr(t, branches).Change
	r.git("branch", "feature/new")
	if attr(t, branches).Change == before {
		t.Error("a new branch does not change the folder")
	}
	folder, file := walk(t, fs, "branches/feature"), walk(t, fs, "branches/feature/new/file")
	r.git("pack-refs", "--all")
	holds(t, walk(t, fs, "branches/feature/new/file"), "x")
	r.git("branch", "-D", "feature/new")
	if got := names(t, branches); !slices.Equal(got, []string{"main"}) {
		t.Errorf("the branches are %q", got)
	}
	for _, h := range [][]byte{folder.Handle(), file.Handle()} {
		_, err := fs.Resolve(ctx, h)
		fails(t, err, vfs.ESTALE)
	}
}

func TestARevisionWhoseBranchIsGoneStaysWhatItWas(t *testing.T) {
	r, _ := history(t)
	var log bytes.Buffer
	fs := serve(t, r.dir, git.Options{Revision: "side", Log: logTo(&log)})
	r.git("branch", "-D", "side")
	holds(t, walk(t, fs, "other"), "side")
	holds(t, walk(t, fs, "file"), "one")
	if n := strings.Count(log.String(), "what they were is served on"); n != 1 {
		t.Errorf("the log says %d times that the branch is gone:\n%s", n, &log)
	}
}

// git fetch, gc and crashes leave things behind, and a repository may hold what
// git would not have made.
func TestWhatIsNoRefIsLeftOut(t *testing.T) {
	r := newRepo(t)
	r.write("file", "x")
	id := r.commit()
	for name, text := range map[string]string{
		".git/refs/heads/empty": "", ".git/refs/heads/rubbish": "zzz\n", ".git/refs/heads/held.lock": id, ".git/refs/heads/loop": "ref: refs/heads/loop\n",
		".git/refs/heads/up":   "ref: ../../../etc/passwd\n",
		".git/packed-refs":     id + " refs/heads/a\n" + id + " refs/heads/a/b\n" + id + " refs/heads/../../../x\n" + id + " refs/heads//y\n" + id + " refs/heads/missing-object\n" + id + " rubbish\n",
		".git/refs/heads/lost": strings.Repeat("1", 40) + "\n",
	} {
		r.write(name, text)
	}
	var log bytes.Buffer
	fs := serve(t, r.dir, git.Options{Log: logTo(&log)})
	got := names(t, walk(t, fs, "branches"))
	slices.Sort(got)
	if want := []string{"a", "lost", "main", "missing-object"}; !slices.Equal(got, want) {
		t.Errorf("the branches are %q, want %q", got, want)
	}
	_, err := find(fs, "branches/lost/file")
	fails(t, err, vfs.EIO)
	for range 3 {
		walk(t, fs, "branches/a/file")
	}
	if n := strings.Count(log.String(), "refs/heads/a/b"); n != 1 {
		t.Errorf("the log names the ref that is left out %d times:\n%s", n, &log)
	}
}
