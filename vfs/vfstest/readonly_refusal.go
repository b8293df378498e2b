package vfstest

import "github.com/fsva/fsva/vfs"

// What is refused is EROFS, but for what Linux finds first on a read-only
// mount: a name under what is no directory (ENOTDIR), a directory opened for
// writing (EISDIR), and a name that is taken (EEXIST), where EROFS will do too.
var refusalChecks = []check{
	{name: "of attributes are EROFS", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			before := steady(e.attr(n))
			for _, who := range []*vfs.Cred{root, alice} {
				for _, set := range []vfs.SetMask{vfs.SetMode, vfs.SetUID, vfs.SetGID, vfs.SetAtime, vfs.SetMtime, vfs.SetAtimeNow, vfs.SetMtimeNow} {
					e.fails(n.SetAttr(e.ctx, who, &vfs.SetAttr{Set: set}), vfs.EROFS)
				}
				err := n.SetAttr(e.ctx, who, &vfs.SetAttr{Set: vfs.SetSize})
				if before.Type == vfs.TypeRegular {
					e.fails(err, vfs.EROFS)
				} else {
					e.fails(err, vfs.EROFS, vfs.EISDIR, vfs.EINVAL)
				}
			}
			if after := steady(e.attr(n)); after != before {
				e.Errorf("%q changed from %+v to %+v", p, before, after)
			}
		})
	}},
	{name: "of data are EROFS", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			for _, how := range []vfs.OpenFlags{vfs.OpenWrite, readWrite, vfs.OpenWrite | vfs.OpenReclaim, vfs.OpenWrite | vfs.OpenOwner} {
				if f, err := n.Open(e.ctx, root, how); err == nil {
					e.Errorf("%q opens for writing", p)
					f.Close()
				} else {
					e.fails(err, vfs.EROFS)
				}
			}
			f := e.open(n, vfs.OpenRead)
			_, _, err := f.WriteAt(e.ctx, []byte("x"), 0, vfs.FileSync)
			e.fails(err, vfs.EROFS)
			if a, ok := f.(vfs.Allocator); ok {
				e.fails(a.Allocate(e.ctx, 0, 1), vfs.EROFS, vfs.EOPNOTSUPP)
				e.fails(a.Deallocate(e.ctx, 0, 1), vfs.EROFS, vfs.EOPNOTSUPP)
			}
			e.ok(f.Close())
			e.holds(n, e.tree.of(p).Content)
		}, vfs.TypeRegular)
	}},
	{name: "of entries are EROFS", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			want := []vfs.Errno{vfs.EROFS}
			if e.tree.of(p).Type != vfs.TypeDirectory {
				want = []vfs.Errno{vfs.ENOTDIR}
			}
			for what, err := range e.makings(n, "new name") {
				if vfs.ErrnoOf(err) != want[0] {
					e.Errorf("%s in %q gives %v, want %v", what, p, err, want[0])
				}
			}
			for _, dir := range []bool{false, true} {
				_, err := n.Remove(e.ctx, root, "no such name", dir)
				e.fails(err, append(want, vfs.ENOENT)...)
			}
		})
	}},
	{name: "of names that are taken are EROFS or EEXIST", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			for _, name := range first(e.tree.names(p), 5) {
				for what, err := range e.makings(n, name) {
					if errno := vfs.ErrnoOf(err); errno != vfs.EROFS && errno != vfs.EEXIST {
						e.Errorf("%s of %q in %q gives %v", what, name, p, err)
					}
				}
			}
		}, vfs.TypeDirectory)
	}},
	{name: "of what is there leave it there", run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			names := e.tree.names(p)
			for _, name := range first(names, 20) {
				for _, dir := range []bool{false, true} {
					_, err := n.Remove(e.ctx, root, name, dir)
					e.fails(err, vfs.EROFS)
				}
				_, _, err := n.Rename(e.ctx, root, name, n, "other", 0)
				e.fails(err, vfs.EROFS)
				_, _, err = n.Rename(e.ctx, root, name, e.root, name+"2", vfs.RenameNoReplace)
				e.fails(err, vfs.EROFS)
				_, _, err = n.Rename(e.ctx, root, name, n, names[0], 0)
				e.fails(err, vfs.EROFS)
			}
			e.lists(n, names...)
		}, vfs.TypeDirectory)
	}},
	{name: "of extended attributes are EROFS", needs: []ability{xattrs}, run: func(e *env) {
		e.every(func(p string, n vfs.Node) {
			x, ok := n.(vfs.Xattrer)
			if !ok {
				e.Fatalf("%q has no extended attributes, as Caps.Xattrs has it", p)
			}
			e.fails(x.SetXattr(e.ctx, root, "user.new", []byte("x"), 0), vfs.EROFS)
			e.fails(x.RemoveXattr(e.ctx, root, "user.new"), vfs.EROFS)
		})
	}},
}

// makings tries all that makes an entry, and returns what each gave.
func (e *env) makings(dir vfs.Node, name string) map[string]error {
	got := map[string]error{}
	_, f, _, err := dir.Create(e.ctx, root, name, mode(0o644), readWrite)
	if err == nil {
		f.Close()
	}
	got["Create"] = err
	_, _, got["Mkdir"] = dir.Mkdir(e.ctx, root, name, mode(0o755))
	_, _, got["Symlink"] = dir.Symlink(e.ctx, root, name, "target", nil)
	if m, ok := dir.(vfs.Mknoder); ok {
		_, _, got["Mknod"] = m.Mknod(e.ctx, root, name, vfs.TypeFIFO, vfs.Rdev{}, mode(0o644))
	}
	if l, ok := e.anyFile().(vfs.Linker); ok {
		_, got["Link"] = l.Link(e.ctx, root, dir, name)
	}
	return got
}

// anyFile is a regular file of the tree, or nil.
func (e *env) anyFile() vfs.Node {
	for _, p := range e.tree.paths() {
		if e.tree.of(p).Type == vfs.TypeRegular {
			return e.at(p)
		}
	}
	return nil
}

func first(names []string, n int) []string { return names[:min(n, len(names))] }
