package vfstest

import (
	"strings"
	"time"

	"github.com/fsva/fsva/vfs"
)

// timesAre allows for file systems with coarser times than nanoseconds.
func (e *env) timesAre(n vfs.Node, atime, mtime vfs.Timespec) {
	e.Helper()
	s, err := e.fs.StatFS(e.ctx)
	e.ok(err)
	step := max(s.TimeGranularity, 1)
	round := func(t vfs.Timespec) vfs.Timespec {
		if step >= 1e9 {
			return vfs.Timespec{Sec: t.Sec}
		}
		return vfs.Timespec{Sec: t.Sec, Nsec: t.Nsec - t.Nsec%step}
	}
	a := e.attr(n)
	if a.Atime != round(atime) || a.Mtime != round(mtime) {
		e.Errorf("times %v and %v, want %v and %v", a.Atime, a.Mtime, atime, mtime)
	}
}

var attributeChecks = []check{
	{name: "mode is set", run: func(e *env) {
		n := e.create(e.root, "file")
		for _, m := range []uint32{0o600, 0o777, 0, 0o4755, 0o644} {
			e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: m})
			if a := e.attr(n); a.Mode != m {
				e.Errorf("mode %o, want %o", a.Mode, m)
			}
		}
		dir := e.mkdir(e.root, "dir")
		e.setAttr(dir, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o1777})
		if a := e.attr(dir); a.Mode != 0o1777 {
			e.Errorf("directory mode %o", a.Mode)
		}
	}},
	{name: "owner is set and clears set-id bits", needs: []ability{users}, run: func(e *env) {
		n := e.create(e.root, "file")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o6755})
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetUID | vfs.SetGID, UID: 1001, GID: 2000})
		if a := e.attr(n); a.UID != 1001 || a.GID != 2000 || a.Mode != 0o755 {
			e.Errorf("%d:%d, mode %o", a.UID, a.GID, a.Mode)
		}
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetGID, GID: 7})
		if a := e.attr(n); a.UID != 1001 || a.GID != 7 {
			e.Errorf("a new group gave %d:%d", a.UID, a.GID)
		}
	}},
	{name: "size shrinks and grows with zeroes", run: func(e *env) {
		n := e.file(e.root, "file", strings.Repeat("x", 10_000))
		e.truncate(n, 5000)
		e.holds(n, strings.Repeat("x", 5000))
		e.truncate(n, 9000)
		e.holds(n, strings.Repeat("x", 5000)+strings.Repeat("\x00", 4000))
		e.truncate(n, 0)
		e.holds(n, "")
		e.truncate(n, 1<<30)
		if size := e.attr(n).Size; size != 1<<30 {
			e.Errorf("size %d", size)
		}
	}},
	{name: "size is of regular files", run: func(e *env) {
		err := e.root.SetAttr(e.ctx, root, &vfs.SetAttr{Set: vfs.SetSize})
		e.fails(err, vfs.EISDIR, vfs.EINVAL)
	}},
	{name: "size through an open needs no permission on the file", needs: []ability{users}, run: func(e *env) {
		e.setAttr(e.root, vfs.SetAttr{Set: vfs.SetMode, Mode: 0o777})
		n, f, _, err := e.root.Create(e.ctx, alice, "file", mode(0o444), vfs.OpenWrite)
		e.ok(err)
		e.write(f, 0, "written")
		e.ok(n.SetAttr(e.ctx, alice, &vfs.SetAttr{Set: vfs.SetSize, Size: 2, Via: f}))
		e.ok(f.Close())
		e.holds(n, "wr")
	}},
	{name: "times are set to the nanosecond", run: func(e *env) {
		for _, n := range []vfs.Node{e.create(e.root, "file"), e.mkdir(e.root, "dir")} {
			at, mt := vfs.Timespec{Sec: 1_000_000_000, Nsec: 123_456_789}, vfs.Timespec{Sec: 1, Nsec: 1}
			e.setAttr(n, vfs.SetAttr{Set: vfs.SetAtime | vfs.SetMtime, Atime: at, Mtime: mt})
			e.timesAre(n, at, mt)
			e.setAttr(n, vfs.SetAttr{Set: vfs.SetMtime, Mtime: vfs.Timespec{Sec: 2_000_000_000}})
			e.timesAre(n, at, vfs.Timespec{Sec: 2_000_000_000})
		}
	}},
	{name: "times are set to now", run: func(e *env) {
		n := e.create(e.root, "file")
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetAtime | vfs.SetMtime})
		e.setAttr(n, vfs.SetAttr{Set: vfs.SetAtimeNow | vfs.SetMtimeNow})
		a := e.attr(n)
		for _, at := range []vfs.Timespec{a.Atime, a.Mtime} {
			// An hour is for clocks of other machines.
			if d := time.Since(at.Time()).Abs(); d > time.Hour {
				e.Errorf("now is %v", at.Time())
			}
		}
	}},
	{name: "follow what is done to the file", run: func(e *env) {
		past := vfs.SetAttr{Set: vfs.SetAtime | vfs.SetMtime, Atime: vfs.Timespec{Sec: 1}, Mtime: vfs.Timespec{Sec: 1}}
		n, f := e.createOpen(e.root, "file")
		e.setAttr(n, past)
		e.write(f, 0, "x")
		if a := e.attr(n); a.Mtime.Sec == 1 {
			e.Errorf("a write left the modification time at %v", a.Mtime)
		}
		e.setAttr(n, past)
		e.truncate(n, 100)
		if a := e.attr(n); a.Mtime.Sec == 1 {
			e.Errorf("a truncation left the modification time at %v", a.Mtime)
		}
		e.ok(f.Close())
		e.setAttr(e.root, past)
		e.create(e.root, "other")
		if a := e.attr(e.root); a.Mtime.Sec == 1 {
			e.Errorf("a new entry left the directory's modification time at %v", a.Mtime)
		}
	}},
	{name: "set nothing", run: func(e *env) {
		n := e.file(e.root, "file", "kept")
		before := e.attr(n)
		e.ok(n.SetAttr(e.ctx, root, &vfs.SetAttr{}))
		after := e.attr(n)
		if before.Mode != after.Mode || before.Size != after.Size || before.Mtime != after.Mtime {
			e.Errorf("%+v became %+v", before, after)
		}
	}},
}
