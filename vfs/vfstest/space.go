package vfstest

import (
	"strings"

	"github.com/fsva/fsva/vfs"
)

const block = 64 << 10 // bytes, a multiple of every file system's blocks

var spaceChecks = []check{
	{name: "is found in data and holes", needs: []ability{holes}, run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		e.write(f, 4*block, strings.Repeat("x", block))
		e.truncate(n, 16*block)
		e.ok(f.Sync(e.ctx, false))
		s := f.(vfs.HoleSeeker)
		for _, tt := range []struct {
			name     string
			seek     func(int64) (int64, error)
			off, min int64 // what is found lies from min
			max      int64 // to max
		}{
			{"data", func(o int64) (int64, error) { return s.SeekData(e.ctx, o) }, 0, 0, 4 * block},
			{"data", func(o int64) (int64, error) { return s.SeekData(e.ctx, o) }, 4*block + 10, 4*block + 10, 4*block + 10},
			{"hole", func(o int64) (int64, error) { return s.SeekHole(e.ctx, o) }, 4 * block, 5 * block, 16 * block},
		} {
			got, err := tt.seek(tt.off)
			if err != nil || got < tt.min || got > tt.max {
				e.Errorf("%s from %d: %d, %v; want %d to %d", tt.name, tt.off, got, err, tt.min, tt.max)
			}
		}
		for _, off := range []int64{16 * block, 17 * block} {
			_, err := s.SeekData(e.ctx, off)
			e.fails(err, vfs.ENXIO)
			_, err = s.SeekHole(e.ctx, off)
			e.fails(err, vfs.ENXIO)
		}
		e.ok(f.Close())
	}},
	{name: "is reserved and given back", needs: []ability{allocates}, run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		a := f.(vfs.Allocator)
		e.ok(a.Allocate(e.ctx, 0, 4*block))
		if size := e.attr(n).Size; size != 4*block {
			e.Errorf("size %d after Allocate", size)
		}
		e.write(f, 0, strings.Repeat("x", 4*block))
		e.ok(a.Allocate(e.ctx, 0, block)) // keeps what is there
		e.reads(f, 0, strings.Repeat("x", 4*block))
		e.ok(a.Deallocate(e.ctx, block, 2*block))
		if size := e.attr(n).Size; size != 4*block {
			e.Errorf("size %d after Deallocate", size)
		}
		e.ok(a.Deallocate(e.ctx, 3*block+5, 1<<40)) // past the end, at no block's start
		e.ok(f.Close())
		e.holds(n, strings.Repeat("x", block)+strings.Repeat("\x00", 2*block)+"xxxxx"+strings.Repeat("\x00", block-5))
	}},
	{name: "is copied inside the file system", needs: []ability{copies}, run: func(e *env) {
		_, src := e.createOpen(e.root, "src")
		e.write(src, 0, "0123456789")
		to, dst := e.createOpen(e.root, "dst")
		e.write(dst, 0, "----------")
		copied, err := src.(vfs.RangeCopier).CopyRange(e.ctx, 2, dst, 5, 3)
		if err != nil || copied != 3 {
			e.Errorf("copied %d, %v", copied, err)
		}
		copied, err = src.(vfs.RangeCopier).CopyRange(e.ctx, 8, dst, 20, 100)
		if err != nil || copied != 2 {
			e.Errorf("copied %d over the end, %v", copied, err)
		}
		copied, err = src.(vfs.RangeCopier).CopyRange(e.ctx, 10, dst, 0, 100)
		if err != nil || copied != 0 {
			e.Errorf("copied %d behind the end, %v", copied, err)
		}
		e.ok(src.Close())
		e.ok(dst.Close())
		e.holds(to, "-----234--"+strings.Repeat("\x00", 10)+"89")
	}},
	{name: "is shared by clones until one changes", needs: []ability{clones}, run: func(e *env) {
		content := strings.Repeat("c", 4*block)
		from, src := e.createOpen(e.root, "src")
		e.write(src, 0, content)
		e.ok(src.Sync(e.ctx, false))
		to, dst := e.createOpen(e.root, "dst")
		err := src.(vfs.Cloner).CloneRange(e.ctx, 0, dst, 0, 0)
		if vfs.ErrnoOf(err) == vfs.EOPNOTSUPP {
			e.Skipf("the file system cannot clone after all: %v", err)
		}
		e.ok(err)
		e.write(dst, 0, "d")
		e.ok(src.Close())
		e.ok(dst.Close())
		e.holds(from, content)
		e.holds(to, "d"+content[1:])
	}},
	{name: "is told by statfs as it goes", needs: []ability{fills}, run: func(e *env) {
		e.useSmall()
		before, err := e.fs.StatFS(e.ctx)
		e.ok(err)
		_, f := e.createOpen(e.root, "file")
		e.write(f, 0, strings.Repeat("x", 256<<10))
		e.ok(f.Sync(e.ctx, false))
		after, err := e.fs.StatFS(e.ctx)
		e.ok(err)
		if before.FreeBytes-after.FreeBytes < 256<<10 {
			e.Errorf("free %d, then %d", before.FreeBytes, after.FreeBytes)
		}
		e.ok(f.Close())
	}},
	{name: "that is full is ENOSPC and loses nothing", needs: []ability{fills}, run: func(e *env) {
		e.useSmall()
		kept := e.file(e.root, "kept", "kept")
		n, f := e.createOpen(e.root, "file")
		chunk := []byte(strings.Repeat("x", block))
		var size int64
		var err error
		for err == nil && size < 64<<20 {
			var wrote int
			wrote, _, err = f.WriteAt(e.ctx, chunk, size, vfs.FileSync)
			size += int64(wrote)
		}
		e.fails(err, vfs.ENOSPC)
		if got := int64(e.attr(n).Size); got != size {
			e.Errorf("size %d, and %d bytes were written", got, size)
		}
		for off := int64(0); off+block <= size; off += block {
			e.reads(f, off, string(chunk))
		}
		e.write(f, 0, "over") // what has its place can be written
		e.ok(f.Close())
		e.holds(kept, "kept")
		e.remove(e.root, "file")
		e.file(e.root, "again", string(chunk))
	}},
}

// useSmall exchanges the file system for a small one.
func (e *env) useSmall() {
	e.closeFS()
	e.fs = nil
	e.fs = e.small()
	e.root = e.fs.Root()
}
