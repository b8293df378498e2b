package mem

import (
	"context"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// Rename implements vfs.Node.
func (n *inode) Rename(_ context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	dst, ok := newDir.(*inode)
	if !ok || dst.fs != n.fs {
		return from, to, vfs.EXDEV
	}
	n.fs.rename.Lock()
	defer n.fs.rename.Unlock()
	defer lockDirs(n, dst)()

	e, target, err := n.renamed(cred, oldName, dst, newName)
	if err != nil {
		return from, to, err
	}
	switch {
	case target != nil && flags&vfs.RenameNoReplace != 0:
		return from, to, vfs.EEXIST
	case target != nil && target.node == e.node: // rename(2): nothing happens
		return n.unchanged(), dst.unchanged(), nil
	}
	if err := n.mayRename(cred, e.node, dst, target); err != nil {
		return from, to, err
	}
	if target != nil {
		if err := dst.unlink(target); err != nil {
			return from, to, err
		}
	}
	n.move(e, dst, strings.Clone(newName))
	from = n.entriesChanged()
	if n == dst {
		return from, from, nil
	}
	return from, dst.entriesChanged(), nil
}

// lockDirs locks two directories, the upper one first if one is above the
// other. FS.rename is held.
func lockDirs(a, b *inode) (unlock func()) {
	if a == b {
		a.mu.Lock()
		return a.mu.Unlock
	}
	if a.within(b) {
		a, b = b, a
	}
	a.mu.Lock()
	b.mu.Lock()
	return func() {
		b.mu.Unlock()
		a.mu.Unlock()
	}
}

// within reports whether n is dir or somewhere below it. FS.rename is held.
func (n *inode) within(dir *inode) bool {
	for ; n != nil; n = n.parent {
		if n == dir {
			return true
		}
	}
	return false
}

// renamed finds the two entries of a rename; target is nil if there is none.
// It refuses those of which one is above the other's directory, so that their
// locks may be taken from here on.
func (n *inode) renamed(cred *vfs.Cred, oldName string, dst *inode, newName string) (e, target *entry, err error) {
	if err := n.search(cred, mayExec); err != nil {
		return nil, nil, err
	}
	if err := dst.search(cred, mayExec); err != nil {
		return nil, nil, err
	}
	e, target = n.dir.byName[oldName], dst.dir.byName[newName]
	switch {
	case e == nil:
		return nil, nil, vfs.ENOENT
	case e.node.typ == vfs.TypeDirectory && dst.within(e.node):
		return nil, nil, vfs.EINVAL
	case target != nil && target.node.typ == vfs.TypeDirectory && n.within(target.node):
		return nil, nil, vfs.ENOTEMPTY
	}
	return e, target, nil
}

// mayRename checks permissions and kinds.
func (n *inode) mayRename(cred *vfs.Cred, node, dst *inode, target *entry) error {
	if err := n.mayRemove(cred, node); err != nil {
		return err
	}
	isDir := node.typ == vfs.TypeDirectory
	if target == nil {
		if err := dst.permit(cred, mayWrite|mayExec); err != nil {
			return err
		}
	} else {
		if err := dst.mayRemove(cred, target.node); err != nil {
			return err
		}
		switch targetDir := target.node.typ == vfs.TypeDirectory; {
		case isDir && !targetDir:
			return vfs.ENOTDIR
		case !isDir && targetDir:
			return vfs.EISDIR
		}
	}
	if !isDir || n == dst {
		return nil
	}
	node.mu.RLock() // its ".." is written
	defer node.mu.RUnlock()
	return node.permit(cred, mayWrite)
}

// move gives an entry's node the new name, which is free, in dst.
func (n *inode) move(e *entry, dst *inode, newName string) {
	node := e.node
	n.dir.remove(e)
	dst.dir.add(newName, node)
	node.mu.Lock()
	defer node.mu.Unlock()
	node.changed(false)
	if node.typ == vfs.TypeDirectory {
		node.parent = dst
		n.nlink--
		dst.nlink++
	}
}

// unchanged is the DirChange of an operation that has done nothing.
func (n *inode) unchanged() vfs.DirChange {
	return vfs.DirChange{Before: n.change, After: n.change, Atomic: true}
}
