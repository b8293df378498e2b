package vfstest

import (
	"strings"

	"github.com/fsva/fsva/vfs"
)

var nameChecks = []check{
	{name: "are kept byte for byte", run: func(e *env) {
		names := []string{" ", "a b", "new\nline", "...", ".hidden", "-rf", "*", "\\", "\x01", "\xff\xfe", "ä", "a\u0308", strings.Repeat("n", vfs.MaxName)}
		for _, name := range names {
			e.create(e.root, name)
		}
		e.lists(e.root, names...)
		for _, name := range names {
			e.lookup(e.root, name)
			e.remove(e.root, name)
		}
		e.lists(e.root)
	}},
	{name: "of two cases are two names", run: func(e *env) {
		if s, err := e.fs.StatFS(e.ctx); err != nil || s.CaseInsensitive {
			e.Skipf("the file system does not tell cases apart (StatFS.CaseInsensitive), %v", err)
		}
		e.file(e.root, "name", "small")
		e.file(e.root, "NAME", "large")
		e.holds(e.lookup(e.root, "name"), "small")
		e.holds(e.lookup(e.root, "NAME"), "large")
	}},
	{name: "that are not there are ENOENT", run: func(e *env) {
		e.gone(e.root, "missing")
		_, err := e.root.Remove(e.ctx, root, "missing", false)
		e.fails(err, vfs.ENOENT)
		_, err = e.root.Remove(e.ctx, root, "missing", true)
		e.fails(err, vfs.ENOENT)
		_, _, err = e.root.Rename(e.ctx, root, "missing", e.root, "other", 0)
		e.fails(err, vfs.ENOENT)
	}},
	{name: "in what is no directory are ENOTDIR", run: func(e *env) {
		f := e.create(e.root, "file")
		_, err := f.Lookup(e.ctx, root, "x")
		e.fails(err, vfs.ENOTDIR)
		_, _, _, err = f.Create(e.ctx, root, "x", mode(0o644), vfs.OpenRead)
		e.fails(err, vfs.ENOTDIR)
		_, _, err = f.Mkdir(e.ctx, root, "x", mode(0o755))
		e.fails(err, vfs.ENOTDIR)
		_, err = f.Remove(e.ctx, root, "x", false)
		e.fails(err, vfs.ENOTDIR)
		_, err = f.ReadDir(e.ctx, root, 0, 0, func(*vfs.DirEntry) bool { return true })
		e.fails(err, vfs.ENOTDIR)
		e.create(e.root, "other")
		_, _, err = e.root.Rename(e.ctx, root, "other", f, "x", 0)
		e.fails(err, vfs.ENOTDIR)
	}},
}
