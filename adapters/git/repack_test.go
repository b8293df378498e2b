package git_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
)

func TestReadersSeeNothingOfARepack(t *testing.T) {
	r := newRepo(t)
	want := map[string]string{"big": noise(7, 2<<20)}
	for i := range 60 {
		want[fmt.Sprintf("d%d/f%d", i%7, i)] = noise(uint64(i), 3000)
	}
	for name, text := range want {
		r.write(name, text)
	}
	r.commit()
	// Caches that hold next to nothing have every read go to the objects.
	fs := serve(t, r.dir, git.Options{Revision: "main"})
	done := make(chan struct{})
	errs := make(chan error, 4)
	var readers sync.WaitGroup
	for range cap(errs) {
		readers.Go(func() {
			for round := 0; ; round++ {
				select {
				case <-done:
					return
				default:
				}
				if err := readsAll(fs, want); err != nil {
					errs <- fmt.Errorf("round %d: %w", round, err)
					return
				}
				fs.Forget()
			}
		})
	}
	for i := range 6 {
		switch i % 3 {
		case 0:
			r.git("gc", "-q", "--prune=now") // loose to packed
		case 1:
			r.git("repack", "-adFq", fmt.Sprintf("--depth=%d", 1+i)) // pack to pack
		case 2: // pack to loose
			packs, err := filepath.Glob(r.path(".git/objects/pack/*"))
			check(t, err)
			aside := t.TempDir()
			for _, p := range packs {
				check(t, os.Rename(p, filepath.Join(aside, filepath.Base(p))))
			}
			explode(t, r, aside)
		}
	}
	close(done)
	readers.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
}

