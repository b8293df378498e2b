package vfstest

import (
	"math"
	"path"
	"slices"
	"strings"

	"github.com/fsva/fsva/vfs"
)

var readOnlyAbilityChecks = []check{
	{name: "say that it is read-only", run: func(e *env) {
		if !e.fs.Caps().ReadOnly {
			e.Errorf("Caps.ReadOnly is not set")
		}
	}},
	{name: "a statfs adds up", run: (*env).statFSAddsUp},
}

var treeChecks = []check{
	{name: "lists what it should", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			got := e.list(n)
			slices.Sort(got)
			if want := e.tree.names(p); !slices.Equal(got, want) {
				e.Errorf("%q lists %.20q, want %.20q", p, got, want)
			}
		}, vfs.TypeDirectory)
	}},
	{name: "has the attributes it should", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			a, want := e.attr(n), e.tree.of(p)
			switch {
			case a.Type != want.Type:
				e.Errorf("%q is of type %d, want %d", p, a.Type, want.Type)
			case want.Mode != 0 && a.Mode != want.Mode:
				e.Errorf("%q has mode %o, want %o", p, a.Mode, want.Mode)
			case a.Mode&^0o7777 != 0:
				e.Errorf("%q has mode %o, which is more than permissions", p, a.Mode)
			case want.Owned && (a.UID != want.UID || a.GID != want.GID):
				e.Errorf("%q is of %d:%d, want %d:%d", p, a.UID, a.GID, want.UID, want.GID)
			case want.Mtime != (vfs.Timespec{}) && a.Mtime != want.Mtime:
				e.Errorf("%q was modified at %v, want %v", p, a.Mtime, want.Mtime)
			case a.Rdev != want.Rdev:
				e.Errorf("%q is device %v, want %v", p, a.Rdev, want.Rdev)
			case want.Type == vfs.TypeRegular && a.Size != uint64(len(want.Content)):
				e.Errorf("%q has %d bytes, want %d", p, a.Size, len(want.Content))
			case want.Type == vfs.TypeSymlink && a.Size != uint64(len(want.Target)):
				e.Errorf("link %q has size %d, want %d", p, a.Size, len(want.Target))
			}
			for _, t := range []vfs.Timespec{a.Atime, a.Mtime, a.Ctime} {
				if t.Nsec >= 1e9 {
					e.Errorf("%q has %d nanoseconds in a time", p, t.Nsec)
				}
			}
		})
	}},
	{name: "has as many links as names", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			got, want := e.attr(n).Nlink, e.tree.links(p)
			// A directory that does not count its subdirectories has 1,
			// as in btrfs: find(1) takes 2 for "no directories in it".
			if got != want && !(got == 1 && e.tree.of(p).Type == vfs.TypeDirectory) {
				e.Errorf("%q has %d links, want %d", p, got, want)
			}
		})
	}},
	{name: "has the targets of symbolic links", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			got, err := n.ReadLink(e.ctx, root)
			if want := e.tree.of(p); want.Type != vfs.TypeSymlink {
				e.fails(err, vfs.EINVAL)
			} else if err != nil || got != want.Target {
				e.Errorf("%q leads to %q, %v; want %q", p, got, err, want.Target)
			}
		})
	}},
	{name: "knows the parents of directories", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			up, err := n.Parent(e.ctx, root)
			switch {
			case e.tree.of(p).Type != vfs.TypeDirectory:
				e.fails(err, vfs.ENOTDIR)
			case p == ".":
				e.fails(err, vfs.ENOENT)
			case err != nil || !same(up, e.at(path.Dir(p))):
				e.Errorf("%q has another parent: %v", p, err)
			}
		})
	}},
}

// readSizes are of reads at every place of a file: bytes, guests' pages, and
// what a server reads at once.
var readSizes = []int{1, 511, 4096, 128 << 10, 1 << 20}

