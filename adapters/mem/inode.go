package mem

import (
	"context"
	"sync"
	"time"

	"github.com/fsva/fsva/vfs"
)

// inode is a node. It implements vfs.Node and vfs's optional abilities of
// nodes.
type inode struct {
	// These never change.
	fs     *FS
	ino    uint64
	typ    vfs.FileType
	handle []byte
	rdev   vfs.Rdev
	target string // of a symbolic link

	// mu guards what follows; see the package comment for its order.
	mu    sync.RWMutex
	gone  bool // removed and no longer open
	opens int  // Files
	nlink uint32

	mode, uid, gid             uint32
	atime, mtime, ctime, btime vfs.Timespec
	change                     uint64
	xattrs                     map[string][]byte
	data                       content    // of a regular file
	dir                        *directory // of a directory

	// parent holds this directory; nil for the root. It is written with
	// both FS.rename and mu held, so either is enough to read it.
	parent *inode
}

// Handle implements vfs.Node.
func (n *inode) Handle() []byte { return n.handle }

// attr returns the attributes. n.mu is held.
func (n *inode) attr() vfs.Attr {
	a := vfs.Attr{
		Valid: vfs.AttrAll, Type: n.typ, Mode: n.mode, Nlink: n.nlink, UID: n.uid, GID: n.gid,
		Size: uint64(n.data.size), Used: uint64(n.data.used * pageSize), FileID: n.ino, Change: n.change,
		Atime: n.atime, Mtime: n.mtime, Ctime: n.ctime, Btime: n.btime, Rdev: n.rdev,
	}
	switch n.typ {
	case vfs.TypeSymlink:
		a.Size = uint64(len(n.target))
	case vfs.TypeDirectory:
		a.Size, a.Used = pageSize, pageSize
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

const (
	mayExec  = 1
	mayWrite = 2
	mayRead  = 4
)

// permit fails with EACCES unless the mode bits allow cred rwx. n.mu is held.
func (n *inode) permit(cred *vfs.Cred, rwx uint32) error {
	a := vfs.Attr{Type: n.typ, Mode: n.mode, UID: n.uid, GID: n.gid}
	if !vfs.Permit(cred, &a, rwx) {
		return vfs.EACCES
	}
	return nil
}

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

// ReadLink implements vfs.Node.
func (n *inode) ReadLink(context.Context, *vfs.Cred) (string, error) {
	if n.typ != vfs.TypeSymlink {
		return "", vfs.EINVAL
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.gone {
		return "", vfs.ESTALE
	}
	return n.target, nil
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

// atimeAge is when the time of the last read is renewed even though nothing
// was written since (mount(8), relatime).
const atimeAge = 24 * 3600

// overdue reports whether a read now has to be noted. n.mu is held.
func (n *inode) overdue(now vfs.Timespec) bool {
	return !n.mtime.Time().Before(n.atime.Time()) || !n.ctime.Time().Before(n.atime.Time()) ||
		now.Sec-n.atime.Sec >= atimeAge
}

// noteRead sets the time of the last read. n.mu is not held.
func (n *inode) noteRead(now vfs.Timespec) {
	n.mu.Lock()
	n.atime = now
	n.mu.Unlock()
}

// unname notes that one of a file's names is gone. n.mu is not held.
func (n *inode) unname() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nlink--
	n.changed(false)
	n.reap()
}

// bury removes a directory for good. ENOTEMPTY if it has entries. n.mu is not
// held.
func (n *inode) bury() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.dir.byName) > 0 {
		return vfs.ENOTEMPTY
	}
	n.nlink = 0
	n.reap()
	return nil
}

// reap frees an inode that has neither names nor opens. n.mu is held.
func (n *inode) reap() {
	if n.nlink > 0 || n.opens > 0 {
		return
	}
	n.gone = true
	n.fs.nodes.remove(n)
	n.data.freePages(n.fs, 0, pagesIn(n.data.size))
	for name, value := range n.xattrs {
		n.fs.space.give(xattrCost(name, value))
	}
	n.xattrs = nil
	n.fs.space.giveInode(n.cost())
}

var (
	_ vfs.Node    = (*inode)(nil)
	_ vfs.Linker  = (*inode)(nil)
	_ vfs.Mknoder = (*inode)(nil)
	_ vfs.Xattrer = (*inode)(nil)
)