// explode makes loose objects of packs that the readers still have open.
func explode(t *testing.T, r repo, packs string) {
	t.Helper()
	files, err := filepath.Glob(packs + "/*.pack")
	check(t, err)
	for _, file := range files {
		in, err := os.Open(file)
		check(t, err)
		cmd := exec.Command("git", "unpack-objects", "-q")
		cmd.Dir, cmd.Stdin = r.dir, in
		out, err := cmd.CombinedOutput()
		in.Close()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
}

func readsAll(fs vfs.FS, want map[string]string) error {
	for name, text := range want {
		n, err := find(fs, name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		got, err := content(n)
		if err != nil || got != text {
			return fmt.Errorf("%s has %d bytes, want %d: %w", name, len(got), len(text), err)
		}
	}
	return nil
}

func TestBorrowedObjectsAreFound(t *testing.T) {
	r := newRepo(t)
	r.write("file", "x")
	r.commit()
	copies := t.TempDir()
	r.git("clone", "-q", "--bare", "--shared", r.dir, copies+"/shared.git")
	r.git("clone", "-q", "--bare", "--shared", copies+"/shared.git", copies+"/twice.git")
	for _, name := range []string{"shared.git", "twice.git"} {
		holds(t, walk(t, serve(t, filepath.Join(copies, name), git.Options{Revision: "main"}), "file"), "x")
	}
	check(t, os.RemoveAll(r.dir))
	_, err := git.Open(ctx, copies+"/shared.git", git.Options{})
	if err == nil || !strings.Contains(err.Error(), "borrows objects from") {
		t.Errorf("borrowed objects that are gone: %v", err)
	}
}

func TestWorktreesAndSubmodulesAreRepositories(t *testing.T) {
	r := newRepo(t)
	r.write("file", "main")
	r.commit()
	tree := filepath.Join(t.TempDir(), "tree")
	r.git("worktree", "add", "-q", "-b", "side", tree)
	w := at(t, tree)
	w.write("file", "side")
	w.commit()
	holds(t, walk(t, serve(t, tree, git.Options{Revision: "HEAD"}), "file"), "side")
	holds(t, walk(t, serve(t, r.dir, git.Options{Revision: "HEAD"}), "file"), "main")
	holds(t, walk(t, serve(t, tree, git.Options{}), "HEAD/file"), "side")

	over := newRepo(t)
	over.git("submodule", "add", "-q", r.dir, "module")
	holds(t, walk(t, serve(t, over.path("module"), git.Options{Revision: "main"}), "file"), "main")
}

func TestRepositoriesThatCannotBeReadAreRefused(t *testing.T) {
	sha256, reftable := newRepo(t), newRepo(t)
	for want, make := range map[string]func(dir string){
		"is no git repository":   func(string) {},
		"no such file":           func(dir string) { check(t, os.Remove(dir)) },
		"only sha1 is supported": func(dir string) { sha256.git("init", "-q", "--object-format=sha256", dir) },
		"only files are supported": func(dir string) {
			reftable.git("init", "-q", dir)
			reftable.git("-C", dir, "config", "core.repositoryformatversion", "1")
			reftable.git("-C", dir, "config", "extensions.refStorage", "reftable")
		},
		"version 7": func(dir string) {
			reftable.git("init", "-q", dir)
			reftable.git("-C", dir, "config", "core.repositoryformatversion", "7")
		},
		"is no git repository: ":  func(dir string) { check(t, os.WriteFile(dir+"/.git", []byte("gitdir: /nowhere"), 0o644)) },
		`does not say "gitdir: "`: func(dir string) { check(t, os.WriteFile(dir+"/.git", []byte("rubbish"), 0o644)) },
	} {
		dir := filepath.Join(t.TempDir(), "r")
		check(t, os.Mkdir(dir, 0o755))
		make(dir)
		fs, err := git.Open(ctx, dir, git.Options{})
		if err == nil {
			fs.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want something about %q", err, want)
		}
	}
}

func TestAnEmptyRepositoryHasEmptyFolders(t *testing.T) {
	r := newRepo(t)
	fs := serve(t, r.dir, git.Options{})
	if n := walkAll(t, fs.Root()); n != 3 {
		t.Errorf("it has %d entries", n)
	}
	r.write("file", "x")
	r.commit()
	holds(t, walk(t, fs, "HEAD/file"), "x")
}

// objectFile is where a loose object is.
func (r repo) objectFile(id string) string { return r.path(".git/objects/" + id[:2] + "/" + id[2:]) }

func TestDamageIsEIOAndNamedInTheLogOnce(t *testing.T) {
	r := newRepo(t)
	r.write("missing", "1")
	r.write("cut", strings.Repeat("2", 5000))
	r.write("other", "3")
	r.write("lost/file", "4")
	r.write("fine/file", "5")
	r.write("big", noise(9, 2<<20))
	r.commit()
	ids := map[string]string{}
	for _, name := range []string{"missing", "cut", "other", "lost", "fine/file", "big"} {
		ids[name] = r.git("rev-parse", "HEAD:"+name)
	}
	change := func(id string, f func([]byte) []byte) {
		b, err := os.ReadFile(r.objectFile(id))
		check(t, err)
		check(t, os.Remove(r.objectFile(id)))
		check(t, os.WriteFile(r.objectFile(id), f(b), 0o444))
	}
	check(t, os.Remove(r.objectFile(ids["missing"])))
	check(t, os.Remove(r.objectFile(ids["lost"])))
	change(ids["cut"], func(b []byte) []byte { return b[:len(b)-6] })
	change(ids["big"], func(b []byte) []byte { b[len(b)/2] ^= 0x55; return b })
	change(ids["other"], func([]byte) []byte { // a sound object of another name
		b, err := os.ReadFile(r.objectFile(ids["fine/file"]))
		check(t, err)
		return b
	})
	var log bytes.Buffer
	fs := serve(t, r.dir, git.Options{Revision: "main", Log: logTo(&log)})
	holds(t, walk(t, fs, "fine/file"), "5")
	if got := len(names(t, fs.Root())); got != 6 {
		t.Errorf("the root lists %d names", got)
	}
	for name, id := range ids {
		if name == "fine/file" {
			continue
		}
		for range 3 {
			var err error
			if n := walk(t, fs, name); name == "lost" {
				_, err = n.ReadDir(ctx, vfs.Root, 0, 0, func(*vfs.DirEntry) bool { return true })
			} else {
				_, err = content(n)
			}
			fails(t, err, vfs.EIO)
		}
		if n := strings.Count(log.String(), `"object":"`+id); n != 1 {
			t.Errorf("the log names %s %d times:\n%s", name, n, &log)
		}
	}
	// Another copy will do.
	r.write("elsewhere/copy", "1")
	r.git("hash-object", "-w", "elsewhere/copy")
	holds(t, walk(t, fs, "missing"), "1")
}
