package billy

import (
	"context"
	"encoding/binary"
	"errors"
	"os"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// node is a node. It holds nothing but who it is.
type node struct {
	fs     *FS
	ino    uint64
	typ    vfs.FileType
	handle [handleLen]byte
}

func (f *FS) node(r *index.Record) *node {
	n := &node{fs: f, ino: r.Ino, typ: r.Type}
	binary.BigEndian.PutUint64(n.handle[:], r.Ino)
	binary.BigEndian.PutUint64(n.handle[8:], r.Tag)
	return n
}

// Handle implements vfs.Node.
func (n *node) Handle() []byte { return n.handle[:] }

// place is where a node is, as long as the tree is locked.
type place struct {
	*index.Record
	path string
}

// place finds the node. ESTALE if it is gone. The tree is locked.
func (n *node) place() (p place, err error) {
	err = n.fs.names.View(func(tx *index.Tx) (err error) {
		if p.Record, err = tx.Node(n.ino); err != nil {
			return err
		}
		p.path, err = n.fs.path(tx, p.Record)
		return err
	})
	return p, err
}

// directory is place for a directory.
func (n *node) directory() (place, error) {
	if n.typ != vfs.TypeDirectory {
		return place{}, vfs.ENOTDIR
	}
	return n.place()
}

// lstat looks at the node. What the file system no longer has is forgotten,
// and ESTALE. The tree is locked.
func (n *node) lstat(p place) (os.FileInfo, error) {
	fi, err := n.fs.lstat(p.path)
	if errors.Is(err, os.ErrNotExist) || err == nil && vfs.TypeOf(fi.Mode()) != p.Type {
		if err := n.fs.forget(p.Ino); err != nil {
			return nil, err
		}
		return nil, vfs.ESTALE
	}
	return fi, errnoOf(err)
}

// forget takes away what is known of a node that the file system has no more.
func (f *FS) forget(ino uint64) error {
	f.files.forget(ino)
	return f.names.Update(func(tx *index.Tx) error {
		r, err := tx.Node(ino)
		if errors.Is(err, index.ErrUnknown) || ino == index.Root {
			return nil
		}
		if err != nil {
			return err
		}
		return tx.Forget(r)
	})
}

// GetAttr implements vfs.Node.
func (n *node) GetAttr(_ context.Context, _ vfs.AttrMask) (vfs.Attr, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return vfs.Attr{}, err
	}
	fi, err := n.lstat(p)
	if err != nil {
		return vfs.Attr{}, err
	}
	return n.fs.attr(p.Record, fi)
}

// attr is the attributes of a node of which fi was told after r was read.
func (f *FS) attr(r *index.Record, fi os.FileInfo) (vfs.Attr, error) {
	has := native(fi)
	r, err := f.observe(r, &has)
	if err != nil {
		return vfs.Attr{}, err
	}
	a := vfs.Attr{
		Valid: vfs.AttrStat | vfs.AttrChange, Type: r.Type, FileID: r.Ino, Size: has.Size, Used: has.Used, Nlink: has.Nlink,
		Rdev: has.Rdev, Change: max(r.Change, f.names.Floor()),
	}
	if size, ok := f.files.size(r.Ino); ok { // written, and the file system may not tell before Close
		a.Size = size
	}
	if has.Valid&vfs.AttrSpace == 0 {
		a.Used = (a.Size + 511) &^ 511
	}
	f.ownership(&a, r, &has)
	times(&a, r, &has)
	switch {
	case r.Removed && a.Nlink > 0:
		a.Nlink-- // its name in the graveyard is none
	case r.Removed:
	case has.Valid&vfs.AttrNlink == 0:
		a.Nlink = uint32(max(len(r.Names), 1))
	}
	return a, nil
}

// ownership fills in mode and owner.
func (f *FS) ownership(a *vfs.Attr, r *index.Record, has *vfs.Attr) {
	own := &f.opt.Owner
	a.Mode = has.Mode &^ own.Mask
	a.UID, a.GID = own.UID, own.GID
	switch {
	case own.Fixed:
	default:
		if has.Valid&vfs.AttrOwner != 0 {
			a.UID, a.GID = has.UID, has.GID
		}
		if r.Kept&vfs.AttrOwner != 0 {
			a.UID, a.GID = r.UID, r.GID
		}
		if r.Kept&vfs.AttrMode != 0 {
			a.Mode = r.Mode
		}
	}
	if r.Type == vfs.TypeSymlink {
		a.Mode = 0o777 // symlink(7)
	}
}

