package p9

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/fsva/fsva/vfs"
)

// maxXattrList is the longest list of names (XATTR_LIST_MAX).
const maxXattrList = 64 << 10

// xattr is an extended attribute that a fid reads or writes: its value as it
// was at the Txattrwalk, or as it is to be at the Tclunk.
type xattr struct {
	name   string
	create bool // the fid comes from Txattrcreate
	flags  vfs.XattrFlags
	size   int // of the whole value

	mu    sync.Mutex // guards value where create is set; held while it is set
	value []byte
}

// takeXattrName takes a whole Linux name, with its namespace.
func (r *request) takeXattrName() (string, error) {
	name := string(r.in.bytes())
	switch {
	case len(name) > vfs.MaxName:
		return "", vfs.ERANGE // as setxattr(2)
	case strings.IndexByte(name, 0) >= 0:
		return "", vfs.EINVAL
	}
	return name, nil
}

func (r *request) xattrs(f *fid) (vfs.Xattrer, error) {
	x, ok := f.node.(vfs.Xattrer)
	if !ok || !r.exp.FS.Caps().Xattrs {
		return nil, vfs.EOPNOTSUPP
	}
	return x, nil
}

// xattrwalk answers Txattrwalk: fid[4] newfid[4] name[s]. newfid reads the
// value, or the names, with a NUL behind each, if name is empty.
func (r *request) xattrwalk() error {
	num, newNum := r.in.uint32(), r.in.uint32()
	name, nameErr := r.takeXattrName()
	f, err := r.fid(num)
	switch {
	case err != nil:
		return err
	case nameErr != nil:
		return nameErr
	case f.xattr != nil:
		return vfs.EINVAL
	}
	x, err := r.xattrs(f)
	if err != nil {
		return err
	}
	r.mayBlock()
	var value []byte
	if name == "" {
		value, err = listXattr(r, x, f)
	} else {
		value, err = x.GetXattr(r.ctx, r.cred(f), name)
	}
	if err != nil {
		return err
	}
	to := f.with(f.node, nil, "")
	to.xattr = &xattr{name: name, size: len(value), value: value}
	if err := r.addXattr(to.xattr, func() error { return r.s.add(newNum, to) }); err != nil {
		return err
	}
	r.out.uint64(uint64(len(value)))
	return nil
}

func listXattr(r *request, x vfs.Xattrer, f *fid) ([]byte, error) {
	names, err := x.ListXattr(r.ctx, r.cred(f))
	if err != nil {
		return nil, err
	}
	var list []byte
	for _, name := range names {
		list = append(append(list, name...), 0)
	}
	if len(list) > maxXattrList {
		return nil, vfs.E2BIG
	}
	return list, nil
}

// addXattr counts the bytes of an attribute and has add make it a fid's.
func (r *request) addXattr(x *xattr, add func() error) error {
	if err := r.s.takeXattrBytes(x.size); err != nil {
		return err
	}
	err := add()
	if err != nil {
		r.s.giveXattrBytes(x.size)
	}
	return err
}

// xattrcreate answers Txattrcreate: fid[4] name[s] attr_size[8] flags[4]. The
// fid writes the value from now on, which is set when it is clunked. A size of
// 0 and XATTR_REPLACE is how the Linux client removes an attribute.
func (r *request) xattrcreate() error {
	num := r.in.uint32()
	name, nameErr := r.takeXattrName()
	size, flags := r.in.uint64(), vfs.XattrFlags(r.in.uint32())
	f, err := r.fidToChange(num)
	switch {
	case err != nil:
		return err
	case nameErr != nil:
		return nameErr
	case name == "", !f.plain(), flags&^(vfs.XattrCreate|vfs.XattrReplace) != 0:
		return vfs.EINVAL
	case size > vfs.MaxXattr:
		return vfs.E2BIG
	}
	if _, err := r.xattrs(f); err != nil {
		return err
	}
	to := f.with(f.node, nil, "")
	to.xattr = &xattr{name: name, create: true, flags: flags, size: int(size)}
	return r.addXattr(to.xattr, func() error { return r.s.replace(num, f, to) })
}

// readXattr is Tread of an attribute.
func (r *request) readXattr(x *xattr, offset uint64, n int) error {
	if x.create {
		return vfs.EINVAL
	}
	offset = min(offset, uint64(len(x.value)))
	part := x.value[offset:min(offset+uint64(n), uint64(len(x.value)))]
	r.out.uint32(uint32(len(part)))
	r.out.buf = append(r.out.buf, part...)
	return nil
}

// writeXattr is Twrite of an attribute: one piece behind the other.
func (r *request) writeXattr(x *xattr, offset uint64, data []byte) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case !x.create, offset != uint64(len(x.value)):
		return vfs.EINVAL
	case len(data) > x.size-len(x.value):
		return vfs.ENOSPC
	}
	x.value = slices.Grow(x.value, x.size-len(x.value))
	x.value = append(x.value, data...)
	r.out.uint32(uint32(len(data)))
	return nil
}

// commitXattr sets the attribute that a fid of Txattrcreate wrote.
func (r *request) commitXattr(f *fid) error {
	x := f.xattr
	if x == nil || !x.create {
		return nil
	}
	r.exp = r.s.srv.cfg.Exports.ByID(f.exp.ID)
	switch {
	case r.exp == nil, r.exp.FS != f.exp.FS, !r.use(r.exp):
		return vfs.ESTALE
	case !r.exp.Admits(r.s.addr):
		return vfs.EACCES
	case r.exp.ReadOnly:
		return vfs.EROFS
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.value) != x.size {
		return vfs.EINVAL
	}
	node, err := r.xattrs(f)
	if err != nil {
		return err
	}
	r.mayBlock()
	if x.size == 0 && x.flags == vfs.XattrReplace {
		return node.RemoveXattr(r.ctx, r.cred(f), x.name)
	}
	err = node.SetXattr(r.ctx, r.cred(f), x.name, x.value, x.flags)
	if errors.Is(err, vfs.ERANGE) {
		return vfs.E2BIG
	}
	return err
}
