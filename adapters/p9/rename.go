package p9fs

import (
	"cmp"
	"context"
	"slices"

	"github.com/fsva/fsva/vfs"
)

// renaming is one rename: what moves, from where to where, and what is
// replaced there.
type renaming struct {
	from, to         *held // the directories
	fromAttr, toAttr vfs.Attr
	oldName, newName string
	child, target    *held // target is nil if there is none
	attr, targetAttr vfs.Attr
}

// Rename implements vfs.Node. Nothing else happens meanwhile, as p9.File
// demands of it.
func (n *node) Rename(_ context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	dst, ok := newDir.(*node)
	switch {
	case !ok || dst.fs != n.fs:
		return from, to, vfs.EXDEV
	case n.fs.opt.ReadOnly:
		return from, to, vfs.EROFS
	}
	n.fs.tree.Lock()
	defer n.fs.tree.Unlock()
	r := &renaming{oldName: oldName, newName: newName}
	defer r.release()
	if err := r.find(cred, n, dst); err != nil {
		return from, to, err
	}
	switch {
	case r.target != nil && flags&vfs.RenameNoReplace != 0:
		return from, to, vfs.EEXIST
	case r.target != nil && r.target.entry == r.child.entry: // rename(2): nothing happens
		return r.from.still(&r.fromAttr), r.to.still(&r.toAttr), nil
	}
	if err := r.allowed(n.fs.as(cred)); err != nil {
		return from, to, err
	}
	if err := r.run(); err != nil {
		return from, to, err
	}
	if from, err = r.from.told(&r.fromAttr); err != nil || n.id == dst.id {
		return from, from, err
	}
	to, err = r.to.told(&r.toAttr)
	return from, to, err
}

func (r *renaming) release() {
	for _, h := range []*held{r.from, r.to, r.child, r.target} {
		if h != nil {
			h.release()
		}
	}
}

// find finds the directories and what is in them, and refuses to move a
// directory below itself or over what it is below of.
func (r *renaming) find(cred *vfs.Cred, n, dst *node) (err error) {
	if r.from, err = n.hold(); err != nil {
		return err
	}
	if r.to, err = dst.hold(); err != nil {
		return err
	}
	if r.fromAttr, err = r.from.search(cred, mayExec); err != nil {
		return err
	}
	if r.toAttr, err = r.to.search(cred, mayExec); err != nil {
		return err
	}
	if r.child, err = r.from.walk(r.oldName); err != nil {
		return err
	}
	if r.attr, err = r.child.attr(); err != nil {
		return err
	}
	if r.target, err = r.to.walk(r.newName); vfs.ErrnoOf(err) == vfs.ENOENT {
		r.target = nil
	} else if err != nil {
		return err
	} else if r.targetAttr, err = r.target.attr(); err != nil {
		return err
	}
	if inside, err := n.fs.within(dst, r.child.entry); inside || err != nil {
		return cmp.Or(err, error(vfs.EINVAL))
	}
	if r.target != nil {
		if inside, err := n.fs.within(n, r.target.entry); inside || err != nil {
			return cmp.Or(err, error(vfs.ENOTEMPTY))
		}
	}
	return nil
}

// allowed checks permissions and kinds.
func (r *renaming) allowed(cred *vfs.Cred) error {
	if err := mayRemove(cred, &r.fromAttr, &r.attr); err != nil {
		return err
	}
	isDir := r.attr.Type == vfs.TypeDirectory
	if r.target == nil {
		if err := permit(cred, &r.toAttr, mayWrite|mayExec); err != nil {
			return err
		}
	} else {
		if err := mayRemove(cred, &r.toAttr, &r.targetAttr); err != nil {
			return err
		}
		switch targetDir := r.targetAttr.Type == vfs.TypeDirectory; {
		case isDir && !targetDir:
			return vfs.ENOTDIR
		case !isDir && targetDir:
			return vfs.EISDIR
		}
	}
	if isDir && r.from.entry != r.to.entry { // its ".." is written
		return permit(cred, &r.attr, mayWrite)
	}
	return nil
}

