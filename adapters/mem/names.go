package mem

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// begin checks that cred may change the directory, and returns its change
// attribute. FS.tree is held.
func (n *inode) begin(cred *vfs.Cred) (vfs.DirChange, error) {
	if err := n.search(cred, mayWrite|mayExec); err != nil {
		return vfs.DirChange{}, err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return vfs.DirChange{Before: n.change, After: n.change, Atomic: true}, nil
}

// end notes that the directory's entries have changed and its link count by
// links. FS.tree is held.
func (n *inode) end(ch *vfs.DirChange, links int) {
	n.mu.Lock()
	n.nlink = uint32(int(n.nlink) + links)
	n.changed(true)
	ch.After = n.change
	n.mu.Unlock()
}

// make gives a new inode a name.
func (n *inode) make(cred *vfs.Cred, name string, set *vfs.SetAttr, typ vfs.FileType, fill func(*inode)) (*inode, vfs.DirChange, error) {
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	ch, err := n.begin(cred)
	if err != nil {
		return nil, ch, err
	}
	if n.dir.byName[name] != nil {
		return nil, ch, vfs.EEXIST
	}
	node := f.newInode(typ)
	if fill != nil {
		fill(node)
	}
	n.inherit(node, cred)
	if err := node.initial(cred, set); err != nil {
		return nil, ch, err
	}
	if err := f.take(int64(inodeCost + len(node.target) + nameCost + len(name))); err != nil {
		return nil, ch, err
	}
	f.nodes[node.ino] = node
	n.dir.add(name, node)
	links := 0
	if typ == vfs.TypeDirectory {
		node.nlink, node.parent = 2, n
		links = 1
	}
	n.end(&ch, links)
	return node, ch, nil
}

// inherit gives a new inode the owner that it has without being told.
func (n *inode) inherit(node *inode, cred *vfs.Cred) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	node.uid, node.gid = cred.UID, cred.GID
	if n.mode&vfs.ModeSetGID != 0 {
		node.gid = n.gid
		if node.typ == vfs.TypeDirectory {
			node.mode |= vfs.ModeSetGID
		}
	}
	if node.typ == vfs.TypeSymlink {
		node.mode = 0o777
	}
}

// initial applies the attributes a new inode starts with.
func (n *inode) initial(cred *vfs.Cred, set *vfs.SetAttr) error {
	if set == nil {
		return nil
	}
	if set.Has(vfs.SetSize) && set.Size != 0 {
		return vfs.EINVAL
	}
	s := *set
	s.Set &^= vfs.SetSize
	if err := n.maySet(cred, &s); err != nil {
		return err
	}
	inherited := n.mode & vfs.ModeSetGID
	n.apply(cred, &s)
	if n.typ == vfs.TypeDirectory {
		n.mode |= inherited
	}
	return nil
}

// Create implements vfs.Node.
func (n *inode) Create(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	node, ch, err := n.make(cred, name, set, vfs.TypeRegular, func(n *inode) { n.opens = 1 })
	if err != nil {
		return nil, nil, ch, err
	}
	return node, &file{inode: node, cred: cred, how: how}, ch, nil
}

// Mkdir implements vfs.Node.
func (n *inode) Mkdir(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return asNode(n.make(cred, name, set, vfs.TypeDirectory, nil))
}

// Symlink implements vfs.Node.
func (n *inode) Symlink(_ context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	if target == "" {
		return nil, vfs.DirChange{}, vfs.ENOENT
	}
	if len(target) > vfs.MaxSymlink {
		return nil, vfs.DirChange{}, vfs.ENAMETOOLONG
	}
	return asNode(n.make(cred, name, set, vfs.TypeSymlink, func(n *inode) { n.target = target }))
}

// Mknod implements vfs.Mknoder.
func (n *inode) Mknod(_ context.Context, cred *vfs.Cred, name string, typ vfs.FileType, rdev vfs.Rdev, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	switch typ {
	case vfs.TypeBlock, vfs.TypeChar:
		if cred.UID != 0 {
			return nil, vfs.DirChange{}, vfs.EPERM
		}
	case vfs.TypeFIFO, vfs.TypeSocket:
		rdev = vfs.Rdev{}
	default:
		return nil, vfs.DirChange{}, vfs.EINVAL
	}
	return asNode(n.make(cred, name, set, typ, func(n *inode) { n.rdev = rdev }))
}

// asNode keeps a nil *inode from becoming a vfs.Node that is not nil.
func asNode(n *inode, ch vfs.DirChange, err error) (vfs.Node, vfs.DirChange, error) {
	if err != nil {
		return nil, ch, err
	}
	return n, ch, nil
}

