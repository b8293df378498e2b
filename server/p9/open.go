package p9

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// lopen answers Tlopen: fid[4] flags[4]. Flags that say how to make a file,
// or concern the guest alone, do not matter.
func (r *request) lopen() error {
	num, flags := r.in.uint32(), r.in.uint32()
	f, err := r.fid(num)
	switch {
	case err != nil:
		return err
	case !f.plain():
		return vfs.EINVAL
	}
	r.mayBlockOnMetadata()
	a, err := f.node.GetAttr(r.ctx, qidAttrs)
	if err != nil {
		return err
	}
	opened := f.with(f.node, f.dir, f.name)
	if a.Type == vfs.TypeDirectory {
		err = r.openDir(opened, flags)
	} else {
		err = r.openFile(opened, flags, nil)
	}
	if err != nil {
		return err
	}
	if flags&oTrunc != 0 { // which changed it
		if a, err = f.node.GetAttr(r.ctx, qidAttrs); err != nil {
			r.s.release(opened)
			return err
		}
	}
	return r.opened(num, f, opened, qidOf(&a))
}

// opened puts a fid that was opened in the place of the one that was not, and
// encodes qid[13] iounit[4]. No iounit: the client takes what fits.
func (r *request) opened(num uint32, f, opened *fid, q qid) error {
	if err := r.s.replace(num, f, opened); err != nil {
		r.s.release(opened)
		return err
	}
	r.out.qid(q)
	r.out.uint32(0)
	return nil
}

func (r *request) openDir(f *fid, flags uint32) error {
	if flags&oAccMode != 0 || flags&oTrunc != 0 {
		return vfs.EISDIR
	}
	got, err := f.node.Access(r.ctx, r.cred(f), vfs.AccessRead)
	if err != nil {
		return err
	}
	if got == 0 {
		return vfs.EACCES
	}
	f.dirOn = true
	return nil
}

// openFile opens the file of a fid that nobody else knows yet. file, if not
// nil, is what its creation opened, and is closed on an error.
func (r *request) openFile(f *fid, flags uint32, file vfs.File) (err error) {
	how, share, err := accessOf(flags)
	if err == nil && flags&oDirectory != 0 && file == nil {
		err = vfs.ENOTDIR
	}
	if err == nil && file == nil && r.exp.ReadOnly && how&vfs.OpenWrite != 0 {
		err = vfs.EROFS
	}
	o := &openFile{File: file, how: how, append: appends(flags), stable: stabilityOf(flags)}
	if err == nil && file == nil {
		o.File, err = r.openNode(f, how)
	}
	if err != nil {
		return closing(file, err)
	}
	if !f.exp.Acquire() {
		return closing(o.File, vfs.ESTALE)
	}
	o.key, o.share = lockKey(f.exp.ID, f.node), r.s.newShare()
	if err := r.setShare(o, share); err != nil {
		f.exp.Release()
		return closing(o.File, err)
	}
	f.open = o
	if flags&oTrunc != 0 && file == nil {
		err = r.truncate(f)
	}
	if err != nil {
		r.s.release(f)
	}
	return err
}

// truncate is what O_TRUNC does. One may have it without O_WRONLY, if one may
// write to the file.
func (r *request) truncate(f *fid) error {
	if r.exp.ReadOnly {
		return vfs.EROFS
	}
	set := vfs.SetAttr{Set: vfs.SetSize}
	if err := r.mayTruncate(f, &set); err != nil {
		return err
	}
	if err := f.node.SetAttr(r.ctx, r.cred(f), &set); err != nil {
		return err
	}
	return r.makeDurable(f)
}

// closing closes a file because of err, which it returns.
func closing(f vfs.File, err error) error {
	if f != nil {
		f.Close()
	}
	return err
}

// openNode opens a file as the caller. Who may execute a file may read it:
// the guest has to, in order to run it.
func (r *request) openNode(f *fid, how vfs.OpenFlags) (vfs.File, error) {
	cred := r.cred(f)
	file, err := f.node.Open(r.ctx, cred, how)
	if how == vfs.OpenRead && errors.Is(err, vfs.EACCES) {
		if got, aerr := f.node.Access(r.ctx, cred, vfs.AccessExecute); aerr == nil && got != 0 {
			return f.node.Open(r.ctx, cred, how|vfs.OpenReclaim)
		}
	}
	return file, err
}

