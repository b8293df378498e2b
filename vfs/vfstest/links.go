package vfstest

import (
	"bytes"
	"slices"
	"strings"

	"github.com/fsva/fsva/vfs"
)

func (e *env) link(n, dir vfs.Node, name string) {
	e.Helper()
	if _, err := n.(vfs.Linker).Link(e.ctx, root, dir, name); err != nil {
		e.Fatalf("Link %q: %v", name, err)
	}
}

var linkChecks = []check{
	{name: "are names of one file", needs: []ability{hardLinks}, run: func(e *env) {
		n, dir := e.file(e.root, "a", "one"), e.mkdir(e.root, "dir")
		e.link(n, dir, "b")
		b := e.lookup(dir, "b")
		if !same(n, b) || e.attr(b).Nlink != 2 {
			e.Errorf("the second name has %d links", e.attr(b).Nlink)
		}
		f := e.open(b, vfs.OpenWrite)
		e.write(f, 0, "two")
		e.ok(f.Close())
		e.remove(e.root, "a")
		e.holds(b, "two")
		if got := e.attr(b).Nlink; got != 1 {
			e.Errorf("%d links are left", got)
		}
	}},
	{name: "of a taken name are EEXIST", needs: []ability{hardLinks}, run: func(e *env) {
		n := e.file(e.root, "a", "a")
		e.file(e.root, "b", "b")
		_, err := n.(vfs.Linker).Link(e.ctx, root, e.root, "b")
		e.fails(err, vfs.EEXIST)
		e.holds(e.lookup(e.root, "b"), "b")
	}},
	{name: "of directories are EPERM", needs: []ability{hardLinks}, run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		l, ok := dir.(vfs.Linker)
		if !ok {
			return // which says the same
		}
		_, err := l.Link(e.ctx, root, e.root, "again")
		e.fails(err, vfs.EPERM)
	}},
	{name: "are told as a change of the directory", needs: []ability{hardLinks}, run: func(e *env) {
		n := e.create(e.root, "a")
		e.told(e.root, "Link", func() (vfs.DirChange, error) {
			return n.(vfs.Linker).Link(e.ctx, root, e.root, "b")
		})
	}},
}

func (e *env) xattr(n vfs.Node, name, want string) {
	e.Helper()
	got, err := n.(vfs.Xattrer).GetXattr(e.ctx, root, name)
	if err != nil || string(got) != want {
		e.Errorf("%s is %.40q, %v; want %.40q", name, got, err, want)
	}
}

var xattrChecks = []check{
	{name: "are kept, listed and removed", needs: []ability{xattrs}, run: func(e *env) {
		for _, n := range []vfs.Node{e.create(e.root, "file"), e.mkdir(e.root, "dir")} {
			x := n.(vfs.Xattrer)
			values := map[string]string{"user.a": "1", "user.empty": "", "user.bytes": "\x00\xff\n"}
			for name, value := range values {
				e.ok(x.SetXattr(e.ctx, root, name, []byte(value), 0))
			}
			names, err := x.ListXattr(e.ctx, root)
			e.ok(err)
			names = slices.DeleteFunc(names, func(s string) bool { return !strings.HasPrefix(s, "user.") })
			slices.Sort(names)
			if want := []string{"user.a", "user.bytes", "user.empty"}; !slices.Equal(names, want) {
				e.Errorf("listed %q, want %q", names, want)
			}
			for name, value := range values {
				e.xattr(n, name, value)
				e.ok(x.RemoveXattr(e.ctx, root, name))
				_, err := x.GetXattr(e.ctx, root, name)
				e.fails(err, vfs.ENODATA)
			}
			e.fails(x.RemoveXattr(e.ctx, root, "user.a"), vfs.ENODATA)
		}
	}},
	{name: "are created or replaced as asked", needs: []ability{xattrs}, run: func(e *env) {
		n := e.create(e.root, "file")
		x := n.(vfs.Xattrer)
		e.fails(x.SetXattr(e.ctx, root, "user.a", []byte("1"), vfs.XattrReplace), vfs.ENODATA)
		e.ok(x.SetXattr(e.ctx, root, "user.a", []byte("1"), vfs.XattrCreate))
		e.fails(x.SetXattr(e.ctx, root, "user.a", []byte("2"), vfs.XattrCreate), vfs.EEXIST)
		e.xattr(n, "user.a", "1")
		e.ok(x.SetXattr(e.ctx, root, "user.a", []byte("longer"), vfs.XattrReplace))
		e.xattr(n, "user.a", "longer")
		e.ok(x.SetXattr(e.ctx, root, "user.a", []byte("3"), 0))
		e.xattr(n, "user.a", "3")
	}},
	{name: "have a limit and say so", needs: []ability{xattrs}, run: func(e *env) {
		n := e.create(e.root, "file")
		x := n.(vfs.Xattrer)
		e.ok(x.SetXattr(e.ctx, root, "user.a", bytes.Repeat([]byte("v"), 2000), 0))
		err := x.SetXattr(e.ctx, root, "user.b", bytes.Repeat([]byte("v"), vfs.MaxXattr+1), 0)
		e.fails(err, vfs.E2BIG, vfs.ENOSPC, vfs.ERANGE)
		err = x.SetXattr(e.ctx, root, "user."+strings.Repeat("n", 300), []byte("v"), 0)
		e.fails(err, vfs.ERANGE, vfs.ENAMETOOLONG, vfs.EINVAL)
		e.xattr(n, "user.a", strings.Repeat("v", 2000))
	}},
	{name: "are read and written with the permission of the data", needs: []ability{xattrs, users}, run: func(e *env) {
		n := e.create(e.root, "file")
		x := n.(vfs.Xattrer)
		e.ok(x.SetXattr(e.ctx, root, "user.a", []byte("1"), 0))
		e.fails(x.SetXattr(e.ctx, alice, "user.a", []byte("2"), 0), vfs.EACCES, vfs.EPERM)
		if _, err := x.GetXattr(e.ctx, alice, "user.a"); err != nil {
			e.Errorf("who may read the file cannot read user.a: %v", err)
		}
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o600})
		_, err := x.GetXattr(e.ctx, alice, "user.a")
		e.fails(err, vfs.EACCES, vfs.EPERM)
		e.fails(x.RemoveXattr(e.ctx, alice, "user.a"), vfs.EACCES, vfs.EPERM)
		e.xattr(n, "user.a", "1")
	}},
}
