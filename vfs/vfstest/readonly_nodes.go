package vfstest

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/fsva/fsva/vfs"
)

var readListingChecks = []check{
	{name: "has each entry once, whatever the page", run: func(e *env) {
		e.every(func(p string, dir vfs.Node) {
			want := e.tree.names(p)
			for _, page := range []int{1, 2, 7, 100, len(want), len(want) + 1} {
				if page > 0 && page*500 >= len(want) { // single entries of a small one
					e.listsOnce(dir, page, len(want))
				}
			}
		}, vfs.TypeDirectory)
	}},
	{name: "resumes behind any entry", run: func(e *env) {
		e.every(func(p string, dir vfs.Node) { e.resumes(dir) }, vfs.TypeDirectory)
	}},
	{name: "has attributes and nodes as GetAttr and Lookup have", run: func(e *env) {
		e.every(func(p string, dir vfs.Node) { e.listsAsLookedUp(dir) }, vfs.TypeDirectory)
	}},
	{name: "from cookies never given is harmless", run: func(e *env) {
		e.every(func(p string, dir vfs.Node) {
			names := e.tree.names(p)
			for _, cookie := range []uint64{1, 2, 3, 4, uint64(len(names)) + 2, uint64(len(names)) + 3, 1 << 32, math.MaxInt64, math.MaxUint64} {
				dir.ReadDir(e.ctx, root, cookie, vfs.AttrAll, func(d *vfs.DirEntry) bool {
					if !slices.Contains(names, d.Name) {
						e.Errorf("%q lists %q from cookie %d", p, d.Name, cookie)
					}
					return true
				})
			}
		}, vfs.TypeDirectory)
	}},
}

var readHandleChecks = []check{
	{name: "lead back to their nodes, of which each has its own", run: func(e *env) {
		paths := map[string]string{}
		e.every(func(p string, n vfs.Node) {
			h := n.Handle()
			if len(h) < 1 || len(h) > vfs.MaxNodeHandle {
				e.Errorf("%q has a handle of %d bytes", p, len(h))
			}
			if other, ok := paths[string(h)]; ok && other != e.tree.file(p) {
				e.Errorf("%q and %q have one handle", p, other)
			}
			paths[string(h)] = e.tree.file(p)
			if back := e.resolve(bytes.Clone(h)); !same(back, n) || steady(e.attr(back)) != steady(e.attr(n)) {
				e.Errorf("the handle of %q leads to another node", p)
			}
		})
	}},
	{name: "survive a restart", run: func(e *env) {
		handles := map[string][]byte{}
		e.every(func(p string, n vfs.Node) { handles[p] = bytes.Clone(n.Handle()) })
		volatile := e.fs.Caps().Volatile
		e.restart()
		for p, h := range handles {
			n, err := e.fs.Resolve(e.ctx, h)
			switch {
			case volatile && err != nil:
				e.fails(err, vfs.ESTALE, vfs.EBADHANDLE)
			case err != nil:
				e.Errorf("the handle of %q is lost: %v", p, err)
			case !same(n, e.at(p)):
				e.Errorf("the handle of %q leads to another node", p)
			}
		}
	}},
	{name: "that are rubbish are refused", run: func(e *env) {
		for _, p := range e.tree.paths()[:min(3, len(e.tree))] {
			e.refusesRubbish(e.at(p).Handle())
		}
	}},
}

// steady is what must not change by itself. A read may renew the time of the
// last one.
func steady(a vfs.Attr) vfs.Attr {
	a.Atime = vfs.Timespec{}
	return a
}

var steadyChecks = []check{
	{name: "stay as they are", run: func(e *env) {
		before := map[string]vfs.Attr{}
		e.every(func(p string, n vfs.Node) { before[p] = steady(e.attr(n)) })
		e.every(func(p string, n vfs.Node) {
			switch before[p].Type {
			case vfs.TypeRegular:
				e.holds(n, e.tree.of(p).Content)
			case vfs.TypeDirectory:
				e.list(n)
			}
		})
		e.every(func(p string, n vfs.Node) {
			if a := steady(e.attr(n)); a != before[p] {
				e.Errorf("%q changed from %+v to %+v", p, before[p], a)
			}
		})
	}},
	{name: "stay as they are over a restart", needs: []ability{lasting}, run: func(e *env) {
		before := map[string]vfs.Attr{}
		e.every(func(p string, n vfs.Node) { before[p] = steady(e.attr(n)) })
		e.restart()
		e.every(func(p string, n vfs.Node) {
			if a := steady(e.attr(n)); a != before[p] {
				e.Errorf("%q changed from %+v to %+v", p, before[p], a)
			}
		})
	}},
	{name: "number each file", run: func(e *env) {
		paths := map[uint64]string{}
		e.every(func(p string, n vfs.Node) {
			id := e.attr(n).FileID
			if other, ok := paths[id]; id == 0 || ok && other != e.tree.file(p) {
				e.Errorf("%q has file id %d, as has %q", p, id, other)
			}
			paths[id] = e.tree.file(p)
		})
	}},
}

const accessToChange = vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete | vfs.AccessXattrWrite

