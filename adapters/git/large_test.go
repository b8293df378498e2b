package git_test

import (
	"bufio"
	"fmt"
	"os/exec"
	"testing"

	"github.com/fsva/fsva/adapters/git"
	"github.com/fsva/fsva/vfs"
)

// largeRepo has commits of a number of files, in directories of 25, with a
// history that makes most of them deltas.
func largeRepo(t testing.TB, files int) repo {
	t.Helper()
	r := at(t, t.TempDir())
	r.git("init", "-q", "--bare", "-b", "main")
	cmd := exec.Command("git", "fast-import", "--quiet")
	cmd.Dir = r.dir
	in, err := cmd.StdinPipe()
	check(t, err)
	check(t, cmd.Start())
	w := bufio.NewWriter(in)
	for version := range 2 {
		fmt.Fprintf(w, "commit refs/heads/main\ncommitter C <c@example.com> %d +0000\ndata 1\nx\n", commitTime+version)
		for i := range files {
			if version > 0 && i%3 == 0 {
				continue
			}
			text := noise(uint64(i), 200+i%1000) + fmt.Sprint(version)
			fmt.Fprintf(w, "M 644 inline d%d/e%d/f%d\ndata %d\n%s\n", i/2500, i/25%100, i, len(text), text)
		}
	}
	check(t, w.Flush())
	check(t, in.Close())
	check(t, cmd.Wait())
	r.git("repack", "-adq")
	return r
}

// walkAll visits all nodes below n with their attributes.
func walkAll(t testing.TB, n vfs.Node) (count int) {
	var below []vfs.Node
	_, err := n.ReadDir(ctx, vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(d *vfs.DirEntry) bool {
		check(t, d.Err)
		count++
		if d.Type == vfs.TypeDirectory {
			below = append(below, d.Node)
		}
		return true
	})
	check(t, err)
	for _, n := range below {
		count += walkAll(t, n)
	}
	return count
}

// BenchmarkWalk lists 50,000 files with their attributes: go test -bench Walk
// ./adapters/git
func BenchmarkWalk(b *testing.B) {
	r := largeRepo(b, 50_000)
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			fs := open(b, r.dir, git.Options{Revision: "main"})
			walkAll(b, fs.Root())
			check(b, fs.Close())
		}
	})
	b.Run("warm", func(b *testing.B) {
		fs := serve(b, r.dir, git.Options{Revision: "main"})
		for b.Loop() {
			walkAll(b, fs.Root())
		}
	})
	b.Run("resolve", func(b *testing.B) {
		fs := serve(b, r.dir, git.Options{Revision: r.git("rev-parse", "main")})
		h := walk(b, fs, "d7/e3/f17580").Handle()
		for b.Loop() {
			if _, err := fs.Resolve(ctx, h); err != nil {
				b.Fatal(err)
			}
		}
	})
}
