package vfstest

import (
	"bytes"
	"fmt"

	"github.com/fsva/fsva/vfs"
)

// resolve wants the node that a handle names.
func (e *env) resolve(handle []byte) vfs.Node {
	e.Helper()
	n, err := e.fs.Resolve(e.ctx, handle)
	if err != nil {
		e.Fatalf("Resolve: %v", err)
	}
	return n
}

// refusesRubbish wants that what only looks like the handle h does no harm.
func (e *env) refusesRubbish(h []byte) {
	e.Helper()
	for n := range vfs.MaxNodeHandle + 1 {
		for _, b := range []byte{0, 1, 0xff} {
			_, err := e.fs.Resolve(e.ctx, bytes.Repeat([]byte{b}, n))
			e.fails(err, vfs.EBADHANDLE, vfs.ESTALE)
		}
	}
	for n := range h { // cut short
		_, err := e.fs.Resolve(e.ctx, h[:n])
		e.fails(err, vfs.EBADHANDLE, vfs.ESTALE)
	}
	// A changed one may well name something else: package export seals
	// what guests get. It must not do harm.
	for bit := range len(h) * 8 {
		bad := bytes.Clone(h)
		bad[bit/8] ^= 1 << (bit % 8)
		if n, err := e.fs.Resolve(e.ctx, bad); err != nil {
			e.fails(err, vfs.EBADHANDLE, vfs.ESTALE)
		} else if _, err := n.GetAttr(e.ctx, vfs.AttrAll); err != nil {
			e.fails(err, vfs.ESTALE)
		}
	}
}

var handleChecks = []check{
	{name: "lead back to their nodes", run: func(e *env) {
		_, _, err := e.root.Symlink(e.ctx, root, "link", "target", nil)
		e.ok(err)
		nodes := []vfs.Node{e.root, e.file(e.root, "file", "found"), e.mkdir(e.root, "dir"), e.lookup(e.root, "link")}
		for i, n := range nodes {
			h := n.Handle()
			if len(h) < 1 || len(h) > vfs.MaxNodeHandle {
				e.Errorf("a handle of %d bytes", len(h))
			}
			back := e.resolve(bytes.Clone(h))
			if !same(back, n) || e.attr(back).FileID != e.attr(n).FileID {
				e.Errorf("the handle of node %d leads to another", i)
			}
			for j := range i {
				if same(n, nodes[j]) {
					e.Errorf("nodes %d and %d have one handle", i, j)
				}
			}
		}
		e.holds(e.resolve(nodes[1].Handle()), "found")
	}},
	{name: "survive renames", run: func(e *env) {
		h := e.file(e.root, "a", "found").Handle()
		dir := e.mkdir(e.root, "dir")
		e.rename(e.root, "a", dir, "b")
		e.rename(e.root, "dir", e.root, "moved")
		e.holds(e.resolve(h), "found")
		if !bytes.Equal(e.lookup(dir, "b").Handle(), h) {
			e.Errorf("a rename changed the handle")
		}
	}},
	{name: "of what was removed are ESTALE for ever", run: func(e *env) {
		file := e.file(e.root, "file", "old").Handle()
		dir := e.mkdir(e.root, "dir").Handle()
		e.remove(e.root, "file")
		e.rmdir(e.root, "dir")
		for i := range 50 { // which may take over the inode numbers
			e.file(e.root, fmt.Sprint("new", i), "new")
		}
		for _, h := range [][]byte{file, dir} {
			_, err := e.fs.Resolve(e.ctx, h)
			e.fails(err, vfs.ESTALE)
		}
	}},
	{name: "survive a restart", needs: []ability{reopens}, run: func(e *env) {
		file := bytes.Clone(e.file(e.root, "file", "found").Handle())
		removed := bytes.Clone(e.create(e.root, "removed").Handle())
		top := bytes.Clone(e.root.Handle())
		e.remove(e.root, "removed")
		volatile := e.fs.Caps().Volatile
		e.restart()
		if volatile {
			_, err := e.fs.Resolve(e.ctx, file)
			e.fails(err, vfs.ESTALE, vfs.EBADHANDLE)
			return
		}
		e.holds(e.resolve(file), "found")
		if !same(e.resolve(top), e.root) {
			e.Errorf("the root's handle leads elsewhere")
		}
		_, err := e.fs.Resolve(e.ctx, removed)
		e.fails(err, vfs.ESTALE)
	}},
	{name: "that are rubbish are refused", run: func(e *env) {
		e.refusesRubbish(e.create(e.root, "file").Handle())
	}},
}

var unlinkedChecks = []check{
	{name: "files that are open go on", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		e.write(f, 0, "before")
		e.remove(e.root, "file")
		e.gone(e.root, "file")
		e.reads(f, 0, "before")
		e.write(f, 0, "behind")
		e.reads(f, 0, "behind")
		a := e.attr(n)
		if a.Nlink != 0 || a.Size != 6 {
			e.Errorf("attributes %+v", a)
		}
		e.truncate(n, 3)
		e.reads(f, 0, "beh")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o600})
		if a := e.attr(n); a.Mode != 0o600 || a.Size != 3 {
			e.Errorf("attributes %+v", a)
		}
		e.ok(f.Sync(e.ctx, false))
		e.ok(f.Close())
	}},
	{name: "files are found and opened by handle while they are open", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		e.write(f, 0, "alive")
		e.remove(e.root, "file")
		e.holds(e.resolve(n.Handle()), "alive")
		e.reads(f, 0, "alive")
		e.ok(f.Close())
		_, err := e.fs.Resolve(e.ctx, n.Handle())
		e.fails(err, vfs.ESTALE)
		_, err = n.GetAttr(e.ctx, vfs.AttrAll)
		e.fails(err, vfs.ESTALE)
	}},
	{name: "files live until the last of several closes", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		g := e.open(n, vfs.OpenRead)
		e.write(f, 0, "alive")
		e.remove(e.root, "file")
		e.ok(f.Close())
		e.reads(g, 0, "alive")
		if a := e.attr(n); a.Size != 5 {
			e.Errorf("size %d", a.Size)
		}
		e.ok(g.Close())
		_, err := n.Open(e.ctx, root, vfs.OpenRead)
		e.fails(err, vfs.ESTALE)
	}},
	{name: "names are free for others", run: func(e *env) {
		_, f := e.createOpen(e.root, "file")
		e.write(f, 0, "old")
		e.remove(e.root, "file")
		e.file(e.root, "file", "new")
		e.reads(f, 0, "old")
		e.ok(f.Close())
		e.holds(e.lookup(e.root, "file"), "new")
	}},
}
