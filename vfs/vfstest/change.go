package vfstest

import "github.com/fsva/fsva/vfs"

// moves wants that do changes the change attribute of n, and upwards where
// Caps.ChangeMonotonic says so.
func (e *env) moves(n vfs.Node, what string, do func()) {
	e.Helper()
	before := e.attr(n).Change
	do()
	after := e.attr(n).Change
	if after == before {
		e.Errorf("%s leaves the change attribute at %d", what, after)
	}
	if e.fs.Caps().ChangeMonotonic && after < before {
		e.Errorf("%s takes the change attribute from %d to %d", what, before, after)
	}
}

// told wants that do returns what the change attribute of dir was and is.
func (e *env) told(dir vfs.Node, what string, do func() (vfs.DirChange, error)) {
	e.Helper()
	before := e.attr(dir).Change
	c, err := do()
	if err != nil {
		e.Fatalf("%s: %v", what, err)
	}
	after := e.attr(dir).Change
	if c.Before != before || c.After != after {
		e.Errorf("%s tells the change from %d to %d, which was from %d to %d", what, c.Before, c.After, before, after)
	}
	if before == after {
		e.Errorf("%s leaves the directory's change attribute at %d", what, after)
	}
}

var changeChecks = []check{
	{name: "moves with every change of a file", run: func(e *env) {
		n, f := e.createOpen(e.root, "file")
		for i := range uint64(3) {
			e.moves(n, "a write", func() { e.write(f, 0, "x") })
			e.moves(n, "a truncation", func() { e.truncate(n, 100+i) })
			e.moves(n, "a mode", func() { e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o600}) })
			e.moves(n, "a time", func() { e.setAttr(n, vfs.SetAttr{Set: vfs.SetMtime, Mtime: vfs.Timespec{Sec: 1}}) })
		}
		if e.fs.Caps().HardLinks {
			e.moves(n, "a link", func() { e.link(n, e.root, "link") })
			e.moves(n, "a removed link", func() { e.remove(e.root, "link") })
		}
		if x, ok := n.(vfs.Xattrer); ok && e.fs.Caps().Xattrs {
			e.moves(n, "an extended attribute", func() { e.ok(x.SetXattr(e.ctx, root, "user.x", []byte("y"), 0)) })
			e.moves(n, "a removed extended attribute", func() { e.ok(x.RemoveXattr(e.ctx, root, "user.x")) })
		}
		e.ok(f.Close())
	}},
	{name: "stays without one", run: func(e *env) {
		n := e.file(e.root, "file", "x")
		before, dir := e.attr(n).Change, e.attr(e.root).Change
		e.holds(n, "x")
		e.lookup(e.root, "file")
		e.list(e.root)
		if e.attr(n).Change != before || e.attr(e.root).Change != dir {
			e.Errorf("reading moves the change attribute")
		}
	}},
	{name: "of a directory is told before and after", run: func(e *env) {
		set := mode(0o755)
		var f vfs.File
		for range 3 {
			e.told(e.root, "Create", func() (c vfs.DirChange, err error) {
				_, f, c, err = e.root.Create(e.ctx, root, "file", set, readWrite)
				return c, err
			})
			e.ok(f.Close())
			e.told(e.root, "Mkdir", func() (vfs.DirChange, error) {
				_, c, err := e.root.Mkdir(e.ctx, root, "dir", set)
				return c, err
			})
			e.told(e.root, "Symlink", func() (vfs.DirChange, error) {
				_, c, err := e.root.Symlink(e.ctx, root, "link", "x", nil)
				return c, err
			})
			e.told(e.root, "Rename", func() (vfs.DirChange, error) {
				c, _, err := e.root.Rename(e.ctx, root, "file", e.root, "moved", 0)
				return c, err
			})
			e.told(e.root, "Rename away", func() (vfs.DirChange, error) {
				c, _, err := e.root.Rename(e.ctx, root, "moved", e.lookup(e.root, "dir"), "file", 0)
				return c, err
			})
			e.told(e.root, "Rename here", func() (vfs.DirChange, error) {
				_, c, err := e.lookup(e.root, "dir").Rename(e.ctx, root, "file", e.root, "file", 0)
				return c, err
			})
			for _, name := range []string{"file", "link", "dir"} {
				e.told(e.root, "Remove", func() (vfs.DirChange, error) {
					return e.root.Remove(e.ctx, root, name, name == "dir")
				})
			}
		}
	}},
}
