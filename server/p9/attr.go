package p9

import (
	"context"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// File types in the mode of Rgetattr and Tmknod (inode(7)).
const (
	modeFmt     = 0o170000
	modeRegular = 0o100000
)

var modeTypes = [...]uint32{
	vfs.TypeRegular: modeRegular, vfs.TypeDirectory: 0o040000, vfs.TypeSymlink: 0o120000,
	vfs.TypeBlock: 0o060000, vfs.TypeChar: 0o020000, vfs.TypeFIFO: 0o010000, vfs.TypeSocket: 0o140000,
}

// blockSize is what Rgetattr says a good size of reads is; the client makes
// its own of it.
const blockSize = 4096

// getattr answers Tgetattr: fid[4] request_mask[8]. What stat(2) tells comes
// whether it was asked for or not.
func (r *request) getattr() error {
	num, mask := r.in.uint32(), getattrMask(r.in.uint64())
	f, err := r.fid(num)
	if err != nil {
		return err
	}
	r.mayBlockOnMetadata()
	want := vfs.AttrStat | vfs.AttrChange
	if mask&getattrBtime != 0 {
		want |= vfs.AttrBirth
	}
	a, err := f.node.GetAttr(r.ctx, want)
	if err != nil {
		return err
	}
	valid := getattrBasic
	if a.Valid&vfs.AttrBirth != 0 {
		valid |= mask & getattrBtime
	}
	valid |= mask & getattrDataVersion
	e := &r.out
	e.uint64(uint64(valid))
	e.qid(qidOf(&a))
	e.uint32(modeTypes[a.Type] | a.Mode)
	e.uint32(a.UID)
	e.uint32(a.GID)
	e.uint64(uint64(a.Nlink))
	e.uint64(encodeRdev(a.Rdev))
	e.uint64(a.Size)
	e.uint64(blockSize)
	e.uint64((a.Used + 511) / 512)
	e.time(a.Atime)
	e.time(a.Mtime)
	e.time(a.Ctime)
	e.time(a.Btime)
	e.uint64(0) // generation
	e.uint64(a.Change)
	return nil
}

// encodeRdev is new_encode_dev of Linux.
func encodeRdev(d vfs.Rdev) uint64 {
	return uint64(d.Minor&0xff | d.Major<<8 | d.Minor&^0xff<<12)
}

// setattr answers Tsetattr: fid[4] valid[4] mode[4] uid[4] gid[4] size[8]
// atime_sec[8] atime_nsec[8] mtime_sec[8] mtime_nsec[8].
func (r *request) setattr() error {
	num, valid := r.in.uint32(), r.in.uint32()
	set := vfs.SetAttr{Mode: r.in.uint32() & 0o7777, UID: r.in.uint32(), GID: r.in.uint32(), Size: r.in.uint64()}
	atime, okA := r.timespec()
	mtime, okM := r.timespec()
	f, err := r.fidToChange(num)
	switch {
	case err != nil:
		return err
	case f.xattr != nil, valid&^setattrKnown != 0, valid&setattrSize != 0 && set.Size > 1<<63-1,
		valid&setattrAtimeSet != 0 && !okA, valid&setattrMtimeSet != 0 && !okM:
		return vfs.EINVAL
	}
	set.Atime, set.Mtime = atime, mtime
	for _, bit := range []struct {
		when uint32
		set  vfs.SetMask
	}{
		{setattrMode, vfs.SetMode}, {setattrUID, vfs.SetUID}, {setattrGID, vfs.SetGID}, {setattrSize, vfs.SetSize},
		{setattrAtime | setattrAtimeSet, vfs.SetAtime}, {setattrMtime | setattrMtimeSet, vfs.SetMtime},
	} {
		if valid&bit.when == bit.when {
			set.Set |= bit.set
		}
	}
	if valid&setattrAtime != 0 && valid&setattrAtimeSet == 0 {
		set.Set |= vfs.SetAtimeNow
	}
	if valid&setattrMtime != 0 && valid&setattrMtimeSet == 0 {
		set.Set |= vfs.SetMtimeNow
	}
	r.mayBlock()
	if set.Has(vfs.SetSize) {
		if err := r.mayTruncate(f, &set); err != nil {
			return err
		}
	}
	if set.Set == 0 {
		return nil
	}
	if err := f.node.SetAttr(r.ctx, r.cred(f), &set); err != nil || !set.Has(vfs.SetSize) {
		return err
	}
	return r.makeDurable(f)
}

// makeDurable is called when the size of a fid's file has been changed. Where
// the export has every change be durable, it is when this returns. Changes of
// names and attributes are up to the file system, which knows of the option, too.
func (r *request) makeDurable(f *fid) error {
	if !r.exp.Sync {
		return nil
	}
	r.mayBlock()
	if f.open != nil {
		return f.open.Sync(r.ctx, false)
	}
	file, err := f.node.Open(r.ctx, vfs.Root, vfs.OpenWrite|vfs.OpenReclaim)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync(r.ctx, false)
}

// timespec takes sec[8] nsec[8].
func (r *request) timespec() (t vfs.Timespec, ok bool) {
	sec, nsec := r.in.uint64(), r.in.uint64()
	return vfs.Timespec{Sec: int64(sec), Nsec: uint32(nsec)}, nsec < 1e9
}

// mayTruncate has a change of the size go through the fid's open file, if it
// has one for writing. Others meet the opens of NFS clients that deny writing.
func (r *request) mayTruncate(f *fid, set *vfs.SetAttr) error {
	if f.open != nil && f.open.how&vfs.OpenWrite != 0 {
		set.Via = f.open.File
		return nil
	}
	key := lockKey(f.exp.ID, f.node)
	return r.afterLeases(func(context.Context) error {
		return r.s.srv.cfg.Locks.CheckAccess(key, lock.Owner{}, lock.ShareWrite)
	})
}

// statfs answers Tstatfs: fid[4].
func (r *request) statfs() error {
	f, err := r.fid(r.in.uint32())
	if err != nil {
		return err
	}
	r.mayBlockOnMetadata()
	st, err := r.exp.FS.StatFS(r.ctx)
	if err != nil {
		return err
	}
	bs := uint64(max(st.BlockSize, 512))
	e := &r.out
	e.uint32(v9fsMagic)
	e.uint32(uint32(bs))
	e.uint64(st.TotalBytes / bs)
	e.uint64(st.FreeBytes / bs)
	e.uint64(st.AvailBytes / bs)
	e.uint64(st.TotalFiles)
	e.uint64(st.FreeFiles)
	e.uint64(uint64(f.exp.ID))
	e.uint32(st.MaxName)
	return nil
}
