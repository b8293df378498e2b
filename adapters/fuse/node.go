package fusefs

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// node is a node: no more than its id. It implements vfs.Node and vfs's
// optional abilities of nodes.
type node struct {
	fs     *FS
	id     uint64
	serial uint64 // see entry
	handle []byte
}

var (
	_ vfs.Node    = (*node)(nil)
	_ vfs.Linker  = (*node)(nil)
	_ vfs.Mknoder = (*node)(nil)
	_ vfs.Xattrer = (*node)(nil)
)

// held is a node with its entry in use, for the length of a call.
type held struct {
	*node
	*entry
	ctx context.Context
}

// Handle implements vfs.Node.
func (n *node) Handle() []byte { return n.handle }

// hold puts the node in use.
func (n *node) hold(ctx context.Context) (*held, error) {
	e, dead := n.fs.nodes.use(n.id, n.serial)
	if e == nil && !dead && n.fs.opt.LastingIDs {
		return n.revive(ctx)
	}
	if e == nil {
		return nil, vfs.ESTALE
	}
	return &held{n, e, ctx}, nil
}

// revive finds a node that is not in the table by its id.
func (n *node) revive(ctx context.Context) (*held, error) {
	out, err := n.fs.lookup(ctx, vfs.Root, &entry{id: n.id}, ".")
	if err != nil {
		return nil, gone(err)
	}
	if out.NodeId != n.id || out.Generation != n.serial {
		n.fs.forget(out.NodeId, 1)
		return nil, vfs.ESTALE
	}
	return &held{n, n.fs.nodes.adopt(out, nil), ctx}, nil
}

// committed is the node for what follows a change, which stays whether the caller
// has given up or not.
func (h *held) committed() *held { return &held{h.node, h.entry, context.Background()} }

func (h *held) release() { h.fs.nodes.release(h.entry) }

// shared runs do while nobody changes the node.
func (n *node) shared(ctx context.Context, do func(h *held) error) error {
	h, err := n.hold(ctx)
	if err != nil {
		return err
	}
	defer h.release()
	h.op.RLock()
	defer h.op.RUnlock()
	return do(h)
}

// refuse says why a directory of a file system that cannot be changed is not
// changed.
func (n *node) refuse(ctx context.Context) error {
	a, err := n.GetAttr(ctx, vfs.AttrType)
	switch {
	case err != nil:
		return err
	case a.Type != vfs.TypeDirectory:
		return vfs.ENOTDIR
	}
	return vfs.EROFS
}

// changeDir is alone for directories.
func (n *node) changeDir(ctx context.Context, do func(h *held) error) error {
	if n.fs.opt.ReadOnly {
		return n.refuse(ctx)
	}
	return n.alone(ctx, do)
}

// alone runs do, which changes the node, while nobody else uses it.
func (n *node) alone(ctx context.Context, do func(h *held) error) error {
	if n.fs.opt.ReadOnly {
		return vfs.EROFS
	}
	h, err := n.hold(ctx)
	if err != nil {
		return err
	}
	defer h.release()
	h.op.Lock()
	defer h.op.Unlock()
	return do(h)
}

// lookup asks the file system for a name. A negative entry is ENOENT.
func (f *FS) lookup(ctx context.Context, cred *vfs.Cred, dir *entry, name string) (*fuse.EntryOut, error) {
	var out fuse.EntryOut
	in := f.header(cred, dir)
	err := f.call(func() fuse.Status { return f.raw.Lookup(cancel(ctx), &in, name, &out) })
	switch {
	case err != nil:
		return nil, err
	case out.NodeId == 0:
		return nil, vfs.ENOENT
	}
	return &out, nil
}

// naming makes lookups of one name in a directory one at a time.
func (h *held) naming(name string) *sync.Mutex {
	m := &h.fs.names[(maphash.String(h.fs.seed, name)^h.entry.serial)%uint64(len(h.fs.names))]
	m.Lock()
	return m
}

// walk finds an entry of the directory, whose op is held.
func (h *held) walk(cred *vfs.Cred, name string) (*held, error) {
	defer h.naming(name).Unlock()
	out, err := h.fs.lookup(h.ctx, cred, h.entry, name)
	if err != nil {
		return nil, supported(err)
	}
	return h.met(out)
}

// met adopts what was found in or put into the directory.
func (h *held) met(out *fuse.EntryOut) (*held, error) {
	if out.NodeId == h.entry.id || out.NodeId == 0 { // which would be locked twice
		return nil, errBroken
	}
	var dir *entry
	if kindOf(out.Mode) == vfs.TypeDirectory {
		dir = h.entry
	}
	e := h.fs.nodes.adopt(out, dir)
	return &held{h.fs.node(e), e, h.ctx}, nil
}

