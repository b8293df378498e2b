package billy

import (
	"context"
	"os"
	"syscall"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// creation is a new entry on its way.
type creation struct {
	dir  place
	name string
	path string
	attr vfs.Attr // that the new node is to have
	wish wish
}

// create makes an entry: it checks what has to be, calls make to have the file
// system do it and tells the index. In then the tree is still locked.
func (n *node) create(cred *vfs.Cred, name string, typ vfs.FileType, set *vfs.SetAttr, make func(*creation) error, then func(*index.Record)) (*node, vfs.DirChange, error) {
	child, ch, err := n.createLocked(cred, name, typ, set, make, then)
	if err == nil {
		err = n.fs.names.Commit()
	}
	return child, ch, err
}

func (n *node) createLocked(cred *vfs.Cred, name string, typ vfs.FileType, set *vfs.SetAttr, make func(*creation) error, then func(*index.Record)) (child *node, ch vfs.DirChange, err error) {
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	c, err := n.vacant(cred, name)
	if err != nil {
		return nil, ch, err
	}
	c.attr.Type = typ
	if err := n.initial(cred, c, set); err != nil {
		return nil, ch, err
	}
	if err := make(c); err != nil {
		return nil, ch, errnoOf(err)
	}
	fi, err := f.lstat(c.path)
	if err != nil {
		return nil, ch, errnoOf(err)
	}
	has := native(fi)
	r := &index.Record{
		Type: typ, Own: has.FileID, Seen: f.today(), Names: []index.Name{{Dir: n.ino, Name: name}},
		Btime: vfs.TimespecOf(f.opt.Clock()),
	}
	ch, err = f.enter(c.dir, r)
	if err != nil {
		return nil, ch, err
	}
	if then != nil {
		then(r)
	}
	p := place{Record: r, path: c.path}
	if c.wish.set == 0 {
		return f.node(r), ch, nil
	}
	return f.node(r), ch, f.settle(p, fi, c.wish)
}

// enter tells the index of a new node and its directory.
func (f *FS) enter(dir place, r *index.Record) (ch vfs.DirChange, err error) {
	err = f.names.Update(func(tx *index.Tx) error {
		e, err := tx.Add(r)
		if err != nil {
			return err
		}
		if ch, err = f.entriesChanged(tx, dir.Ino); err != nil {
			return err
		}
		f.lists.add(dir.Ino, item{Entry: e, name: r.Names[0].Name, typ: r.Type})
		return nil
	})
	return ch, err
}

// entriesChanged notes a change of a directory's entries.
func (f *FS) entriesChanged(tx *index.Tx, dir uint64) (ch vfs.DirChange, err error) {
	r, err := tx.Node(dir)
	if err != nil {
		return ch, err
	}
	ch.Before, ch.Atomic = max(r.Change, f.names.Floor()), true
	f.changed(tx, r, true)
	ch.After = max(r.Change, f.names.Floor())
	return ch, nil
}

// vacant checks that name is free in the directory and that cred may give it to
// something. The tree is locked for writing.
func (n *node) vacant(cred *vfs.Cred, name string) (*creation, error) {
	if n.typ != vfs.TypeDirectory {
		return nil, vfs.ENOTDIR
	}
	if err := n.fs.writable(); err != nil {
		return nil, err
	}
	dir, err := n.place()
	if err != nil {
		return nil, err
	}
	if _, err := n.lstat(dir); err != nil {
		return nil, err
	}
	if err := n.permit(cred, dir, mayExec); err != nil {
		return nil, err
	}
	if hidden(n.ino, name) {
		return nil, vfs.EPERM
	}
	switch _, _, err := n.fs.child(dir, name); vfs.ErrnoOf(err) {
	case vfs.ENOENT:
	case 0:
		return nil, vfs.EEXIST
	default:
		return nil, err
	}
	if err := n.permit(cred, dir, mayWrite); err != nil {
		return nil, err
	}
	return &creation{dir: dir, name: name, path: n.fs.join(dir.path, name)}, nil
}

// initial decides which attributes a new node gets.
func (n *node) initial(cred *vfs.Cred, c *creation, set *vfs.SetAttr) error {
	f := n.fs
	a := &c.attr
	a.UID, a.GID = cred.UID, cred.GID
	dir, err := n.modes(c.dir)
	if err != nil {
		return err
	}
	var inherited uint32
	if dir.Mode&vfs.ModeSetGID != 0 { // inode(7)
		a.GID = dir.GID
		if a.Type == vfs.TypeDirectory {
			inherited = vfs.ModeSetGID
		}
	}
	var first vfs.SetAttr
	if set != nil {
		if set.Has(vfs.SetSize) && set.Size != 0 {
			return vfs.EINVAL
		}
		first = *set
		first.Set &^= vfs.SetSize
	}
	if f.opt.Owner.Fixed {
		first.Set &^= vfs.SetUID | vfs.SetGID | vfs.SetMode
		a.Mode = first.Mode
	} else if err := f.maySet(cred, a, &first); err != nil {
		return err
	}
	c.wish = f.wanted(cred, a, &first)
	c.wish.mode |= inherited
	if !f.opt.Owner.Fixed {
		c.wish.set |= vfs.SetUID
		if a.Type != vfs.TypeSymlink {
			c.wish.set |= vfs.SetMode
		}
	}
	return nil
}

// perm is the mode that a new file is made with. Its owner may always read and
// write it as far as the file system is concerned, since it is opened again.
func (c *creation) perm() os.FileMode { return os.FileMode(c.wish.mode&0o777 | 0o600) }

// Create implements vfs.Node.
func (n *node) Create(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	var made billy.File
	var b *body
	child, ch, err := n.create(cred, name, vfs.TypeRegular, set, func(c *creation) (err error) {
		flag := os.O_RDWR
		if !n.fs.can.both {
			flag = os.O_WRONLY
		}
		made, err = n.fs.under.OpenFile(c.path, flag|os.O_CREATE|os.O_EXCL, c.perm())
		return err
	}, func(r *index.Record) {
		b = n.fs.acquire(r.Ino)
		b.mu.Lock()
		b.size.Store(0)
		b.adopt(made, n.fs.can.both, true)
		b.mu.Unlock()
	})
	if err != nil {
		switch {
		case b != nil:
			n.fs.release(b) // what failed first is what counts
		case made != nil:
			made.Close()
		}
		return nil, nil, ch, err
	}
	return child, &file{node: child, body: b, cred: cred, how: how}, ch, nil
}

// Mkdir implements vfs.Node.
func (n *node) Mkdir(_ context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return made(n.create(cred, name, vfs.TypeDirectory, set, func(c *creation) error {
		perm := os.FileMode(c.wish.mode&0o777 | 0o700)
		if n.fs.can.mkdir != nil {
			return n.fs.can.mkdir.Mkdir(c.path, perm)
		}
		return n.fs.under.MkdirAll(c.path, perm)
	}, nil))
}

// made is what the methods return that make a node: no *node that is nil in a
// vfs.Node.
func made(child *node, ch vfs.DirChange, err error) (vfs.Node, vfs.DirChange, error) {
	if err != nil {
		return nil, ch, err
	}
	return child, ch, nil
}

// Symlink implements vfs.Node.
func (n *node) Symlink(_ context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	switch {
	case target == "":
		return nil, vfs.DirChange{}, vfs.ENOENT
	case len(target) > vfs.MaxSymlink:
		return nil, vfs.DirChange{}, vfs.ENAMETOOLONG
	}
	return made(n.create(cred, name, vfs.TypeSymlink, set, func(c *creation) error {
		return n.fs.under.Symlink(target, c.path)
	}, nil))
}

// cannot is why nothing of a kind that the file system does not have gets a name in
// the directory: where nothing may be changed, that comes first.
func (n *node) cannot() error {
	switch {
	case !n.fs.can.readOnly:
		return vfs.EOPNOTSUPP
	case n.typ != vfs.TypeDirectory:
		return vfs.ENOTDIR
	}
	return vfs.EROFS
}

// Mknod implements vfs.Mknoder. Devices are root's to make.
func (n *node) Mknod(_ context.Context, cred *vfs.Cred, name string, typ vfs.FileType, rdev vfs.Rdev, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	can := n.fs.can.node
	if can == nil {
		return nil, vfs.DirChange{}, n.cannot()
	}
	var mknod func(c *creation) error
	switch typ {
	case vfs.TypeBlock, vfs.TypeChar:
		if cred.UID != 0 {
			return nil, vfs.DirChange{}, vfs.EPERM
		}
		kind := uint32(syscall.S_IFBLK)
		if typ == vfs.TypeChar {
			kind = syscall.S_IFCHR
		}
		mknod = func(c *creation) error { return can.Mknod(c.path, c.wish.mode&0o777|kind, rdev.Major, rdev.Minor) }
	case vfs.TypeFIFO:
		mknod = func(c *creation) error { return can.Mkfifo(c.path, c.wish.mode&0o777) }
	case vfs.TypeSocket:
		mknod = func(c *creation) error { return can.Socket(c.path) }
	default:
		return nil, vfs.DirChange{}, vfs.EINVAL
	}
	return made(n.create(cred, name, typ, set, mknod, nil))
}

// Link implements vfs.Linker.
func (n *node) Link(_ context.Context, cred *vfs.Cred, newDir vfs.Node, newName string) (vfs.DirChange, error) {
	dst, ok := newDir.(*node)
	switch {
	case !ok || dst.fs != n.fs:
		return vfs.DirChange{}, vfs.EXDEV
	case n.fs.can.link == nil:
		return vfs.DirChange{}, dst.cannot()
	case n.typ == vfs.TypeDirectory:
		return vfs.DirChange{}, vfs.EPERM
	}
	ch, err := n.link(cred, dst, newName)
	if err == nil {
		err = n.fs.names.Commit()
	}
	return ch, err
}

func (n *node) link(cred *vfs.Cred, dst *node, newName string) (ch vfs.DirChange, err error) {
	f := n.fs
	f.tree.Lock()
	defer f.tree.Unlock()
	c, err := dst.vacant(cred, newName)
	if err != nil {
		return ch, err
	}
	p, err := n.place()
	if err != nil {
		return ch, err
	}
	if p.Removed { // open, but its last name is gone (link(2))
		return ch, vfs.ENOENT
	}
	if _, err := n.lstat(p); err != nil {
		return ch, err
	}
	if err := f.can.link.Link(p.path, c.path); err != nil {
		return ch, errnoOf(err)
	}
	err = f.names.Update(func(tx *index.Tx) error {
		r, err := tx.Node(n.ino)
		if err != nil {
			return err
		}
		e, err := tx.Name(r, index.Name{Dir: dst.ino, Name: newName})
		if err != nil {
			return err
		}
		f.changed(tx, r, false)
		f.lists.add(dst.ino, item{Entry: e, name: newName, typ: r.Type})
		ch, err = f.entriesChanged(tx, dst.ino)
		return err
	})
	return ch, err
}

var (
	_ vfs.Linker  = (*node)(nil)
	_ vfs.Mknoder = (*node)(nil)
)
