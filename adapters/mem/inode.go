package mem

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/fsva/fsva/vfs"
)

// inode is a node. It implements vfs.Node and vfs's optional abilities of
// nodes.
type inode struct {
	fs     *FS
	ino    uint64
	typ    vfs.FileType
	handle []byte
	rdev   vfs.Rdev
	target string // of a symbolic link

	// Guarded by FS.tree.
	dir    *directory // of a directory
	parent *inode     // of a directory; nil for the root

	mu    sync.RWMutex // guards what follows
	gone  bool         // removed and no longer open
	opens int          // Files
	nlink uint32       // changed with FS.tree held, too

	mode, uid, gid             uint32
	atime, mtime, ctime, btime vfs.Timespec
	change                     uint64
	xattrs                     map[string][]byte
	data                       content
}

func (n *inode) Handle() []byte { return n.handle }

// attr returns the attributes. n.mu is held.
func (n *inode) attr() vfs.Attr {
	a := vfs.Attr{
		Valid: vfs.AttrAll, Type: n.typ, Mode: n.mode, Nlink: n.nlink, UID: n.uid, GID: n.gid,
		Size: uint64(n.data.size), Used: uint64(n.data.used), FileID: n.ino, Change: n.change,
		Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime, Btime: n.btime, Rdev: n.rdev,
	}
	switch n.typ {
	case vfs.TypeSymlink:
		a.Size = uint64(len(n.target))
	case vfs.TypeDirectory:
		a.Size, a.Used = blockSize, blockSize
	}
	return a
}

// GetAttr implements vfs.Node.
func (n *inode) GetAttr(context.Context, vfs.AttrMask) (vfs.Attr, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.gone {
		return vfs.Attr{}, vfs.ESTALE
	}
	return n.attr(), nil
}

// permit fails with EACCES unless the mode bits allow cred rwx. n.mu is held.
func (n *inode) permit(cred *vfs.Cred, rwx uint32) error {
	a := vfs.Attr{Type: n.typ, Mode: n.mode, UID: n.uid, GID: n.gid}
	if !vfs.Permit(cred, &a, rwx) {
		return vfs.EACCES
	}
	return nil
}

// check is permit for who does not hold n.mu. It fails with ESTALE for a node
// that is gone.
func (n *inode) check(cred *vfs.Cred, rwx uint32) error {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.gone {
		return vfs.ESTALE
	}
	return n.permit(cred, rwx)
}

const (
	mayExec  = 1
	mayWrite = 2
	mayRead  = 4
)

// Access implements vfs.Node.
func (n *inode) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.gone {
		return 0, vfs.ESTALE
	}
	a := n.attr()
	return vfs.PermitAccess(cred, &a, want), nil
}

// changed notes a change of attributes, and of data too with data. n.mu is
// held.
func (n *inode) changed(data bool) {
	n.ctime = vfs.TimespecOf(time.Now())
	if data {
		n.mtime = n.ctime
	}
	n.change = n.fs.changes.Add(1)
}

// SetAttr implements vfs.Node. Everything is checked before anything is
// changed.
func (n *inode) SetAttr(_ context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return vfs.ESTALE
	}
	if err := n.maySet(cred, set); err != nil {
		return err
	}
	if set.Has(vfs.SetSize) {
		if err := n.data.truncate(n.fs, int64(set.Size)); err != nil {
			return err
		}
		n.dropSetID(cred)
	}
	if set.Set != 0 {
		n.changed(set.Has(vfs.SetSize))
	}
	n.apply(cred, set)
	return nil
}