var readChecks = []check{
	{name: "is what it should be", run: func(e *env) {
		e.every(func(p string, n vfs.Node) { e.holds(n, e.tree.of(p).Content) }, vfs.TypeRegular)
	}},
	{name: "is the same in pieces of any size", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			f, want := e.open(n, vfs.OpenRead), e.tree.of(p).Content
			for _, size := range readSizes {
				// 200 pieces all over the file, the last one over its end.
				step := max(size, len(want)/200)
				for off := 0; off <= len(want); off += step {
					e.readsPiece(p, f, off, size, want)
				}
			}
			e.ok(f.Close())
		}, vfs.TypeRegular)
	}},
	{name: "is the same from the end to the start", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			f, want := e.open(n, vfs.OpenRead), e.tree.of(p).Content
			step := max(4096, len(want)/50)
			for off := len(want); off >= 0; off -= step {
				e.readsPiece(p, f, off, 4096, want)
			}
			e.ok(f.Close())
		}, vfs.TypeRegular)
	}},
	{name: "ends where the file ends", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			f := e.open(n, vfs.OpenRead)
			size := int64(len(e.tree.of(p).Content))
			buf := []byte("untouched")
			for _, off := range []int64{size, size + 1, size + 1<<20, 1 << 40, math.MaxInt64 - 4, math.MaxInt64} {
				if got, err := f.ReadAt(e.ctx, buf, off); got != 0 || err != nil {
					e.Errorf("%q of %d bytes: %d bytes at %d, %v", p, size, got, off, err)
				}
			}
			if got, err := f.ReadAt(e.ctx, nil, 0); got != 0 || err != nil {
				e.Errorf("%q: a read of nothing gives %d, %v", p, got, err)
			}
			e.ok(f.Close())
		}, vfs.TypeRegular)
	}},
	{name: "has nothing but zeroes in its holes", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			f := e.open(n, vfs.OpenRead)
			if h, ok := f.(vfs.HoleSeeker); ok {
				e.holesAreZero(p, h, e.tree.of(p).Content)
			}
			e.ok(f.Close())
		}, vfs.TypeRegular)
	}},
	{name: "of a file opened several times is read by each", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			want := e.tree.of(p).Content
			first, second := e.open(n, vfs.OpenRead), e.open(n, vfs.OpenRead)
			if !same(first.Node(), n) {
				e.Errorf("%q: what was opened is another node", p)
			}
			e.readsPiece(p, first, len(want)/2, 4096, want)
			e.readsPiece(p, second, 0, 4096, want)
			e.ok(first.Close())
			e.readsPiece(p, second, len(want)/2, 4096, want)
			e.ok(second.Sync(e.ctx, false))
			e.ok(second.Close())
		}, vfs.TypeRegular)
	}},
}

// readsPiece wants what content has at off.
func (e *env) readsPiece(p string, f vfs.File, off, size int, content string) {
	e.Helper()
	want := content[off:min(off+size, len(content))]
	buf := []byte(strings.Repeat("\xa5", size))
	n, err := f.ReadAt(e.ctx, buf, int64(off))
	if err != nil || string(buf[:n]) != want {
		e.Errorf("%q: %d bytes at %d give %d bytes %.40q, %v; want %d bytes %.40q", p, size, off, n, buf[:n], err, len(want), want)
	}
}

// holesAreZero goes from data to data of a file.
func (e *env) holesAreZero(p string, h vfs.HoleSeeker, content string) {
	e.Helper()
	size := int64(len(content))
	for _, off := range []int64{size, size + 1, math.MaxInt64} {
		_, err := h.SeekData(e.ctx, off)
		e.fails(err, vfs.ENXIO)
		_, err = h.SeekHole(e.ctx, off)
		e.fails(err, vfs.ENXIO)
	}
	for off := int64(0); off < size; {
		data, err := h.SeekData(e.ctx, off)
		if vfs.ErrnoOf(err) == vfs.ENXIO {
			data, err = size, nil
		}
		if err != nil || data < off || data > size || strings.Trim(content[off:data], "\x00") != "" {
			e.Errorf("%q: data from %d on is said to be at %d, %v", p, off, data, err)
			return
		}
		if data == size {
			return
		}
		hole, err := h.SeekHole(e.ctx, data)
		if err != nil || hole <= data || hole > size {
			e.Errorf("%q: the hole behind data at %d is said to be at %d, %v", p, data, hole, err)
			return
		}
		off = hole
	}
}