// times fills in the times: what was set and the file system did not take
// counts until the file system's own goes on from there.
func times(a *vfs.Attr, r *index.Record, has *vfs.Attr) {
	a.Mtime = has.Mtime
	if r.Kept&index.KeptMtime != 0 && !after(has.Mtime, r.MtimeBase) {
		a.Mtime = r.Mtime
	}
	a.Atime, a.Ctime = a.Mtime, a.Mtime
	if has.Valid&vfs.AttrTimes != 0 {
		a.Atime, a.Ctime = has.Atime, has.Ctime
	}
	if r.Kept&index.KeptAtime != 0 {
		a.Atime = r.Atime
	}
	if after(r.Ctime, a.Ctime) || has.Valid&vfs.AttrTimes == 0 && r.Ctime != (vfs.Timespec{}) {
		a.Ctime = r.Ctime
	}
	switch {
	case has.Valid&vfs.AttrBirth != 0:
		a.Btime = has.Btime
		a.Valid |= vfs.AttrBirth
	case r.Btime != (vfs.Timespec{}):
		a.Btime = r.Btime
		a.Valid |= vfs.AttrBirth
	}
}

func after(a, b vfs.Timespec) bool { return a.Sec > b.Sec || a.Sec == b.Sec && a.Nsec > b.Nsec }

// observe compares what the file system shows with what it showed when the
// change attribute was last told, and moves that on if something else than
// this adapter has changed the node.
func (f *FS) observe(r *index.Record, has *vfs.Attr) (*index.Record, error) {
	state := stateOf(has)
	if r.State == state {
		return r, nil
	}
	err := f.names.Update(func(tx *index.Tx) error {
		now, err := tx.Node(r.Ino)
		if err != nil {
			return err
		}
		if now.Change != r.Change || now.State != r.State { // what was seen is of before that
			r = now
			return nil
		}
		if now.State != 0 {
			now.Change = tx.NextChange()
			now.Ctime = vfs.TimespecOf(f.opt.Clock())
		}
		now.State = state
		tx.Put(now)
		r = now
		return nil
	})
	return r, err
}

// stateOf sums up what shows that a node's data has changed; never 0.
func stateOf(has *vfs.Attr) uint64 {
	if has.Valid&vfs.AttrChange != 0 {
		return max(has.Change, 1)
	}
	const prime = 0x100000001b3 // FNV-1a's, over words
	h := uint64(0xcbf29ce484222325)
	for _, v := range []uint64{uint64(has.Mtime.Sec), uint64(has.Mtime.Nsec), has.Size} {
		h = (h ^ v) * prime
	}
	return max(h, 1)
}

// changed notes in a record that the node was changed from here.
func (f *FS) changed(tx *index.Tx, r *index.Record, data bool) {
	r.Change, r.State = tx.NextChange(), 0
	r.Ctime = vfs.TimespecOf(f.opt.Clock())
	if data {
		r.Kept |= index.KeptMtime
		r.Mtime, r.MtimeBase = r.Ctime, r.Ctime
	}
	tx.Put(r)
}

// touch is changed by itself. Nobody waits for it to be durable: after a crash
// the file system's own times and Floor tell that something has changed.
func (f *FS) touch(ino uint64, data bool) error {
	err := f.names.Update(func(tx *index.Tx) error {
		r, err := tx.Node(ino)
		if err == nil {
			f.changed(tx, r, data)
		}
		return err
	})
	if err == nil && f.names.Full() {
		err = f.names.Commit()
	}
	return err
}

const (
	mayExec  = 1
	mayWrite = 2
	mayRead  = 4
)

// modes is the attributes that permission goes by. The file system is asked
// only where the index does not know. The tree is locked.
func (n *node) modes(p place) (vfs.Attr, error) {
	a := vfs.Attr{Type: p.Type}
	const all = vfs.AttrMode | vfs.AttrOwner
	if p.Kept&all == all && !n.fs.opt.Owner.Fixed {
		a.Mode, a.UID, a.GID = p.Mode, p.UID, p.GID
		return a, nil
	}
	fi, err := n.lstat(p)
	if err != nil {
		return a, err
	}
	has := native(fi)
	n.fs.ownership(&a, p.Record, &has)
	return a, nil
}

// permit fails with EACCES unless the mode bits allow cred rwx.
func (n *node) permit(cred *vfs.Cred, p place, rwx uint32) error {
	if cred.UID == 0 && (rwx&mayExec == 0 || p.Type == vfs.TypeDirectory) {
		return nil
	}
	a, err := n.modes(p)
	if err == nil && !vfs.Permit(cred, &a, rwx) {
		err = vfs.EACCES
	}
	return err
}

// Access implements vfs.Node.
func (n *node) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return 0, err
	}
	a, err := n.modes(p)
	if err != nil {
		return 0, err
	}
	if n.fs.can.readOnly {
		want &^= vfs.AccessToChange
	}
	return vfs.PermitAccess(cred, &a, want), nil
}

// ReadLink implements vfs.Node.
func (n *node) ReadLink(context.Context, *vfs.Cred) (string, error) {
	if n.typ != vfs.TypeSymlink {
		return "", vfs.EINVAL
	}
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return "", err
	}
	if _, err := n.lstat(p); err != nil {
		return "", err
	}
	target, err := n.fs.under.Readlink(p.path)
	return target, errnoOf(err)
}

var _ vfs.Node = (*node)(nil)
