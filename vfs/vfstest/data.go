package vfstest

import (
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/fsva/fsva/vfs"
)

var dataChecks = []check{
	{name: "is read as it was written", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		e.write(f, 0, "0123456789")
		e.write(f, 3, "abc")
		e.reads(f, 0, "012abc6789")
		e.reads(f, 4, "bc6789")
		e.ok(f.Close())
		e.holds(n, "012abc6789")
	}},
	{name: "ends at the size", run: func(e *env) {
		_, f := e.createOpen(e.root, "file")
		e.write(f, 0, "abc")
		for off, want := range map[int64]int{0: 3, 2: 1, 3: 0, 4: 0, 1 << 40: 0} {
			n, err := f.ReadAt(e.ctx, make([]byte, 10), off)
			if n != want || err != nil {
				e.Errorf("ReadAt %d: %d bytes, %v; want %d", off, n, err, want)
			}
		}
		e.ok(f.Close())
	}},
	{name: "has zeroes where nothing was written", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		e.write(f, 100_000, "end")
		e.write(f, 10, "in")
		e.ok(f.Close())
		e.holds(n, strings.Repeat("\x00", 10)+"in"+strings.Repeat("\x00", 100_000-12)+"end")
	}},
	{name: "may be far into a file", run: func(e *env) {
		s, err := e.fs.StatFS(e.ctx)
		e.ok(err)
		off := int64(min(s.MaxFileSize, 1<<40)) - 10
		n, f := e.createOpen(e.root, "file")
		e.write(f, off, "far")
		e.reads(f, off, "far")
		e.reads(f, off-4, "\x00\x00\x00\x00far")
		e.ok(f.Close())
		if size := e.attr(n).Size; size != uint64(off)+3 {
			e.Errorf("size %d", size)
		}
	}},
	{name: "past every limit is refused", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		_, _, err := f.WriteAt(e.ctx, []byte("xy"), math.MaxInt64-1, vfs.Unstable)
		e.fails(err, vfs.EFBIG, vfs.EINVAL)
		_, _, err = f.WriteAt(e.ctx, []byte("x"), -1, vfs.Unstable)
		e.fails(err, vfs.EINVAL)
		_, err = f.ReadAt(e.ctx, make([]byte, 1), -1)
		e.fails(err, vfs.EINVAL)
		e.ok(f.Close())
		e.holds(n, "")
	}},
	{name: "of no bytes changes nothing", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		e.write(f, 1000, "")
		e.ok(f.Close())
		e.holds(n, "")
	}},
	{name: "is shared by all who have the file open", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		g := e.open(n, vfs.OpenRead)
		e.write(f, 0, "seen at once")
		e.reads(g, 0, "seen at once")
		e.truncate(n, 4)
		e.reads(g, 0, "seen")
		e.ok(f.Close())
		e.reads(g, 0, "seen")
		e.ok(g.Close())
	}},
	{name: "of writers side by side is all there", run: func(e *env) {
		const writers, chunks, size = 8, 32, 1 << 10
		n, f := e.createOpen(e.root, "file")
		var wg sync.WaitGroup
		errs := make([]error, writers)
		for w := range writers {
			wg.Go(func() {
				for c := range chunks {
					p := []byte(strings.Repeat(string(rune('a'+w)), size))
					if _, _, err := f.WriteAt(e.ctx, p, int64(c*writers+w)*size, vfs.Unstable); err != nil {
						errs[w] = err
					}
				}
			})
		}
		wg.Wait()
		for _, err := range errs {
			e.ok(err)
		}
		e.ok(f.Close())
		var want strings.Builder
		for range chunks {
			for w := range writers {
				want.WriteString(strings.Repeat(string(rune('a'+w)), size))
			}
		}
		e.holds(n, want.String())
	}},
	{name: "is as durable as was asked", run: func(e *env) {
		_, f := e.createOpen(e.root, "file")
		for _, want := range []vfs.Stability{vfs.Unstable, vfs.DataSync, vfs.FileSync} {
			n, done, err := f.WriteAt(e.ctx, []byte("durable"), 0, want)
			if err != nil || n != 7 || done < want {
				e.Errorf("asked for %d: %d bytes, done %d, %v", want, n, done, err)
			}
		}
		before := e.fs.WriteVerifier()
		e.ok(f.Sync(e.ctx, true))
		e.ok(f.Sync(e.ctx, false))
		if e.fs.WriteVerifier() != before {
			e.Errorf("a Sync that worked changed the write verifier")
		}
		e.ok(f.Close())
	}},
	{name: "outlives a restart once it is synced", needs: []ability{lasting, reopens}, run: func(e *env) {
		for i, how := range []vfs.Stability{vfs.Unstable, vfs.DataSync, vfs.FileSync} {
			n, f := e.createOpen(e.root, fmt.Sprint("file", i))
			_, _, err := f.WriteAt(e.ctx, []byte("kept"), 0, how)
			e.ok(err)
			e.ok(f.Sync(e.ctx, false))
			e.ok(f.Close())
			e.holds(n, "kept")
		}
		e.restart()
		for i := range 3 {
			e.holds(e.lookup(e.root, fmt.Sprint("file", i)), "kept")
		}
	}},
}
