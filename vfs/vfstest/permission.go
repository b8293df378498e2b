package vfstest

import "github.com/fsva/fsva/vfs"

var permissionChecks = []check{
	{name: "goes by owner, group and others", needs: []ability{users}, run: func(e *env) {
		carol := &vfs.Cred{UID: 1003, GID: 1003, Client: "vfstest"}
		n := e.file(e.root, "file", "x")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetUID | vfs.SetGID, UID: alice.UID, GID: 2000}) // a group of bob's
		for _, tt := range []struct {
			cred *vfs.Cred
			m    uint32
			how  vfs.OpenFlags
			ok   bool
		}{
			{alice, 0o600, readWrite, true},
			{alice, 0o066, vfs.OpenRead, false}, // the owner is not one of the others
			{alice, 0o400, vfs.OpenWrite, false},
			{bob, 0o060, readWrite, true},
			{bob, 0o606, vfs.OpenRead, false}, // nor is the group
			{bob, 0o640, vfs.OpenWrite, false},
			{carol, 0o006, readWrite, true},
			{carol, 0o660, vfs.OpenRead, false},
			{carol, 0o664, vfs.OpenWrite, false},
			{root, 0o000, readWrite, true},
		} {
			e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: tt.m})
			f, err := n.Open(e.ctx, tt.cred, tt.how)
			if tt.ok != (err == nil) || err != nil && vfs.ErrnoOf(err) != vfs.EACCES {
				e.Errorf("user %d opens mode %03o for %d: %v", tt.cred.UID, tt.m, tt.how, err)
			}
			if err == nil {
				e.ok(f.Close())
			}
		}
	}},
	{name: "is told by Access as Open would decide", needs: []ability{users}, run: func(e *env) {
		n := e.file(e.root, "file", "x")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetUID | vfs.SetMode, UID: alice.UID, Mode: 0o754})
		all := vfs.AccessRead | vfs.AccessModify | vfs.AccessExtend | vfs.AccessExecute
		for cred, want := range map[*vfs.Cred]vfs.Access{
			alice: all,
			bob:   vfs.AccessRead,
			root:  all,
		} {
			got, err := n.Access(e.ctx, cred, all)
			if err != nil || got != want {
				e.Errorf("user %d may %#x, %v; want %#x", cred.UID, got, err, want)
			}
			if got, err := n.Access(e.ctx, cred, vfs.AccessRead); err != nil || got != vfs.AccessRead {
				e.Errorf("user %d asks for reading and may %#x, %v", cred.UID, got, err)
			}
		}
	}},
	{name: "to search is what Lookup needs", needs: []ability{users}, run: func(e *env) {
		dir := e.mkdir(e.root, "dir")
		e.create(dir, "file")
		e.setAttr(dir, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o744})
		_, err := dir.Lookup(e.ctx, alice, "file")
		e.fails(err, vfs.EACCES)
		_, err = dir.ReadDir(e.ctx, alice, 0, 0, func(*vfs.DirEntry) bool { return true })
		e.ok(err)
		e.setAttr(dir, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o711})
		_, err = dir.Lookup(e.ctx, alice, "file")
		e.ok(err)
		_, err = dir.ReadDir(e.ctx, alice, 0, 0, func(*vfs.DirEntry) bool { return true })
		e.fails(err, vfs.EACCES)
	}},
	{name: "to write a directory is what changes of it need", needs: []ability{users}, run: func(e *env) {
		e.file(e.root, "file", "kept")
		e.mkdir(e.root, "dir")
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o755})
		_, _, _, err := e.root.Create(e.ctx, alice, "new", mode(0o644), vfs.OpenWrite)
		e.fails(err, vfs.EACCES)
		_, _, err = e.root.Mkdir(e.ctx, alice, "new", mode(0o755))
		e.fails(err, vfs.EACCES)
		_, _, err = e.root.Symlink(e.ctx, alice, "new", "x", nil)
		e.fails(err, vfs.EACCES)
		_, err = e.root.Remove(e.ctx, alice, "file", false)
		e.fails(err, vfs.EACCES)
		_, err = e.root.Remove(e.ctx, alice, "dir", true)
		e.fails(err, vfs.EACCES)
		_, _, err = e.root.Rename(e.ctx, alice, "file", e.root, "new", 0)
		e.fails(err, vfs.EACCES)
		e.lists(e.root, "dir", "file")
	}},
	{name: "in a sticky directory is for owners", needs: []ability{users}, run: func(e *env) {
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o1777})
		_, f, _, err := e.root.Create(e.ctx, alice, "hers", mode(0o666), vfs.OpenWrite)
		e.ok(err)
		e.ok(f.Close())
		_, err = e.root.Remove(e.ctx, bob, "hers", false)
		e.fails(err, vfs.EPERM, vfs.EACCES)
		_, _, err = e.root.Rename(e.ctx, bob, "hers", e.root, "his", 0)
		e.fails(err, vfs.EPERM, vfs.EACCES)
		_, err = e.root.Remove(e.ctx, alice, "hers", false)
		e.ok(err)
	}},
	{name: "to change attributes is the owner's", needs: []ability{users}, run: func(e *env) {
		n := e.create(e.root, "file")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetUID | vfs.SetMode, UID: alice.UID, Mode: 0o666})
		e.fails(n.SetAttr(e.ctx, bob, mode(0o777)), vfs.EPERM)
		e.fails(n.SetAttr(e.ctx, bob, &vfs.SetAttr{Set: vfs.SetMtime}), vfs.EPERM)
		e.fails(n.SetAttr(e.ctx, alice, &vfs.SetAttr{Set: vfs.SetUID, UID: bob.UID}), vfs.EPERM)
		e.ok(n.SetAttr(e.ctx, alice, mode(0o622)))
		e.ok(n.SetAttr(e.ctx, bob, &vfs.SetAttr{Set: vfs.SetMtimeNow | vfs.SetAtimeNow})) // who may write
		e.ok(n.SetAttr(e.ctx, bob, &vfs.SetAttr{Set: vfs.SetSize, Size: 5}))
		e.ok(n.SetAttr(e.ctx, alice, mode(0o600)))
		e.fails(n.SetAttr(e.ctx, bob, &vfs.SetAttr{Set: vfs.SetSize}), vfs.EACCES)
		if a := e.attr(n); a.UID != alice.UID || a.Mode != 0o600 || a.Size != 5 {
			e.Errorf("attributes %+v", a)
		}
	}},
	{name: "is not asked again of an open file", needs: []ability{users}, run: func(e *env) {
		n := e.create(e.root, "file")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o666})
		f, err := n.Open(e.ctx, alice, readWrite)
		e.ok(err)
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: 0})
		e.write(f, 0, "still")
		e.reads(f, 0, "still")
		e.ok(f.Close())
	}},
	{name: "can be waived for the owner and for reclaims", needs: []ability{users}, run: func(e *env) {
		n := e.file(e.root, "file", "x")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetUID | vfs.SetMode, UID: alice.UID, Mode: 0})
		f, err := n.Open(e.ctx, alice, readWrite|vfs.OpenOwner)
		e.ok(err)
		e.ok(f.Close())
		_, err = n.Open(e.ctx, bob, vfs.OpenRead|vfs.OpenOwner)
		e.fails(err, vfs.EACCES)
		f, err = n.Open(e.ctx, bob, vfs.OpenRead|vfs.OpenReclaim)
		e.ok(err)
		e.ok(f.Close())
	}},
}