var readPermissionChecks = []check{
	{name: "to change is never granted", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			for _, who := range []*vfs.Cred{root, alice, bob} {
				a := e.attr(n)
				got, err := n.Access(e.ctx, who, accessToChange|vfs.AccessRead)
				if err != nil || got&accessToChange != 0 {
					e.Errorf("%q grants user %d %#x, %v", p, who.UID, got, err)
				}
				if who == root && a.Type != vfs.TypeSymlink && got&vfs.AccessRead == 0 {
					e.Errorf("%q does not let root read", p)
				}
			}
		})
	}},
	{name: "goes by owner, group and others", needs: []ability{users}, run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			a := e.attr(n)
			for _, who := range []*vfs.Cred{root, alice, bob} {
				var err error
				if a.Type == vfs.TypeDirectory {
					_, err = n.ReadDir(e.ctx, who, 0, 0, func(*vfs.DirEntry) bool { return false })
				} else if f, openErr := n.Open(e.ctx, who, vfs.OpenRead); openErr == nil {
					e.ok(f.Close())
				} else {
					err = openErr
				}
				if vfs.Permit(who, &a, 4) {
					e.ok(err)
				} else {
					e.fails(err, vfs.EACCES)
				}
			}
		}, vfs.TypeRegular, vfs.TypeDirectory)
	}},
}

var readErrorChecks = []check{
	{name: "say what is not there", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			e.gone(n, "no such name")
			e.gone(n, "\xff\xfe\n")
			_, err := n.Lookup(e.ctx, root, strings.Repeat("n", vfs.MaxName+1))
			e.fails(err, vfs.ENAMETOOLONG, vfs.ENOENT)
		}, vfs.TypeDirectory)
	}},
	{name: "say what is no directory", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			if e.tree.of(p).Type == vfs.TypeDirectory {
				return
			}
			_, err := n.Lookup(e.ctx, root, "name")
			e.fails(err, vfs.ENOTDIR)
			_, err = n.ReadDir(e.ctx, root, 0, 0, func(*vfs.DirEntry) bool { return true })
			e.fails(err, vfs.ENOTDIR)
		})
	}},
	{name: "say what cannot be opened", run: func(e *env) {
		want := map[vfs.FileType]vfs.Errno{vfs.TypeDirectory: vfs.EISDIR, vfs.TypeSymlink: vfs.ELOOP}
		e.every(func(p string, n vfs.Node) {
			typ := e.tree.of(p).Type
			if typ == vfs.TypeRegular {
				return
			}
			for _, how := range []vfs.OpenFlags{vfs.OpenRead, vfs.OpenWrite, readWrite} {
				_, err := n.Open(e.ctx, root, how)
				if errno, ok := want[typ]; ok {
					e.fails(err, errno)
				} else {
					e.fails(err, vfs.ENXIO)
				}
			}
		})
	}},
}

var readRaceChecks = []check{
	{name: "of many readers show each the whole tree", run: func(e *env) {
		errs := make(chan error, 8)
		var all sync.WaitGroup
		for i := range cap(errs) {
			all.Go(func() { errs <- e.readAll(i) })
		}
		all.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				e.Errorf("%v", err)
			}
		}
	}},
}

// readAll reads the tree, from another place on for each reader. Unlike the
// methods of env that fail a check it may be called from any goroutine.
func (e *env) readAll(reader int) error {
	paths := e.tree.paths()
	from := reader * len(paths) / 8
	for _, p := range slices.Concat(paths[from:], paths[:from]) {
		n, err := e.walk(p)
		if err != nil {
			return vfs.Errorf(vfs.ErrnoOf(err), "walk to %q", p)
		}
		if err := e.readNode(n, p); err != nil {
			return vfs.Errorf(vfs.ErrnoOf(err), "read %q", p)
		}
	}
	return nil
}

func (e *env) walk(p string) (vfs.Node, error) {
	n := e.root
	if p == "." {
		return n, nil
	}
	for name := range strings.SplitSeq(p, "/") {
		var err error
		if n, err = n.Lookup(e.ctx, root, name); err != nil {
			return nil, err
		}
	}
	return e.fs.Resolve(e.ctx, n.Handle())
}

func (e *env) readNode(n vfs.Node, p string) error {
	want := e.tree.of(p)
	switch want.Type {
	case vfs.TypeDirectory:
		count := 0
		_, err := n.ReadDir(e.ctx, root, 0, vfs.AttrStat, func(*vfs.DirEntry) bool { count++; return true })
		if names := e.tree.names(p); err == nil && count != len(names) {
			return vfs.Errorf(vfs.EIO, "%d of %d entries", count, len(names))
		}
		return err
	case vfs.TypeSymlink:
		_, err := n.ReadLink(e.ctx, root)
		return err
	case vfs.TypeRegular:
		f, err := n.Open(e.ctx, root, vfs.OpenRead)
		if err != nil {
			return err
		}
		defer f.Close()
		buf := make([]byte, len(want.Content)+1)
		got, err := f.ReadAt(e.ctx, buf, 0)
		if err == nil && string(buf[:got]) != want.Content {
			return vfs.Errorf(vfs.EIO, "other content")
		}
		return err
	}
	return nil
}
