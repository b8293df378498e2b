package vfstest

import "github.com/fsva/fsva/vfs"

var directoryChecks = []check{
	{name: "nest and know their parent", run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		sub := e.mkdir(dir, "sub")
		if a := e.attr(sub); a.Type != vfs.TypeDirectory || a.Mode != 0o755 {
			e.Errorf("a directory is %+v", a)
		}
		for child, parent := range map[vfs.Node]vfs.Node{dir: e.root, sub: dir} {
			got, err := child.Parent(e.ctx, root)
			if err != nil || !same(got, parent) {
				e.Errorf("Parent is another directory, %v", err)
			}
		}
		_, err := e.root.Parent(e.ctx, root)
		e.fails(err, vfs.ENOENT)
		_, err = e.create(dir, "file").Parent(e.ctx, root)
		e.fails(err, vfs.ENOTDIR)
	}},
	{name: "are removed when empty", run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		e.create(dir, "file")
		_, err := e.root.Remove(e.ctx, root, "dir", true)
		e.fails(err, vfs.ENOTEMPTY, vfs.EEXIST)
		e.lists(dir, "file")
		e.remove(dir, "file")
		e.rmdir(e.root, "dir")
		e.gone(e.root, "dir")
		e.lists(e.root)
	}},
	{name: "are not removed as files nor files as directories", run: func(e *env) {
		e.mkdir(e.root, "dir")
		e.file(e.root, "file", "kept")
		_, err := e.root.Remove(e.ctx, root, "dir", false)
		e.fails(err, vfs.EISDIR)
		_, err = e.root.Remove(e.ctx, root, "file", true)
		e.fails(err, vfs.ENOTDIR)
		e.lists(e.root, "dir", "file")
	}},
	{name: "count their subdirectories or nothing", run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		before := e.attr(dir).Nlink
		e.mkdir(dir, "a")
		e.create(dir, "file")
		after := e.attr(dir).Nlink
		// Some file systems, such as btrfs, leave it at 1.
		if after != before+1 && !(before == 1 && after == 1) {
			e.Errorf("link count %d, then %d with one subdirectory", before, after)
		}
		e.rmdir(dir, "a")
		if got := e.attr(dir).Nlink; got != before {
			e.Errorf("link count %d, then %d without subdirectories again", before, got)
		}
	}},
	{name: "go deep", run: func(e *env) {
		const depth = 200
		dirs := []vfs.Node{e.root}
		for range depth {
			dirs = append(dirs, e.mkdir(dirs[len(dirs)-1], "d"))
		}
		e.file(dirs[depth], "file", "deep")
		e.holds(e.lookup(dirs[depth], "file"), "deep")
		for i := depth; i > 0; i-- {
			up, err := dirs[i].Parent(e.ctx, root)
			if err != nil || !same(up, dirs[i-1]) {
				e.Fatalf("Parent at depth %d is another, %v", i, err)
			}
		}
	}},
}
