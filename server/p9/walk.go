package p9

import (
	"errors"

	"github.com/fsva/fsva/vfs"
)

// walk answers Twalk: fid[4] newfid[4] nwname[2] nwname*(wname[s]). Where a
// name after the first is not found, the reply has the qids of those before
// it, and newfid stays as it was (walk(5)).
//
// A fid that is open can be walked from: the Linux client does so.
func (r *request) walk() error {
	num, newNum, n := r.in.uint32(), r.in.uint32(), int(r.in.uint16())
	f, err := r.fid(num)
	switch {
	case err != nil:
		return err
	case n > maxWalk:
		return vfs.EINVAL
	case f.xattr != nil, num == newNum && !f.plain():
		return vfs.EINVAL
	}
	r.mayBlockOnMetadata()
	at := r.out.buf
	r.out.uint16(0)
	to := f.with(f.node, f.dir, f.name)
	var walked int
	for walked < n {
		q, err := r.step(to, r.in.bytes())
		if err != nil && walked == 0 || r.in.bad {
			return err
		}
		if err != nil {
			break
		}
		r.out.qid(q)
		walked++
	}
	r.out.buf[len(at)] = byte(walked)
	if walked < n {
		return nil
	}
	if num == newNum {
		return r.s.replace(num, f, to)
	}
	return r.s.add(newNum, to)
}

// step moves a fid that nobody else knows yet by one name.
func (r *request) step(f *fid, name []byte) (qid, error) {
	if r.in.bad {
		return qid{}, errMalformed
	}
	if string(name) == ".." {
		parent, err := f.node.Parent(r.ctx, r.cred(f))
		if errors.Is(err, vfs.ENOENT) { // the root of the export: it is its own
			parent, err = f.node, nil
		}
		if err != nil {
			return qid{}, err
		}
		f.node, f.dir, f.name = parent, nil, ""
		return r.qid(parent)
	}
	s := string(name)
	if err := vfs.CheckName(s); err != nil {
		return qid{}, err
	}
	child, err := f.node.Lookup(r.ctx, r.cred(f), s)
	if err != nil {
		return qid{}, err
	}
	f.node, f.dir, f.name = child, f.node, s
	return r.qid(child)
}
