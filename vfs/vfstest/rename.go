package vfstest

import "github.com/fsva/fsva/vfs"

var renameChecks = []check{
	{name: "moves a file", run: func(e *env) {
		n, dir := e.file(e.root, "a", "moved"), e.mkdir(e.root, "dir")
		e.rename(e.root, "a", dir, "b")
		e.gone(e.root, "a")
		e.lists(dir, "b")
		if !same(n, e.lookup(dir, "b")) {
			e.Errorf("the file became another node")
		}
		e.holds(n, "moved")
	}},
	{name: "moves a directory with all in it", run: func(e *env) {
		a, b := e.mkdir(e.root, "a"), e.mkdir(e.root, "b")
		dir := e.mkdir(a, "dir")
		e.file(dir, "file", "inside")
		e.rename(a, "dir", b, "moved")
		e.lists(a)
		e.lists(b, "moved")
		e.holds(e.lookup(dir, "file"), "inside")
		up, err := dir.Parent(e.ctx, root)
		if err != nil || !same(up, b) {
			e.Errorf("its parent is not where it was moved, %v", err)
		}
	}},
	{name: "replaces a file", run: func(e *env) {
		e.file(e.root, "a", "new")
		old := e.file(e.root, "b", "old")
		e.rename(e.root, "a", e.root, "b")
		e.lists(e.root, "b")
		e.holds(e.lookup(e.root, "b"), "new")
		if same(old, e.lookup(e.root, "b")) {
			e.Errorf("the old file has the name still")
		}
	}},
	{name: "over an open file keeps it readable", run: func(e *env) {
		e.file(e.root, "a", "new")
		old, f := e.createOpen(e.root, "b")
		e.write(f, 0, "old")
		e.rename(e.root, "a", e.root, "b")
		e.reads(f, 0, "old")
		e.write(f, 3, "er")
		e.reads(f, 0, "older")
		if a := e.attr(old); a.Size != 5 || a.Nlink != 0 {
			e.Errorf("the open file is %+v", a)
		}
		e.ok(f.Close())
		e.holds(e.lookup(e.root, "b"), "new")
	}},
	{name: "of an open file leaves it open", run: func(e *env) {
		_, f := e.createOpen(e.root, "a")
		e.rename(e.root, "a", e.root, "b")
		e.write(f, 0, "still")
		e.ok(f.Close())
		e.holds(e.lookup(e.root, "b"), "still")
	}},
	{name: "replaces an empty directory only", run: func(e *env) {
		a, b := e.mkdir(e.root, "a"), e.mkdir(e.root, "b")
		e.create(b, "file")
		_, _, err := e.root.Rename(e.ctx, root, "a", e.root, "b", 0)
		e.fails(err, vfs.ENOTEMPTY, vfs.EEXIST)
		e.lists(e.root, "a", "b")
		e.remove(b, "file")
		e.rename(e.root, "a", e.root, "b")
		e.lists(e.root, "b")
		if !same(a, e.lookup(e.root, "b")) {
			e.Errorf("the directory became another node")
		}
	}},
	{name: "keeps files and directories apart", run: func(e *env) {
		e.create(e.root, "file")
		e.mkdir(e.root, "dir")
		_, _, err := e.root.Rename(e.ctx, root, "file", e.root, "dir", 0)
		e.fails(err, vfs.EISDIR, vfs.EEXIST, vfs.ENOTEMPTY)
		_, _, err = e.root.Rename(e.ctx, root, "dir", e.root, "file", 0)
		e.fails(err, vfs.ENOTDIR)
		e.lists(e.root, "dir", "file")
	}},
	{name: "of a directory into itself is EINVAL", run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		sub := e.mkdir(dir, "sub")
		for _, to := range []vfs.Node{dir, sub} {
			_, _, err := e.root.Rename(e.ctx, root, "dir", to, "x", 0)
			e.fails(err, vfs.EINVAL)
		}
		e.lists(e.root, "dir")
		e.lists(dir, "sub")
	}},
	{name: "to the same name does nothing", run: func(e *env) {
		n := e.file(e.root, "a", "kept")
		e.rename(e.root, "a", e.root, "a")
		e.lists(e.root, "a")
		e.holds(n, "kept")
	}},
	{name: "between two names of a file does nothing", needs: []ability{hardLinks}, run: func(e *env) {
		n := e.file(e.root, "a", "kept")
		e.link(n, e.root, "b")
		e.rename(e.root, "a", e.root, "b")
		e.lists(e.root, "a", "b")
		if a := e.attr(n); a.Nlink != 2 {
			e.Errorf("%d links", a.Nlink)
		}
	}},
	{name: "can be told not to replace", run: func(e *env) {
		e.file(e.root, "a", "a")
		e.file(e.root, "b", "b")
		_, _, err := e.root.Rename(e.ctx, root, "a", e.root, "b", vfs.RenameNoReplace)
		if vfs.ErrnoOf(err) == vfs.EINVAL {
			e.Skipf("the file system has no RENAME_NOREPLACE")
		}
		e.fails(err, vfs.EEXIST)
		e.holds(e.lookup(e.root, "b"), "b")
		_, _, err = e.root.Rename(e.ctx, root, "a", e.root, "c", vfs.RenameNoReplace)
		e.ok(err)
		e.lists(e.root, "b", "c")
	}},
	{name: "moves a symbolic link and not its target", run: func(e *env) {
		e.file(e.root, "target", "kept")
		_, _, err := e.root.Symlink(e.ctx, root, "link", "target", nil)
		e.ok(err)
		e.rename(e.root, "link", e.root, "moved")
		e.lists(e.root, "moved", "target")
		got, err := e.lookup(e.root, "moved").ReadLink(e.ctx, root)
		if err != nil || got != "target" {
			e.Errorf("ReadLink: %q, %v", got, err)
		}
	}},
}