// mayRemove checks the sticky bit of directory n (unlink(2)). FS.tree is held.
func (n *inode) mayRemove(cred *vfs.Cred, child *inode) error {
	n.mu.RLock()
	sticky := n.mode&vfs.ModeSticky != 0 && cred.UID != 0 && cred.UID != n.uid
	n.mu.RUnlock()
	if !sticky {
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
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	if err := n.search(cred, mayExec); err != nil {
		return vfs.DirChange{}, err
	}
	e := n.dir.byName[name]
	if e == nil {
		return vfs.DirChange{}, vfs.ENOENT
	}
	ch, err := n.begin(cred)
	if err == nil {
		err = n.mayRemove(cred, e.node)
	}
	if err != nil {
		return ch, err
	}
	links := 0
	switch isDir := e.node.typ == vfs.TypeDirectory; {
	case isDir && !dir:
		return ch, vfs.EISDIR
	case !isDir && dir:
		return ch, vfs.ENOTDIR
	case isDir && len(e.node.dir.byName) > 0:
		return ch, vfs.ENOTEMPTY
	case isDir:
		links = -1
	}
	n.unlink(e)
	n.end(&ch, links)
	return ch, nil
}

// unlink takes an entry and what it names away. FS.tree is held.
func (n *inode) unlink(e *entry) {
	node := e.node
	n.dir.remove(e)
	n.fs.give(int64(nameCost + len(e.name)))
	node.drop()
}

// Link implements vfs.Linker.
func (n *inode) Link(_ context.Context, cred *vfs.Cred, newDir vfs.Node, newName string) (vfs.DirChange, error) {
	dir, ok := newDir.(*inode)
	if !ok || dir.fs != n.fs {
		return vfs.DirChange{}, vfs.EXDEV
	}
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	ch, err := dir.begin(cred)
	if err != nil {
		return ch, err
	}
	if dir.dir.byName[newName] != nil {
		return ch, vfs.EEXIST
	}
	if err := n.addLink(); err != nil {
		return ch, err
	}
	if err := f.take(int64(nameCost + len(newName))); err != nil {
		n.drop()
		return ch, err
	}
	dir.dir.add(newName, n)
	dir.end(&ch, 0)
	return ch, nil
}

func (n *inode) addLink() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.typ == vfs.TypeDirectory:
		return vfs.EPERM
	case n.gone:
		return vfs.ESTALE
	case n.nlink == 0:
		return vfs.ENOENT // its last name is gone; link(2)
	case n.nlink >= maxLinks:
		return vfs.EMLINK
	}
	n.nlink++
	n.changed(false)
	return nil
}

// Rename implements vfs.Node.
func (n *inode) Rename(_ context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	dst, ok := newDir.(*inode)
	if !ok || dst.fs != n.fs {
		return from, to, vfs.EXDEV
	}
	n.fs.tree.Lock()
	defer n.fs.tree.Unlock()
	if from, err = n.begin(cred); err != nil {
		return from, to, err
	}
	if to, err = dst.begin(cred); err != nil {
		return from, to, err
	}
	e := n.dir.byName[oldName]
	if e == nil {
		return from, to, vfs.ENOENT
	}
	if err := n.mayRemove(cred, e.node); err != nil {
		return from, to, err
	}
	target := dst.dir.byName[newName]
	if target != nil {
		switch {
		case flags&vfs.RenameNoReplace != 0:
			return from, to, vfs.EEXIST
		case target.node == e.node:
			return from, to, nil
		}
	}
	if err := n.mayMove(cred, e.node, dst, target); err != nil {
		return from, to, err
	}
	n.move(e, dst, target, newName, &from, &to)
	return from, to, nil
}

// mayMove checks the rules of rename(2) on kinds and places. FS.tree is held.
func (n *inode) mayMove(cred *vfs.Cred, node, dst *inode, target *entry) error {
	isDir := node.typ == vfs.TypeDirectory
	if isDir {
		for up := dst; up != nil; up = up.parent {
			if up == node {
				return vfs.EINVAL
			}
		}
		if n != dst { // its ".." changes
			if err := node.check(cred, mayWrite); err != nil {
				return err
			}
		}
	}
	if target == nil {
		return nil
	}
	if err := dst.mayRemove(cred, target.node); err != nil {
		return err
	}
	switch targetDir := target.node.typ == vfs.TypeDirectory; {
	case isDir && !targetDir:
		return vfs.ENOTDIR
	case !isDir && targetDir:
		return vfs.EISDIR
	case targetDir && len(target.node.dir.byName) > 0:
		return vfs.ENOTEMPTY
	}
	return nil
}

// move does what Rename has found to be allowed. FS.tree is held.
func (n *inode) move(e *entry, dst *inode, target *entry, newName string, from, to *vfs.DirChange) {
	node := e.node
	dir := 0
	if node.typ == vfs.TypeDirectory {
		dir = 1
		node.parent = dst
	}
	gained := dir
	if target != nil {
		dst.unlink(target)
		gained = 0 // a directory took the place of a directory
	}
	n.dir.remove(e)
	n.fs.used.Add(int64(len(newName) - len(e.name)))
	dst.dir.add(newName, node)
	node.mu.Lock()
	node.changed(false)
	node.mu.Unlock()
	if n == dst {
		n.end(from, gained-dir)
		to.After = from.After
		return
	}
	n.end(from, -dir)
	dst.end(to, gained)
}
