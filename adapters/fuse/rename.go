package fusefs

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// renaming is one rename: what moves, from where to where, and what is
// replaced there.
type renaming struct {
	cred             *vfs.Cred
	from, to         *held // the directories; the same one if they are
	fromAttr, toAttr vfs.Attr
	oldName, newName string
	child, target    *held // target is nil if there is none
	attr, targetAttr vfs.Attr
	flags            vfs.RenameFlags
}

// Rename implements vfs.Node.
func (n *node) Rename(ctx context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	dst, ok := newDir.(*node)
	switch {
	case !ok || dst.fs != n.fs:
		return from, to, vfs.EXDEV
	case n.fs.opt.ReadOnly:
		return from, to, n.refuse(ctx)
	}
	n.fs.renames.Lock()
	defer n.fs.renames.Unlock()
	r := &renaming{cred: cred, oldName: oldName, newName: newName, flags: flags}
	defer r.release()
	if r.from, err = n.hold(ctx); err != nil {
		return from, to, err
	}
	if r.to, err = dst.hold(ctx); err != nil {
		return from, to, err
	}
	for _, dir := range []*held{r.from, r.to} {
		if err := dir.climb(); err != nil {
			return from, to, err
		}
	}
	defer r.lock()()
	if err := r.find(); err != nil {
		return from, to, err
	}
	switch {
	case r.target != nil && flags&vfs.RenameNoReplace != 0:
		return from, to, vfs.EEXIST
	case r.target != nil && r.target.entry == r.child.entry: // rename(2): nothing happens
		return r.from.still(&r.fromAttr), r.to.still(&r.toAttr), nil
	}
	if r.target != nil {
		r.target.op.Lock()
		defer r.target.op.Unlock()
	}
	if err := r.allowed(n.fs.judge(cred)); err != nil {
		return from, to, err
	}
	if err := r.run(); err != nil {
		return from, to, err
	}
	if from, err = r.from.told(&r.fromAttr); err != nil || r.from.entry == r.to.entry {
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

// climb has the table know all directories above one. Of one that was found by its
// handle it does not know any, and then takes a directory for none that is above:
// in which order to lock, and what may not be moved, depends on that.
func (h *held) climb() error {
	if !h.fs.opt.LastingIDs {
		return nil // all have been looked up from above
	}
	nodes := h.fs.nodes
	for !nodes.within(h.entry, nodes.root) {
		top := &held{h.node, nodes.top(h.entry), h.ctx}
		top.op.RLock()
		up, err := top.up(vfs.Root)
		top.op.RUnlock()
		if err == nil {
			if !nodes.within(top.entry, up) {
				err = errBroken // above itself
			}
			nodes.release(up)
		}
		top.release()
		if err != nil {
			return err
		}
	}
	return nil
}

// lock takes the locks of the directories, that of one above the other first.
func (r *renaming) lock() (unlock func()) {
	a, b := r.from.entry, r.to.entry
	if a == b {
		a.op.Lock()
		return a.op.Unlock
	}
	if r.from.fs.nodes.within(a, b) {
		a, b = b, a
	}
	a.op.Lock()
	b.op.Lock()
	return func() {
		b.op.Unlock()
		a.op.Unlock()
	}
}

// find finds what is in the directories, and refuses to move a directory below
// itself or over what it is below of.
func (r *renaming) find() (err error) {
	if r.fromAttr, err = r.from.search(r.cred, mayExec); err != nil {
		return err
	}
	if r.toAttr, err = r.to.search(r.cred, mayExec); err != nil {
		return err
	}
	nodes := r.from.fs.nodes
	if r.child, err = r.from.walk(r.cred, r.oldName); err != nil {
		return err
	}
	if nodes.within(r.to.entry, r.child.entry) {
		return vfs.EINVAL
	}
	if r.attr, err = r.child.calmAttr(); err != nil {
		return err
	}
	r.target, err = r.to.walk(r.cred, r.newName)
	switch {
	case vfs.ErrnoOf(err) == vfs.ENOENT:
		r.target = nil
		return nil
	case err != nil:
		return err
	case nodes.within(r.from.entry, r.target.entry):
		return vfs.ENOTEMPTY
	}
	r.targetAttr, err = r.target.calmAttr()
	return err
}

// calmAttr is attr of a node whose op is not held.
func (h *held) calmAttr() (vfs.Attr, error) {
	h.op.RLock()
	defer h.op.RUnlock()
	return h.attr()
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

// run renames. Flags go to the file system where it knows them; that nothing is
// replaced was seen under the lock.
func (r *renaming) run() error {
	fs := r.from.fs
	in := fuse.RenameIn{InHeader: fs.header(r.cred, r.from.entry), Newdir: r.to.entry.id}
	if r.flags&vfs.RenameNoReplace != 0 {
		in.Flags = unix.RENAME_NOREPLACE
	}
	try := func() error {
		return fs.call(func() fuse.Status { return fs.raw.Rename(cancel(r.from.ctx), &in, r.oldName, r.newName) })
	}
	err := try()
	if in.Flags != 0 && (err == vfs.EINVAL || err == notImplemented) {
		in.Flags = 0
		err = try()
	}
	if err != nil {
		return supported(err)
	}
	if r.target != nil {
		r.target.changed()
		if lastName(&r.targetAttr) {
			fs.nodes.removed(r.target.entry)
		}
	}
	r.child.changed()
	if r.attr.Type == vfs.TypeDirectory {
		fs.nodes.moved(r.child.entry, r.to.entry)
	}
	return nil
}