// run renames, and tells everybody whom it concerns.
func (r *renaming) run() error {
	err := errno(r.from.fid.file.RenameAt(r.oldName, r.to.fid.file, r.newName))
	if err == vfs.EOPNOTSUPP {
		err = errno(r.child.fid.file.Rename(r.to.fid.file, r.newName))
	}
	if err != nil {
		return err
	}
	nodes := r.from.fs.nodes
	was, is := place{r.from.entry, r.oldName}, place{r.to.entry, r.newName}
	if r.target != nil {
		r.target.changed()
		nodes.unnamed(r.target.entry, is, lastName(&r.targetAttr))
	}
	r.child.changed()
	for _, o := range nodes.moved(r.child.entry, was, is) {
		r.from.fs.follow(o)
		o.fid.unref()
	}
	return nil
}

// follow tells an opened File where it is now.
func (f *FS) follow(o *file) {
	via := f.nodes.viaOf(o)
	dir, err := f.reach(via.dir)
	if err != nil { // nobody finds the way there any more
		return
	}
	o.fid.file.Renamed(dir.file, via.name)
	f.nodes.anchor(o, dir)
}

// still is the change of a directory to which nothing has happened.
func (h *held) still(a *vfs.Attr) vfs.DirChange {
	return vfs.DirChange{Before: a.Change, After: a.Change, Atomic: h.fs.opt.Exclusive}
}

// within reports whether a node is dir or somewhere below it. Where the table
// does not know what is above a directory it walks there, if it can. FS.tree is
// held for writing.
func (f *FS) within(n *node, dir *entry) (bool, error) {
	for {
		h, err := n.hold()
		if err != nil {
			return false, err
		}
		top := f.nodes.climb(h.entry, dir)
		h.release()
		if top == dir || top == f.nodes.root || f.resolver == nil {
			return top == dir, nil
		}
		if h, err = f.node(top.id, top.born).hold(); err != nil {
			return false, err
		}
		n, err = h.above()
		h.release()
		if err != nil {
			return false, err
		}
	}
}

// climb goes from a directory to the one above until that is dir or as far as
// is known.
func (t *table) climb(e, dir *entry) *entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	return climb(e, dir)
}

// climb is table.climb with mu held.
func climb(e, dir *entry) *entry {
	for e != dir && len(e.places) > 0 {
		e = e.places[len(e.places)-1].dir
	}
	return e
}

// moved takes an entry from one place to another. Files that were walked to by
// way of the old name are dropped where they can be had again, and those that
// are opened returned, each with a reference to its fid. FS.tree is held for writing.
func (t *table) moved(e *entry, was, is place) (opened []*file) {
	t.mu.Lock()
	defer t.unlock()
	through := func(via place) bool {
		return via == was || via.dir != nil && climb(via.dir, e) == e
	}
	for o := range t.opened {
		for _, f := range o.opens {
			if !o.dead && through(f.via) {
				if f.via == was {
					f.via = is
				}
				f.fid.ref() // it may be closed before it is told
				opened = append(opened, f)
			}
		}
		if !o.dead && o.fid != nil && through(o.via) {
			t.dropFID(o)
		}
	}
	for c := t.cached.Front(); c != nil; {
		next := c.Next()
		if kept := c.Value.(*entry); through(kept.via) {
			t.dropFID(kept)
		}
		c = next
	}
	t.enter(e, is)
	for i, p := range e.places {
		if p == was {
			t.leave(e, i)
			break
		}
	}
	return opened
}

// viaOf returns where an opened File was walked to.
func (t *table) viaOf(o *file) place {
	t.mu.Lock()
	defer t.mu.Unlock()
	return o.via
}

// anchor makes an opened File keep the File of its directory, unless it was
// closed meanwhile.
func (t *table) anchor(o *file, dir *fid) {
	t.mu.Lock()
	defer t.unlock()
	if !slices.Contains(o.entry.opens, o) {
		t.dropped = append(t.dropped, dir)
		return
	}
	t.dropped = append(t.dropped, o.anchor)
	o.anchor = dir
}
