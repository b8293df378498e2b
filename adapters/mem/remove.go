package mem

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// mayRemove checks that cred may take child away from the directory: it must
// be writable, and where it is sticky one of the two must be the caller's
// (unlink(2)). n.mu is held, child's is not.
func (n *inode) mayRemove(cred *vfs.Cred, child *inode) error {
	if err := n.permit(cred, mayWrite|mayExec); err != nil {
		return err
	}
	if n.mode&vfs.ModeSticky == 0 || cred.UID == 0 || cred.UID == n.uid {
		return nil
	}
	child.mu.RLock()
	defer child.mu.RUnlock()
	if cred.UID != child.uid {
		return vfs.EPERM
	}
	return nil
}

// Remove implements vfs.Node.
func (n *inode) Remove(_ context.Context, cred *vfs.Cred, name string, dir bool) (vfs.DirChange, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.search(cred, mayExec); err != nil {
		return vfs.DirChange{}, err
	}
	e := n.dir.byName[name]
	if e == nil {
		return vfs.DirChange{}, vfs.ENOENT
	}
	if err := n.mayRemove(cred, e.node); err != nil {
		return vfs.DirChange{}, err
	}
	switch isDir := e.node.typ == vfs.TypeDirectory; {
	case isDir && !dir:
		return vfs.DirChange{}, vfs.EISDIR
	case !isDir && dir:
		return vfs.DirChange{}, vfs.ENOTDIR
	}
	if err := n.unlink(e); err != nil {
		return vfs.DirChange{}, err
	}
	return n.entriesChanged(), nil
}

// unlink takes an entry away from the directory, and from what it names a
// link. ENOTEMPTY if that is a directory with entries. n.mu is held.
func (n *inode) unlink(e *entry) error {
	if node := e.node; node.typ != vfs.TypeDirectory {
		node.unname()
	} else {
		if err := node.bury(); err != nil {
			return err
		}
		n.nlink--
	}
	n.dir.remove(e)
	n.fs.space.give(nameCost)
	return nil
}
