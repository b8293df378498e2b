package vfstest

import "github.com/fsva/fsva/vfs"

var createChecks = []check{
	{name: "gives an empty file of that mode", run: func(e *env) {
		for _, m := range []uint32{0o644, 0o600, 0, 0o777} {
			name := string(rune('a' + m%26))
			n, f, _, err := e.root.Create(e.ctx, root, name, mode(m), readWrite)
			e.ok(err)
			e.ok(f.Close())
			a := e.attr(n)
			if a.Type != vfs.TypeRegular || a.Mode != m || a.Nlink != 1 || a.Size != 0 {
				e.Errorf("with mode %o: %+v", m, a)
			}
			if !same(n, e.lookup(e.root, name)) {
				e.Errorf("Create and Lookup give two nodes")
			}
		}
	}},
	{name: "of a name that is taken is EEXIST", run: func(e *env) {
		e.file(e.root, "file", "kept")
		e.mkdir(e.root, "dir")
		_, _, err := e.root.Symlink(e.ctx, root, "link", "nowhere", nil)
		e.ok(err)
		for _, name := range []string{"file", "dir", "link"} {
			_, _, _, err := e.root.Create(e.ctx, root, name, mode(0o644), readWrite)
			e.fails(err, vfs.EEXIST)
			_, _, err = e.root.Mkdir(e.ctx, root, name, mode(0o755))
			e.fails(err, vfs.EEXIST)
			_, _, err = e.root.Symlink(e.ctx, root, name, "x", nil)
			e.fails(err, vfs.EEXIST)
		}
		e.holds(e.lookup(e.root, "file"), "kept")
	}},
	{name: "opens the file whatever its mode", needs: []ability{users}, run: func(e *env) {
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o777})
		n, f, _, err := e.root.Create(e.ctx, alice, "file", mode(0o444), vfs.OpenWrite)
		e.ok(err)
		e.write(f, 0, "written")
		e.ok(f.Close())
		e.holds(n, "written")
		_, err = n.Open(e.ctx, alice, vfs.OpenWrite)
		e.fails(err, vfs.EACCES)
	}},
	{name: "gives the node to the caller", needs: []ability{users}, run: func(e *env) {
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o777})
		file, f, _, err := e.root.Create(e.ctx, alice, "file", mode(0o644), readWrite)
		e.ok(err)
		e.ok(f.Close())
		dir, _, err := e.root.Mkdir(e.ctx, alice, "dir", mode(0o755))
		e.ok(err)
		link, _, err := e.root.Symlink(e.ctx, alice, "link", "x", nil)
		e.ok(err)
		for _, n := range []vfs.Node{file, dir, link} {
			if a := e.attr(n); a.UID != alice.UID || a.GID != alice.GID {
				e.Errorf("type %d belongs to %d:%d", a.Type, a.UID, a.GID)
			}
		}
	}},
	{name: "in a set-gid directory takes its group", needs: []ability{users}, run: func(e *env) {
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetGID, GID: 2000})
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o2777})
		file, f, _, err := e.root.Create(e.ctx, alice, "file", mode(0o644), readWrite)
		e.ok(err)
		e.ok(f.Close())
		dir, _, err := e.root.Mkdir(e.ctx, alice, "dir", mode(0o755))
		e.ok(err)
		if a := e.attr(file); a.GID != 2000 {
			e.Errorf("a file got group %d", a.GID)
		}
		if a := e.attr(dir); a.GID != 2000 || a.Mode&vfs.ModeSetGID == 0 {
			e.Errorf("a directory got group %d and mode %o", a.GID, a.Mode)
		}
	}},
	{name: "sets times", run: func(e *env) {
		at, mt := vfs.Timespec{Sec: 1234567890, Nsec: 111}, vfs.Timespec{Sec: 987654321, Nsec: 222}
		n, f, _, err := e.root.Create(e.ctx, root, "file", &vfs.SetAttr{
			Set: vfs.SetMode | vfs.SetAtime | vfs.SetMtime, Mode: 0o644, Atime: at, Mtime: mt}, vfs.OpenWrite)
		e.ok(err)
		e.ok(f.Close())
		e.timesAre(n, at, mt)
	}},
	{name: "in a removed directory fails", run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		e.rmdir(e.root, "dir")
		_, _, _, err := dir.Create(e.ctx, root, "file", mode(0o644), readWrite)
		e.fails(err, vfs.ESTALE, vfs.ENOENT)
		_, _, err = dir.Mkdir(e.ctx, root, "sub", mode(0o755))
		e.fails(err, vfs.ESTALE, vfs.ENOENT)
	}},
	{name: "of a symbolic link keeps its target", run: func(e *env) {
		long := make([]byte, 1000)
		for i := range long {
			long[i] = 'a' + byte(i%26)
		}
		for _, target := range []string{"x", "/etc/passwd", "../../..", "sp ace/\xff", string(long)} {
			n, _, err := e.root.Symlink(e.ctx, root, "link", target, nil)
			e.ok(err)
			got, err := n.ReadLink(e.ctx, root)
			if err != nil || got != target {
				e.Errorf("ReadLink: %.40q, %v; want %.40q", got, err, target)
			}
			if a := e.attr(n); a.Type != vfs.TypeSymlink || a.Size != uint64(len(target)) {
				e.Errorf("a link of %d bytes: %+v", len(target), a)
			}
			e.remove(e.root, "link")
		}
		_, err := e.create(e.root, "file").ReadLink(e.ctx, root)
		e.fails(err, vfs.EINVAL)
		_, err = e.root.ReadLink(e.ctx, root)
		e.fails(err, vfs.EINVAL)
	}},
	{name: "of special files", needs: []ability{specialFiles, users}, run: func(e *env) {
		for _, typ := range []vfs.FileType{vfs.TypeFIFO, vfs.TypeSocket, vfs.TypeChar, vfs.TypeBlock} {
			rdev := vfs.Rdev{}
			if typ == vfs.TypeChar || typ == vfs.TypeBlock {
				rdev = vfs.Rdev{Major: 10, Minor: 300}
			}
			n, _, err := e.root.(vfs.Mknoder).Mknod(e.ctx, root, "node", typ, rdev, mode(0o600))
			e.ok(err)
			if a := e.attr(n); a.Type != typ || a.Rdev != rdev || a.Mode != 0o600 {
				e.Errorf("of type %d with %v: %+v", typ, rdev, a)
			}
			_, err = n.Open(e.ctx, root, vfs.OpenRead)
			e.fails(err, vfs.ENXIO)
			e.remove(e.root, "node")
		}
	}},
	{name: "opens regular files only", run: func(e *env) {
		_, err := e.root.Open(e.ctx, root, vfs.OpenRead)
		e.fails(err, vfs.EISDIR)
		n, _, err := e.root.Symlink(e.ctx, root, "link", "file", nil)
		e.ok(err)
		e.create(e.root, "file")
		_, err = n.Open(e.ctx, root, vfs.OpenRead)
		e.fails(err, vfs.ELOOP)
	}},
}
