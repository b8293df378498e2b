package billy_test

import (
	"fmt"
	"testing"

	gobilly "github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

func TestAKillLosesNothingThatWasTold(t *testing.T) {
	under, state := newPlain(), t.TempDir()
	put(t, under, "listed", "by ReadDir")
	put(t, under, "found", "by Lookup")
	fs := started(t, under, billy.Options{State: state})
	told := map[string]vfs.Node{
		"made":  file(t, fs.Root(), "made", "by Create"),
		"found": lookup(t, fs.Root(), "found"),
	}
	_, err := fs.Root().ReadDir(ctx, vfs.Root, 0, vfs.AttrNode, func(d *vfs.DirEntry) bool {
		if d.Name == "listed" {
			told["listed"] = d.Node
		}
		return true
	})
	check(t, err)
	change := attr(t, told["made"]).Change

	again := killed(t, under, state)
	for name, n := range told {
		if back := resolve(t, again, n.Handle()); !same(back, lookup(t, again.Root(), name)) {
			t.Errorf("the handle of %s leads to another node", name)
		}
	}
	made := resolve(t, again, told["made"].Handle())
	holds(t, made, "by Create")
	if a := attr(t, made); a.UID != alice.UID || a.Mode != 0o640 {
		t.Errorf("the file is %+v", a)
	} else if a.Change <= change {
		t.Errorf("the change attribute was %d and is %d", change, a.Change)
	}
}

func TestCookiesOutliveARestart(t *testing.T) {
	under, state := newPlain(), t.TempDir()
	for i := range 10 {
		put(t, under, fmt.Sprint("file", i), "")
	}
	walk := func(fs vfs.FS, cookie uint64) (names []string, cookies []uint64) {
		_, err := fs.Root().ReadDir(ctx, vfs.Root, cookie, 0, func(d *vfs.DirEntry) bool {
			names, cookies = append(names, d.Name), append(cookies, d.Cookie)
			return true
		})
		check(t, err)
		return names, cookies
	}
	all, cookies := walk(started(t, under, billy.Options{State: state}), 0)
	rest, _ := walk(killed(t, under, state), cookies[4])
	if fmt.Sprint(rest) != fmt.Sprint(all[5:]) {
		t.Errorf("behind %s come %q, want %q", all[4], rest, all[5:])
	}
}

// watched calls before and after around each Rename.
type watched struct {
	gobilly.Filesystem
	before, after func(from, to string)
}

func (w *watched) Rename(from, to string) error {
	w.before(from, to)
	err := w.Filesystem.Rename(from, to)
	w.after(from, to)
	return err
}

// frozen is what a kill leaves: a file system that is as it was then, and a
// state directory.
type frozen struct {
	under *plain
	state string
}

func (p *plain) frozen() *plain {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := newPlain()
	for name, n := range p.nodes {
		copied := *n
		copied.data, copied.names = n.data.clone(), map[string]bool{}
		for base := range n.names {
			copied.names[base] = true
		}
		c.nodes[name] = &copied
	}
	return c
}

// A directory's numbers, and what is known of all below it, hang on one record.
func TestAKillDuringARenameLosesNoHandle(t *testing.T) {
	under, state := newPlain(), t.TempDir()
	var kills []frozen
	kill := func(string, string) { kills = append(kills, frozen{under.frozen(), copied(t, state)}) }
	fs := started(t, &watched{under, kill, kill}, billy.Options{State: state})
	dir, to := mkdir(t, fs.Root(), "dir"), mkdir(t, fs.Root(), "to")
	n := file(t, dir, "file", "inside")
	_, _, err := fs.Root().Rename(ctx, vfs.Root, "dir", to, "moved", 0)
	check(t, err)
	if len(kills) != 2 {
		t.Fatalf("%d moments to die at", len(kills))
	}
	for i, k := range kills {
		again := started(t, k.under, billy.Options{State: k.state})
		back := resolve(t, again, n.Handle())
		holds(t, back, "inside")
		if a := attr(t, back); a.UID != alice.UID {
			t.Errorf("killed at %d: the file belongs to %d", i, a.UID)
		}
		up, name := again.Root(), "dir"
		if i == 1 {
			up, name = lookup(t, again.Root(), "to"), "moved"
		}
		if !same(lookup(t, lookup(t, up, name), "file"), n) {
			t.Errorf("killed at %d: the file is another", i)
		}
	}
}

// plain does not replace, so that the target has to make way first.
func TestAKillDuringAReplacingRenameLosesNeitherFile(t *testing.T) {
	under, state := newPlain(), t.TempDir()
	var kills []frozen
	kill := func(string, string) { kills = append(kills, frozen{under.frozen(), copied(t, state)}) }
	fs := started(t, &watched{under, kill, kill}, billy.Options{State: state})
	file(t, fs.Root(), "new", "new")
	file(t, fs.Root(), "name", "old")
	_, _, err := fs.Root().Rename(ctx, vfs.Root, "new", fs.Root(), "name", 0)
	check(t, err)
	holds(t, lookup(t, fs.Root(), "name"), "new")
	if len(kills) < 5 {
		t.Fatalf("%d moments to die at", len(kills))
	}
	for i, k := range kills {
		again := started(t, k.under, billy.Options{State: k.state})
		if got := names(t, again.Root()); len(got) == 2 { // not done
			holds(t, lookup(t, again.Root(), "new"), "new")
			holds(t, lookup(t, again.Root(), "name"), "old")
		} else {
			holds(t, lookup(t, again.Root(), "name"), "new")
		}
		if _, err := k.under.Lstat(".fsva-removed"); err == nil {
			t.Errorf("killed at %d: the hidden directory is left", i)
		}
	}
}

func TestWhatWasOpenAndRemovedIsGoneAfterAKill(t *testing.T) {
	under, state := newPlain(), t.TempDir()
	fs := started(t, under, billy.Options{State: state})
	n, f := create(t, fs.Root(), "file", "data")
	_, err := fs.Root().Remove(ctx, vfs.Root, "file", false)
	check(t, err)
	left := frozen{under.frozen(), copied(t, state)}
	reads(t, f, "data")
	check(t, f.Close())
	for name, u := range map[string]*plain{"Close": under, "a kill": left.under} {
		if name == "a kill" {
			again := started(t, u, billy.Options{State: left.state})
			_, err := again.Resolve(ctx, n.Handle())
			fails(t, err, vfs.ESTALE)
		}
		infos, err := u.ReadDir("/")
		check(t, err)
		for _, fi := range infos {
			if !fi.IsDir() {
				t.Errorf("after %s there is %s", name, fi.Name())
			} else if in, err := u.ReadDir(fi.Name()); err != nil || len(in) > 0 {
				t.Errorf("after %s %d files are in %s, %v", name, len(in), fi.Name(), err)
			}
		}
	}
}

func TestHandlesOfAnotherStateAreStale(t *testing.T) {
	under := newPlain()
	fs := open(t, under, billy.Options{})
	handle := file(t, fs.Root(), "file", "").Handle()
	check(t, fs.Close())
	_, err := started(t, under, billy.Options{}).Resolve(ctx, handle)
	fails(t, err, vfs.ESTALE)
}
