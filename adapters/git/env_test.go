package git_test

import (
	"bytes"
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// repo is a checkout that git itself makes.
type repo struct {
	t   testing.TB
	dir string
}

func newRepo(t testing.TB) repo {
	t.Helper()
	r := at(t, t.TempDir())
	r.git("init", "-q", "-b", "main")
	return r
}

// at is what is in a directory already. Without git the test is skipped.
func at(t testing.TB, dir string) repo {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	return repo{t, dir}
}

// commitTime is that of all commits.
const commitTime = 1700000000

// git runs git, apart from what the user has configured.
func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_COUNT=2",
		"GIT_CONFIG_KEY_0=protocol.file.allow", "GIT_CONFIG_VALUE_0=always", "GIT_CONFIG_KEY_1=gc.auto", "GIT_CONFIG_VALUE_1=0",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=1600000000 +0000",
		"GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.com", "GIT_COMMITTER_DATE=1700000000 +0200")
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, errs.Bytes())
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func (r repo) path(name string) string { return filepath.Join(r.dir, name) }

func (r repo) write(name, content string) {
	r.t.Helper()
	check(r.t, os.MkdirAll(filepath.Dir(r.path(name)), 0o755))
	check(r.t, os.WriteFile(r.path(name), []byte(content), 0o644))
}

// commit commits all there is and returns the commit's name.
func (r repo) commit() string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "a change")
	return r.git("rev-parse", "HEAD")
}

// serve opens what is at a path for the length of a test. Refs are looked at
// each time.
func serve(t testing.TB, path string, opt git.Options) *git.FS {
	t.Helper()
	fs := open(t, path, opt)
	t.Cleanup(func() { check(t, fs.Close()) })
	return fs
}

func open(t testing.TB, path string, opt git.Options) *git.FS {
	t.Helper()
	opt.Dir, opt.Look = t.TempDir(), time.Nanosecond
	fs, err := git.Open(ctx, path, opt)
	check(t, err)
	return fs
}

// logTo is a log that a test can read.
func logTo(b *bytes.Buffer) zerolog.Logger { return zerolog.New(b) }

// walk goes down from the root.
func walk(t testing.TB, fs vfs.FS, path string) vfs.Node {
	t.Helper()
	n, err := find(fs, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return n
}

func find(fs vfs.FS, path string) (n vfs.Node, err error) {
	n = fs.Root()
	if path == "" {
		return n, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		if n, err = n.Lookup(ctx, vfs.Root, name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func attr(t testing.TB, n vfs.Node) vfs.Attr {
	t.Helper()
	a, err := n.GetAttr(ctx, vfs.AttrAll)
	check(t, err)
	return a
}

func content(n vfs.Node) (string, error) {
	a, err := n.GetAttr(ctx, vfs.AttrSize)
	if err != nil {
		return "", err
	}
	f, err := n.Open(ctx, vfs.Root, vfs.OpenRead)
	if err != nil {
		return "", err
	}
	defer f.Close()
	p := make([]byte, a.Size+1)
	got, err := f.ReadAt(ctx, p, 0)
	return string(p[:got]), err
}

func holds(t testing.TB, n vfs.Node, want string) {
	t.Helper()
	if got, err := content(n); err != nil || got != want {
		t.Errorf("it holds %.40q (%d bytes), %v; want %.40q (%d bytes)", got, len(got), err, want, len(want))
	}
}

func names(t testing.TB, n vfs.Node) (names []string) {
	t.Helper()
	eof, err := n.ReadDir(ctx, vfs.Root, 0, 0, func(d *vfs.DirEntry) bool {
		names = append(names, d.Name)
		return true
	})
	if err != nil || !eof {
		t.Fatalf("ReadDir: %v, %v", eof, err)
	}
	return names
}

func fails(t testing.TB, err error, want vfs.Errno) {
	t.Helper()
	if vfs.ErrnoOf(err) != want {
		t.Errorf("got %v, want %v", err, want)
	}
}

// noise is text that does not deflate to nothing.
func noise(seed uint64, size int) string {
	r, b := rand.New(rand.NewPCG(seed, 0)), make([]byte, size)
	for i := range b {
		b[i] = "0123456789abcdef\n"[r.IntN(17)]
	}
	return string(b)
}
