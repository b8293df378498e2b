package host

import (
	"context"
	"errors"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// target opens the entry that is about to go away, so that the node can be
// kept if it is open. nil and no error if there is none.
func (c *changing) target(cred *vfs.Cred, name string) (*node, *descriptor, error) {
	losses := c.node.fs.fds.losses.Load()
	fd, err := c.node.fs.openEntry(c.descriptor, &c.stat, cred, name)
	if errors.Is(err, vfs.ENOENT) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return c.node.child(fd, name, losses)
}

// lost is called after name in c no longer leads to n, whose descriptor is
// desc.
func (c *changing) lost(n *node, desc *descriptor, name string) {
	f := n.fs
	// Some FUSE file systems know nothing of a node without a name.
	st, err := f.stat(desc.fd, vfs.AttrChange)
	reachable := err == nil && st.Nlink > 0
	if err == nil {
		f.changes.made(n.handle, ctime(&st))
	}
	if f.table != nil {
		if err := f.table.drop(n.handle, place{c.node.handle, name}); err != nil {
			f.log.Error().Err(err).Msg("cannot forget the place of a removed file")
		}
		_, err := f.table.get(n.handle)
		reachable = reachable && err == nil
	}
	f.fds.nameRemoved(desc, reachable)
}

// Remove implements vfs.Node.
func (n *node) Remove(_ context.Context, cred *vfs.Cred, name string, dir bool) (vfs.DirChange, error) {
	flags := 0
	if dir {
		flags = unix.AT_REMOVEDIR
	}
	return n.changeDir(name, func(c *changing) error {
		if done, err := c.removeClosed(cred, name, flags); done || err != nil {
			return err
		}
		victim, desc, err := c.target(cred, name)
		if err != nil {
			return err
		}
		if victim == nil {
			return vfs.ENOENT
		}
		defer desc.release()
		if err := c.unlink(cred, name, flags); err != nil {
			return err
		}
		c.lost(victim, desc, name)
		return nil
	})
}

// removeClosed removes an entry whose node is not open. That takes no
// descriptor of it where nothing but the kernel keeps account of nodes.
func (c *changing) removeClosed(cred *vfs.Cred, name string, flags int) (done bool, err error) {
	f := c.node.fs
	if f.table != nil || f.changes != nil {
		return false, nil
	}
	handle, err := f.entryHandle(c.descriptor, &c.stat, cred, name)
	if err != nil || !f.fds.removing(handle) {
		return false, err
	}
	defer f.fds.removed(handle)
	return true, c.unlink(cred, name, flags)
}

func (c *changing) unlink(cred *vfs.Cred, name string, flags int) error {
	return c.node.fs.as(cred, func() error {
		_, err := retry(func() (int, error) { return 0, unix.Unlinkat(c.fd, name, flags) })
		return err
	})
}

// Rename implements vfs.Node.
func (n *node) Rename(_ context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	dst, ok := newDir.(*node)
	if !ok || dst.fs != n.fs {
		return from, to, vfs.EXDEV
	}
	if err = errors.Join(vfs.CheckName(oldName), vfs.CheckName(newName)); err != nil {
		return from, to, err
	}
	defer lockBoth(n, dst)()
	a, err := n.begin()
	if err != nil {
		return from, to, err
	}
	defer a.release()
	b := a
	if !slices.Equal(n.handle, dst.handle) {
		if b, err = dst.begin(); err != nil {
			return from, to, err
		}
		defer b.release()
	}
	if err = rename(a, b, cred, oldName, newName, flags); err != nil {
		return from, to, err
	}
	if to, err = b.finish(); err != nil || a == b {
		return to, to, err
	}
	from, err = a.finish()
	return from, to, err
}

// lockBoth takes the locks of two directories in their order.
func lockBoth(a, b *node) (unlock func()) {
	i, j := a.lockIndex(), b.lockIndex()
	if i > j {
		i, j = j, i
	}
	locks := &a.fs.dirLocks
	locks[i].Lock()
	if i != j {
		locks[j].Lock()
	}
	return func() {
		if i != j {
			locks[j].Unlock()
		}
		locks[i].Unlock()
	}
}

func rename(a, b *changing, cred *vfs.Cred, oldName, newName string, flags vfs.RenameFlags) error {
	moved, movedDesc, err := a.target(cred, oldName)
	if err != nil {
		return err
	}
	if moved == nil {
		return vfs.ENOENT
	}
	defer movedDesc.release()
	victim, victimDesc, err := b.target(cred, newName)
	if err != nil {
		return err
	}
	if victim != nil {
		defer victimDesc.release()
		if flags&vfs.RenameNoReplace != 0 {
			return vfs.EEXIST
		}
	}
	f := moved.fs
	err = f.as(cred, func() error { return renameAt(a.fd, oldName, b.fd, newName, flags) })
	if err != nil {
		return err
	}
	if victim != nil && slices.Equal(victim.handle, moved.handle) {
		return nil // two names of one file: rename(2) does nothing
	}
	f.noteChange(moved.handle, movedDesc.fd)
	if f.table != nil {
		if err := f.table.moved(moved.handle, place{b.node.handle, newName}); err != nil {
			return err
		}
	}
	if victim != nil {
		b.lost(victim, victimDesc, newName)
	}
	return nil
}

// renameAt is renameat2(2). A file system that does not know RENAME_NOREPLACE
// says EINVAL; the caller has seen that there is no such name, and holds the
// lock against others of this process.
func renameAt(from int, oldName string, to int, newName string, flags vfs.RenameFlags) error {
	kernel := uint(0)
	if flags&vfs.RenameNoReplace != 0 {
		kernel = unix.RENAME_NOREPLACE
	}
	_, err := retry(func() (int, error) { return 0, unix.Renameat2(from, oldName, to, newName, kernel) })
	if kernel != 0 && errors.Is(err, unix.EINVAL) {
		return unix.Renameat2(from, oldName, to, newName, 0)
	}
	return err
}