// maySet checks that cred may make the change. n.mu is held.
func (n *inode) maySet(cred *vfs.Cred, set *vfs.SetAttr) error {
	owner := cred.UID == 0 || cred.UID == n.uid
	if set.Has(vfs.SetSize) {
		if err := n.mayTruncate(cred, set); err != nil {
			return err
		}
	}
	switch {
	case set.Has(vfs.SetUID) && set.UID != n.uid && cred.UID != 0,
		set.Has(vfs.SetUID) && !owner,
		set.Has(vfs.SetGID) && !owner,
		set.Has(vfs.SetGID) && set.GID != n.gid && cred.UID != 0 && !cred.InGroup(set.GID),
		set.Has(vfs.SetMode|vfs.SetAtime|vfs.SetMtime) && !owner:
		return vfs.EPERM
	case set.Has(vfs.SetAtimeNow|vfs.SetMtimeNow) && !owner:
		return n.permit(cred, mayWrite)
	}
	return nil
}

func (n *inode) mayTruncate(cred *vfs.Cred, set *vfs.SetAttr) error {
	switch {
	case n.typ == vfs.TypeDirectory:
		return vfs.EISDIR
	case n.typ != vfs.TypeRegular:
		return vfs.EINVAL
	case set.Size > math.MaxInt64:
		return vfs.EFBIG
	case set.Via != nil && set.Via.Node() == vfs.Node(n):
		return nil
	}
	return n.permit(cred, mayWrite)
}

// apply changes everything but the size. n.mu is held.
func (n *inode) apply(cred *vfs.Cred, set *vfs.SetAttr) {
	if set.Has(vfs.SetUID | vfs.SetGID) {
		if n.typ != vfs.TypeDirectory { // chown(2)
			n.mode &^= vfs.ModeSetUID
			if n.mode&0o010 != 0 {
				n.mode &^= vfs.ModeSetGID
			}
		}
		if set.Has(vfs.SetUID) {
			n.uid = set.UID
		}
		if set.Has(vfs.SetGID) {
			n.gid = set.GID
		}
	}
	if set.Has(vfs.SetMode) {
		n.mode = set.Mode & 0o7777
		if n.typ != vfs.TypeDirectory && cred.UID != 0 && !cred.InGroup(n.gid) { // chmod(2)
			n.mode &^= vfs.ModeSetGID
		}
	}
	now := n.ctime
	switch {
	case set.Has(vfs.SetAtime):
		n.atime = set.Atime
	case set.Has(vfs.SetAtimeNow):
		n.atime = now
	}
	switch {
	case set.Has(vfs.SetMtime):
		n.mtime = set.Mtime
	case set.Has(vfs.SetMtimeNow):
		n.mtime = now
	}
}

// dropSetID takes the set-id bits away when others than root change the data.
// n.mu is held.
func (n *inode) dropSetID(cred *vfs.Cred) {
	if cred.UID == 0 || n.mode&(vfs.ModeSetUID|vfs.ModeSetGID) == 0 {
		return
	}
	n.mode &^= vfs.ModeSetUID
	if n.mode&0o010 != 0 {
		n.mode &^= vfs.ModeSetGID
	}
}

// ReadLink implements vfs.Node.
func (n *inode) ReadLink(context.Context, *vfs.Cred) (string, error) {
	if n.typ != vfs.TypeSymlink {
		return "", vfs.EINVAL
	}
	return n.target, nil
}

// drop notes that a name of the inode is gone. FS.tree is held.
func (n *inode) drop() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.nlink--; n.typ == vfs.TypeDirectory {
		n.nlink = 0
	}
	n.changed(false)
	n.reap()
}

// reap frees an inode that has neither names nor opens. FS.tree and n.mu are
// held.
func (n *inode) reap() {
	if n.nlink > 0 || n.opens > 0 || n.gone {
		return
	}
	n.gone = true
	delete(n.fs.nodes, n.ino)
	n.data.truncate(n.fs, 0)
	cost := int64(inodeCost + len(n.target))
	for name, value := range n.xattrs {
		cost += xattrCost(name, value)
	}
	n.xattrs = nil
	n.fs.give(cost)
}

var (
	_ vfs.Node    = (*inode)(nil)
	_ vfs.Linker  = (*inode)(nil)
	_ vfs.Mknoder = (*inode)(nil)
	_ vfs.Xattrer = (*inode)(nil)
)
