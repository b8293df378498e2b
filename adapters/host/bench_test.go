package host

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/fsva/fsva/vfs"
)

func BenchmarkGetAttr(b *testing.B) {
	fs := serve(b, b.TempDir(), Options{})
	n, f := create(b, fs.Root(), "file")
	f.Close()
	for b.Loop() {
		if _, err := n.GetAttr(ctx, vfs.AttrAll); err != nil {
			b.Fatal(err)
		}
	}
}

// callers are the ends of the range: root needs no switch of the thread.
func callers(b *testing.B, bench func(b *testing.B, cred *vfs.Cred)) {
	b.Run("root", func(b *testing.B) { bench(b, vfs.Root) })
	b.Run("user", func(b *testing.B) {
		needRoot(b, "acting as other users")
		bench(b, user)
	})
}

func BenchmarkLookup(b *testing.B) {
	callers(b, func(b *testing.B, cred *vfs.Cred) {
		fs := serve(b, b.TempDir(), Options{})
		_, f := create(b, fs.Root(), "file")
		f.Close()
		for b.Loop() {
			if _, err := fs.Root().Lookup(ctx, cred, "file"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAs measures the switch of the thread alone.
func BenchmarkAs(b *testing.B) {
	callers(b, func(b *testing.B, cred *vfs.Cred) {
		fs := serve(b, b.TempDir(), Options{})
		for b.Loop() {
			if err := fs.as(cred, func() error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkOpenReadClose(b *testing.B) {
	callers(b, func(b *testing.B, cred *vfs.Cred) {
		fs := serve(b, b.TempDir(), Options{})
		n, f := create(b, fs.Root(), "file")
		write(b, f, "some data")
		f.Close()
		buf := make([]byte, 4096)
		for b.Loop() {
			f, err := n.Open(ctx, cred, vfs.OpenRead)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := f.ReadAt(ctx, buf, 0); err != nil {
				b.Fatal(err)
			}
			f.Close()
		}
	})
}

func BenchmarkCreateRemove(b *testing.B) {
	callers(b, func(b *testing.B, cred *vfs.Cred) {
		dir := b.TempDir()
		fs := serve(b, dir, Options{})
		if err := os.Chmod(dir, 0o777); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			_, f, _, err := fs.Root().Create(ctx, cred, "file", mode(0o644), vfs.OpenWrite)
			if err != nil {
				b.Fatal(err)
			}
			f.Close()
			if _, err := fs.Root().Remove(ctx, cred, "file", false); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWriteAt4K(b *testing.B) {
	callers(b, func(b *testing.B, cred *vfs.Cred) {
		dir := b.TempDir()
		fs := serve(b, dir, Options{})
		if err := os.Chmod(dir, 0o777); err != nil {
			b.Fatal(err)
		}
		_, f, _, err := fs.Root().Create(ctx, cred, "file", mode(0o644), vfs.OpenWrite)
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, 4096)
		b.SetBytes(4096)
		for b.Loop() {
			if _, _, err := f.WriteAt(ctx, buf, 0, vfs.Unstable); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkReadDir lists 10,000 entries with all that READDIR can ask for.
func BenchmarkReadDir(b *testing.B) {
	const count = 10_000
	dir := b.TempDir()
	for i := range count {
		if err := os.Symlink("x", filepath.Join(dir, strconv.Itoa(i))); err != nil {
			b.Fatal(err)
		}
	}
	fs := serve(b, dir, Options{})
	for b.Loop() {
		n := 0
		eof, err := fs.Root().ReadDir(ctx, vfs.Root, 0, vfs.AttrAll|vfs.AttrNode, func(e *vfs.DirEntry) bool {
			n++
			return e.Err == nil
		})
		if n != count || !eof || err != nil {
			b.Fatal(n, eof, err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/count, "ns/entry")
}
