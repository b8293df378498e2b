package p9

import (
	"bytes"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// dirToChange returns the fid of a directory in which something is to change.
func (r *request) dirToChange(num uint32, nameErr error) (*fid, error) {
	f, err := r.fidToChange(num)
	switch {
	case err != nil:
		return nil, err
	case nameErr != nil:
		return nil, nameErr
	case f.xattr != nil:
		return nil, vfs.EINVAL
	}
	r.mayBlockOnMetadata()
	return f, nil
}

// made encodes the qid of a new node.
func (r *request) made(n vfs.Node, err error) error {
	if err != nil {
		return err
	}
	q, err := r.qid(n)
	r.out.qid(q)
	return err
}

// mkdir answers Tmkdir: dfid[4] name[s] mode[4] gid[4].
func (r *request) mkdir() error {
	num := r.in.uint32()
	name, nameErr := r.in.name()
	mode, gid := r.in.uint32(), r.in.uint32()
	d, err := r.dirToChange(num, nameErr)
	if err != nil {
		return err
	}
	n, _, err := d.node.Mkdir(r.ctx, r.credInGroup(d, gid), name, &vfs.SetAttr{Set: vfs.SetMode, Mode: mode & 0o7777})
	return r.made(n, err)
}

// symlink answers Tsymlink: dfid[4] name[s] symtgt[s] gid[4].
func (r *request) symlink() error {
	num := r.in.uint32()
	name, nameErr := r.in.name()
	target, gid := string(r.in.bytes()), r.in.uint32()
	d, err := r.dirToChange(num, nameErr)
	switch {
	case err != nil:
		return err
	case target == "":
		return vfs.ENOENT // as symlink(2)
	case len(target) > vfs.MaxSymlink:
		return vfs.ENAMETOOLONG
	case strings.IndexByte(target, 0) >= 0:
		return vfs.EINVAL
	}
	n, _, err := d.node.Symlink(r.ctx, r.credInGroup(d, gid), name, target, nil)
	return r.made(n, err)
}

// readlink answers Treadlink: fid[4].
func (r *request) readlink() error {
	f, err := r.fid(r.in.uint32())
	if err != nil {
		return err
	}
	r.mayBlockOnMetadata()
	target, err := f.node.ReadLink(r.ctx, r.cred(f))
	if err != nil {
		return err
	}
	r.out.string(target)
	return nil
}

// mknod answers Tmknod: dfid[4] name[s] mode[4] major[4] minor[4] gid[4].
func (r *request) mknod() error {
	num := r.in.uint32()
	name, nameErr := r.in.name()
	mode := r.in.uint32()
	rdev, gid := vfs.Rdev{Major: r.in.uint32(), Minor: r.in.uint32()}, r.in.uint32()
	d, err := r.dirToChange(num, nameErr)
	if err != nil {
		return err
	}
	set, cred := &vfs.SetAttr{Set: vfs.SetMode, Mode: mode & 0o7777}, r.credInGroup(d, gid)
	switch typ := typeOf(mode); typ {
	case vfs.TypeRegular:
		n, f, _, err := d.node.Create(r.ctx, cred, name, set, vfs.OpenWrite)
		return r.made(n, closing(f, err))
	case vfs.TypeBlock, vfs.TypeChar, vfs.TypeFIFO, vfs.TypeSocket:
		m, ok := d.node.(vfs.Mknoder)
		if !ok || !r.exp.FS.Caps().SpecialFiles {
			return vfs.EPERM // as mknod(2) of file systems without
		}
		n, _, err := m.Mknod(r.ctx, cred, name, typ, rdev, set)
		return r.made(n, err)
	}
	return vfs.EINVAL
}

// typeOf is the type in a mode; none means a regular file (mknod(2)).
func typeOf(mode uint32) vfs.FileType {
	if mode&modeFmt == 0 {
		return vfs.TypeRegular
	}
	for t, bits := range modeTypes {
		if bits == mode&modeFmt {
			return vfs.FileType(t)
		}
	}
	return vfs.TypeUnknown
}

// link answers Tlink: dfid[4] fid[4] name[s].
func (r *request) link() error {
	dnum, num := r.in.uint32(), r.in.uint32()
	name, nameErr := r.in.name()
	d, err := r.dirToChange(dnum, nameErr)
	if err != nil {
		return err
	}
	f, err := r.fid(num)
	switch {
	case err != nil:
		return err
	case f.exp.ID != d.exp.ID:
		return vfs.EXDEV
	}
	l, ok := f.node.(vfs.Linker)
	if !ok || !r.exp.FS.Caps().HardLinks {
		return vfs.EPERM // as link(2) of file systems without
	}
	_, err = l.Link(r.ctx, r.cred(d), d.node, name)
	return err
}

// renameat answers Trenameat: olddirfid[4] oldname[s] newdirfid[4] newname[s].
func (r *request) renameat() error {
	oldNum := r.in.uint32()
	oldName, oldErr := r.in.name()
	newNum := r.in.uint32()
	newName, newErr := r.in.name()
	from, err := r.dirToChange(oldNum, oldErr)
	if err != nil {
		return err
	}
	to, err := r.dirToChange(newNum, newErr)
	if err != nil {
		return err
	}
	return r.move(from, from.node, oldName, to, newName)
}

// move renames on behalf of the caller of f.
func (r *request) move(f *fid, oldDir vfs.Node, oldName string, to *fid, newName string) error {
	if f.exp.ID != to.exp.ID {
		return vfs.EXDEV
	}
	_, _, err := oldDir.Rename(r.ctx, r.cred(f), oldName, to.node, newName, 0)
	return err
}

// rename answers Trename: fid[4] dfid[4] name[s]. The fid goes on standing for
// the file, under its new name.
func (r *request) rename() error {
	num, dnum := r.in.uint32(), r.in.uint32()
	name, nameErr := r.in.name()
	f, err := r.dirToChange(num, nameErr)
	if err != nil {
		return err
	}
	to, err := r.dirToChange(dnum, nil)
	if err != nil {
		return err
	}
	if err := r.findAgain(f); err != nil {
		return err
	}
	if err := r.move(f, f.dir, f.name, to, name); err != nil {
		return err
	}
	if f.plain() { // an open one keeps its old name: it is not needed any more
		return r.s.replace(num, f, f.with(f.node, to.node, name))
	}
	return nil
}

// findAgain checks that a fid's file still has the name by which it was found.
func (r *request) findAgain(f *fid) error {
	if f.dir == nil {
		return vfs.EBUSY // the root, or found as ".."
	}
	n, err := f.dir.Lookup(r.ctx, r.cred(f), f.name)
	switch {
	case err != nil:
		return err
	case !bytes.Equal(n.Handle(), f.node.Handle()):
		return vfs.ESTALE
	}
	return nil
}

// unlinkat answers Tunlinkat: dirfd[4] name[s] flags[4].
func (r *request) unlinkat() error {
	num := r.in.uint32()
	name, nameErr := r.in.name()
	flags := r.in.uint32()
	d, err := r.dirToChange(num, nameErr)
	switch {
	case err != nil:
		return err
	case flags&^atRemoveDir != 0:
		return vfs.EINVAL
	}
	_, err = d.node.Remove(r.ctx, r.cred(d), name, flags&atRemoveDir != 0)
	return err
}

// remove answers Tremove: fid[4]. The fid is clunked also where that fails
// (remove(5)).
func (r *request) remove() error {
	num := r.in.uint32()
	if r.in.bad {
		return errMalformed
	}
	f, err := r.s.get(num)
	if err != nil {
		return err
	}
	defer r.s.put(f)
	defer r.s.remove(num, f)
	if _, err := r.dirToChange(num, nil); err != nil {
		return err
	}
	if err := r.findAgain(f); err != nil {
		return err
	}
	a, err := f.node.GetAttr(r.ctx, vfs.AttrType)
	if err != nil {
		return err
	}
	_, err = f.dir.Remove(r.ctx, r.cred(f), f.name, a.Type == vfs.TypeDirectory)
	return err
}
