package mem

import (
	"context"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// vacant checks that name is free in the directory and that cred may give it
// to something. n.mu is held.
func (n *inode) vacant(cred *vfs.Cred, name string) error {
	if err := n.search(cred, mayExec); err != nil {
		return err
	}
	if n.dir.byName[name] != nil {
		return vfs.EEXIST
	}
	return n.permit(cred, mayWrite)
}

// admit makes node, which nobody knows yet, an entry of the directory.
func (n *inode) admit(cred *vfs.Cred, name string, node *inode, set *vfs.SetAttr) (vfs.DirChange, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.vacant(cred, name); err != nil {
		return vfs.DirChange{}, err
	}
	if err := node.initial(cred, n, set); err != nil {
		return vfs.DirChange{}, err
	}
	if err := n.fs.space.takeInode(node.cost() + nameCost); err != nil {
		return vfs.DirChange{}, err
	}
	if node.typ == vfs.TypeDirectory {
		node.parent = n
		n.nlink++
	}
	n.fs.nodes.add(node)
	n.dir.add(strings.Clone(name), node) // the caller's may be a part of something large
	return n.entriesChanged(), nil
}

// initial gives a new inode the owner that dir and cred decide on and the
// attributes in set. dir.mu is held.
func (n *inode) initial(cred *vfs.Cred, dir *inode, set *vfs.SetAttr) error {
	n.uid, n.gid = cred.UID, cred.GID
	var inherited uint32
	if dir.mode&vfs.ModeSetGID != 0 { // inode(7)
		n.gid = dir.gid
		if n.typ == vfs.TypeDirectory {
			inherited = vfs.ModeSetGID
		}
	}
	if set != nil {
		first := *set
		first.Set &^= vfs.SetSize
		if set.Has(vfs.SetSize) && set.Size != 0 {
			return vfs.EINVAL
		}
		if err := n.maySet(cred, &first); err != nil {
			return err
		}
		n.apply(cred, &first)
	}
	n.mode |= inherited
	if n.typ == vfs.TypeSymlink {
		n.mode = 0o777 // symlink(7)
	}
	return nil
}

// Create implements vfs.Node.
func (n *inode) Create(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	node := n.fs.newInode(vfs.TypeRegular)
	node.opens = 1
	ch, err := n.admit(cred, name, node, set)
	if err != nil {
		return nil, nil, ch, err
	}
	return node, &file{inode: node, cred: cred, how: how}, ch, nil
}

// Mkdir implements vfs.Node.
func (n *inode) Mkdir(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return n.make(cred, name, n.fs.newInode(vfs.TypeDirectory), set)
}

// make is admit for methods that return a node.
func (n *inode) make(cred *vfs.Cred, name string, node *inode, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	ch, err := n.admit(cred, name, node, set)
	if err != nil {
		return nil, ch, err
	}
	return node, ch, nil
}

// Symlink implements vfs.Node.
func (n *inode) Symlink(_ context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	switch {
	case target == "":
		return nil, vfs.DirChange{}, vfs.ENOENT
	case len(target) > vfs.MaxSymlink:
		return nil, vfs.DirChange{}, vfs.ENAMETOOLONG
	}
	node := n.fs.newInode(vfs.TypeSymlink)
	node.target = strings.Clone(target)
	return n.make(cred, name, node, set)
}

// Mknod implements vfs.Mknoder. Devices are root's to make.
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
	node := n.fs.newInode(typ)
	node.rdev = rdev
	return n.make(cred, name, node, set)
}

// Link implements vfs.Linker.
func (n *inode) Link(_ context.Context, cred *vfs.Cred, newDir vfs.Node, newName string) (vfs.DirChange, error) {
	dir, ok := newDir.(*inode)
	if !ok || dir.fs != n.fs {
		return vfs.DirChange{}, vfs.EXDEV
	}
	if n.typ == vfs.TypeDirectory {
		return vfs.DirChange{}, vfs.EPERM
	}
	dir.mu.Lock()
	defer dir.mu.Unlock()
	if err := dir.vacant(cred, newName); err != nil {
		return vfs.DirChange{}, err
	}
	if err := n.addName(); err != nil {
		return vfs.DirChange{}, err
	}
	dir.dir.add(strings.Clone(newName), n)
	return dir.entriesChanged(), nil
}

// addName counts a further name of a file. n.mu is not held.
func (n *inode) addName() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.gone:
		return vfs.ESTALE
	case n.nlink == 0:
		return vfs.ENOENT // open, but its last name is gone (link(2))
	case n.nlink >= maxLinks:
		return vfs.EMLINK
	}
	if err := n.fs.space.take(nameCost); err != nil {
		return err
	}
	n.nlink++
	n.changed(false)
	return nil
}