// GetAttr implements vfs.Node. The file system is always asked, whatever its
// timeouts allow.
func (n *node) GetAttr(ctx context.Context, _ vfs.AttrMask) (a vfs.Attr, err error) {
	err = n.shared(ctx, func(h *held) error {
		a, err = h.attr()
		return err
	})
	return a, err
}

// Access implements vfs.Node.
func (n *node) Access(ctx context.Context, cred *vfs.Cred, want vfs.Access) (granted vfs.Access, err error) {
	err = n.shared(ctx, func(h *held) error {
		a, err := h.attr()
		if err != nil {
			return err
		}
		if n.fs.opt.ReadOnly {
			want &^= vfs.AccessModify | vfs.AccessExtend | vfs.AccessDelete | vfs.AccessXattrWrite
		}
		if !n.fs.opt.OwnPermissions {
			granted = vfs.PermitAccess(n.fs.as(cred), &a, want)
			return nil
		}
		granted, err = h.ask(cred, &a, want)
		return err
	})
	return granted, err
}

// ask finds out what the file system permits.
func (h *held) ask(cred *vfs.Cred, a *vfs.Attr, want vfs.Access) (granted vfs.Access, err error) {
	allowed := vfs.Attr{Type: a.Type, UID: cred.UID}
	for _, bit := range []uint32{fuse.R_OK, fuse.W_OK, fuse.X_OK} {
		in := fuse.AccessIn{InHeader: h.fs.header(cred, h.entry), Mask: bit}
		err := h.fs.call(func() fuse.Status { return h.fs.raw.Access(cancel(h.ctx), &in) })
		switch err {
		case nil, notImplemented:
			allowed.Mode |= bit << 6
		case vfs.EACCES, vfs.EPERM, vfs.EROFS:
		default:
			return 0, gone(err)
		}
	}
	owner := &vfs.Cred{UID: 1}
	allowed.UID = owner.UID // so that root's powers do not count twice
	return vfs.PermitAccess(owner, &allowed, want), nil
}

// ReadLink implements vfs.Node.
func (n *node) ReadLink(ctx context.Context, cred *vfs.Cred) (target string, err error) {
	err = n.shared(ctx, func(h *held) error {
		a, err := h.attr()
		switch {
		case err != nil:
			return err
		case a.Type != vfs.TypeSymlink:
			return vfs.EINVAL
		}
		in := n.fs.header(cred, h.entry)
		err = n.fs.call(func() (code fuse.Status) {
			var b []byte
			b, code = n.fs.raw.Readlink(cancel(ctx), &in)
			target = string(b)
			return code
		})
		if len(target) > vfs.MaxSymlink {
			return errBroken
		}
		return gone(err)
	})
	return target, err
}

// Lookup implements vfs.Node.
func (n *node) Lookup(ctx context.Context, cred *vfs.Cred, name string) (child vfs.Node, err error) {
	err = n.shared(ctx, func(h *held) error {
		if _, err := h.search(cred, mayExec); err != nil {
			return err
		}
		c, err := h.walk(cred, name)
		if err != nil {
			return err
		}
		child = c.node
		c.release()
		return nil
	})
	return child, err
}

// Parent implements vfs.Node.
func (n *node) Parent(ctx context.Context, cred *vfs.Cred) (parent vfs.Node, err error) {
	err = n.shared(ctx, func(h *held) error {
		a, err := h.attr()
		switch {
		case err != nil:
			return err
		case a.Type != vfs.TypeDirectory:
			return vfs.ENOTDIR
		case h.entry == n.fs.nodes.root:
			return vfs.ENOENT
		}
		up, err := h.up(cred)
		if err != nil {
			return err
		}
		parent = n.fs.node(up)
		n.fs.nodes.release(up)
		return nil
	})
	return parent, err
}

// up returns the directory above this one, in use.
func (h *held) up(cred *vfs.Cred) (*entry, error) {
	if up := h.fs.nodes.parentOf(h.entry); up != nil {
		return up, nil
	}
	if !h.fs.opt.LastingIDs {
		return nil, vfs.ESTALE
	}
	out, err := h.fs.lookup(h.ctx, cred, h.entry, "..")
	if err != nil {
		return nil, gone(err)
	}
	up := h.fs.nodes.adopt(out, nil)
	h.fs.nodes.moved(h.entry, up)
	return up, nil
}
