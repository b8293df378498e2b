package p9

import (
	"sync"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// fid is what a number of the client stands for. It does not change: what
// opens or moves a fid puts another one in its place.
type fid struct {
	exp    *export.Export // as it was at the attach
	node   vfs.Node
	caller caller
	// dir and name are where the node was found last, for Tremove and
	// Trename; dir is nil where that is not known.
	dir  vfs.Node
	name string

	// At most one of these is set.
	open  *openFile
	dirOn bool // an open directory
	xattr *xattr

	refs int // the table has one; guarded by session.mu
}

// caller is who a fid acts for, as the client claims.
type caller struct {
	uid       uint32
	anonymous bool
}

// with returns a fid of the same caller for another node.
func (f *fid) with(n, dir vfs.Node, name string) *fid {
	return &fid{exp: f.exp, caller: f.caller, node: n, dir: dir, name: name}
}

// plain reports whether the fid only names a file.
func (f *fid) plain() bool { return f.open == nil && !f.dirOn && f.xattr == nil }

// openFile is a regular file that a fid has open.
type openFile struct {
	vfs.File
	key    lock.Key
	share  lock.Owner // as whom package lock knows the open
	how    vfs.OpenFlags
	append bool
	stable vfs.Stability // of every write

	mu     sync.Mutex // guards what follows; a leaf
	owners map[lock.Owner]struct{}
}

// addOwner notes that owner may hold locks through the file.
func (o *openFile) addOwner(owner lock.Owner) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.owners == nil {
		o.owners = make(map[lock.Owner]struct{}, 1)
	}
	o.owners[owner] = struct{}{}
}

// release gives back what a fid holds that nothing refers to any more.
func (s *session) release(f *fid) {
	if o := f.open; o != nil {
		for owner := range o.owners {
			s.srv.cfg.Locks.ReleaseOwner(o.key, owner)
		}
		s.srv.cfg.Locks.SetShare(s.ctx, o.key, o.share, 0, 0) // less cannot fail
		o.Close()
		f.exp.Release()
	}
	if f.xattr != nil {
		s.giveXattrBytes(f.xattr.size)
	}
}