// accessOf says what a file is opened for.
func accessOf(flags uint32) (how vfs.OpenFlags, share lock.Share, err error) {
	switch flags & oAccMode {
	case oWrOnly:
		how, share = vfs.OpenWrite, lock.ShareWrite
	case oRdWr:
		how, share = vfs.OpenRead|vfs.OpenWrite, lock.ShareRead|lock.ShareWrite
	case oAccMode:
		return 0, 0, vfs.EINVAL
	default:
		how, share = vfs.OpenRead, lock.ShareRead
	}
	return how, share, nil
}

// appends says whether writes go where the file ends, wherever the client thinks
// that is. A client with a write-back cache opens for reading too, so that it can
// fill its pages, and until Linux commit a63dd8fd1379 it sends O_APPEND along; then
// it writes whole pages, with what it has written before. Their place is where it
// says.
func appends(flags uint32) bool { return flags&oAppend != 0 && flags&oAccMode == oWrOnly }

// stabilityOf says how durable O_DSYNC and O_SYNC make every write. O_SYNC has
// the bit of O_DSYNC, too.
func stabilityOf(flags uint32) vfs.Stability {
	switch {
	case flags&oSync != 0:
		return vfs.FileSync
	case flags&oDsync != 0:
		return vfs.DataSync
	}
	return vfs.Unstable
}

// newShare names an open for package lock.
func (s *session) newShare() lock.Owner {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.opens++
	return lock.Owner{Client: s, Name: "o" + strconv.FormatUint(s.opens, 10)}
}

// leasePoll is how often an open looks whether a lease that was in its way has
// been given back.
const leasePoll = 10 * time.Millisecond

// setShare has package lock know the open, so that NFS clients which deny
// others a file and those who have it open meet. It waits for leases to be
// given back.
func (r *request) setShare(o *openFile, share lock.Share) error {
	return r.afterLeases(func(ctx context.Context) error {
		return r.s.srv.cfg.Locks.SetShare(ctx, o.key, o.share, share, 0)
	})
}

// afterLeases tries until no lease is in the way.
func (r *request) afterLeases(try func(context.Context) error) error {
	err := try(r.ctx)
	if !errors.Is(err, lock.ErrLeaseBreaking) {
		return err
	}
	r.mayBlock()
	tick := time.NewTicker(leasePoll)
	defer tick.Stop()
	for errors.Is(err, lock.ErrLeaseBreaking) {
		select {
		case <-r.ctx.Done():
			return r.ctx.Err()
		case <-tick.C:
			err = try(r.ctx)
		}
	}
	return err
}

// createTries bounds how often a name that comes and goes meanwhile is tried.
const createTries = 8

// lcreate answers Tlcreate: fid[4] name[s] flags[4] mode[4] gid[4]. The fid of
// the directory becomes that of the file.
func (r *request) lcreate() error {
	num := r.in.uint32()
	name, nameErr := r.in.name()
	flags, mode, gid := r.in.uint32(), r.in.uint32(), r.in.uint32()
	f, err := r.fid(num)
	switch {
	case err != nil:
		return err
	case nameErr != nil:
		return nameErr
	case !f.plain():
		return vfs.EINVAL
	}
	r.mayBlockOnMetadata()
	how, _, err := accessOf(flags)
	if err != nil {
		return err
	}
	set := &vfs.SetAttr{Set: vfs.SetMode, Mode: mode & 0o7777}
	for range createTries {
		var node vfs.Node
		var file vfs.File
		err = vfs.EEXIST
		if !r.exp.ReadOnly {
			node, file, _, err = f.node.Create(r.ctx, r.credInGroup(f, gid), name, set, how)
		}
		if errors.Is(err, vfs.EEXIST) && flags&oExcl == 0 {
			node, err = f.node.Lookup(r.ctx, r.cred(f), name)
			if errors.Is(err, vfs.ENOENT) {
				if r.exp.ReadOnly {
					return vfs.EROFS
				}
				continue // removed in between
			}
		}
		if err != nil {
			return err
		}
		return r.createdOrFound(num, f, f.with(node, f.node, name), flags, file)
	}
	return err
}

// createdOrFound opens the fid of a new file, or of one that was there, for
// which file is nil.
func (r *request) createdOrFound(num uint32, dir, f *fid, flags uint32, file vfs.File) error {
	if err := r.openFile(f, flags, file); err != nil {
		return err
	}
	q, err := r.qid(f.node)
	if err != nil {
		r.s.release(f)
		return err
	}
	return r.opened(num, dir, f, q)
}
