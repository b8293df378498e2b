package p9fs

import (
	"context"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// node is a node: no more than its number. It implements vfs.Node and vfs's
// optional abilities of nodes.
type node struct {
	fs     *FS
	id     uint64
	born   uint32 // see entry
	handle []byte
}

// held is a node with its entry in use and a File for it.
type held struct {
	*node
	*entry
	fid *fid
}

// Handle implements vfs.Node.
func (n *node) Handle() []byte { return n.handle }

// hold puts the node in use. FS.tree is held, and no entry.op that a walk from
// the root could need.
func (n *node) hold() (*held, error) {
	e, err := n.fs.nodes.use(n.id, n.born)
	switch {
	case err != nil:
		return nil, err
	case e == nil:
		return n.revive()
	}
	f, err := n.fs.reach(e)
	if err != nil {
		n.fs.nodes.release(e)
		return nil, err
	}
	return &held{n, e, f}, nil
}

// revive asks the Resolver for a node that is not in the table.
func (n *node) revive() (*held, error) {
	f, err := n.fs.resolve(n.id)
	if err != nil {
		return nil, err
	}
	return &held{n, n.fs.nodes.adopt(n.id, place{}, f.ref()), f}, nil
}

// resolve asks the Resolver for a File.
func (f *FS) resolve(id uint64) (*fid, error) {
	if f.resolver == nil {
		return nil, vfs.ESTALE
	}
	file, err := f.resolver.ResolveQID(id)
	if err != nil {
		return nil, gone(err)
	}
	return newFID(file, nil), nil
}

func (h *held) release() {
	h.fs.nodes.release(h.entry)
	h.fid.unref()
}

// reach returns a File for an entry that is in use: the one that is kept, or
// one that it walks to.
func (f *FS) reach(e *entry) (*fid, error) {
	have, places, err := f.nodes.found(e)
	if have != nil || err != nil {
		return have, err
	}
	for _, p := range places {
		if have == nil {
			have = f.walkTo(e, p)
		}
		f.nodes.release(p.dir)
	}
	if have != nil {
		return have, nil
	}
	if have, err = f.resolve(e.id); err != nil {
		return nil, err
	}
	return f.nodes.store(e, have, place{}), nil
}

// walkTo returns the File at a place if it is that of the entry.
func (f *FS) walkTo(e *entry, p place) *fid {
	dir, err := f.reach(p.dir)
	if err != nil {
		return nil
	}
	defer dir.unref()
	p.dir.op.RLock()
	defer p.dir.op.RUnlock()
	qid, next, err := dir.walk(p.name)
	if err != nil {
		return nil
	}
	if qid.Path != e.id { // others have been at work
		next.unref()
		return nil
	}
	return f.nodes.store(e, next, p)
}

// shared runs do while nobody changes the node.
func (n *node) shared(do func(h *held) error) error {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	return n.read(do)
}

// read is shared with FS.tree held.
func (n *node) read(do func(h *held) error) error {
	h, err := n.hold()
	if err != nil {
		return err
	}
	defer h.release()
	h.op.RLock()
	defer h.op.RUnlock()
	return do(h)
}

// alone runs do, which changes the node, while nobody else uses it.
func (n *node) alone(do func(h *held) error) error {
	if n.fs.opt.ReadOnly {
		return vfs.EROFS
	}
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	return n.change(do)
}

// change is alone with FS.tree held.
func (n *node) change(do func(h *held) error) error {
	h, err := n.hold()
	if err != nil {
		return err
	}
	defer h.release()
	h.op.Lock()
	defer h.op.Unlock()
	return do(h)
}

// GetAttr implements vfs.Node.
func (n *node) GetAttr(context.Context, vfs.AttrMask) (a vfs.Attr, err error) {
	err = n.shared(func(h *held) error {
		a, err = h.attr()
		return err
	})
	return a, err
}

// Access implements vfs.Node.
func (n *node) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (granted vfs.Access, err error) {
	err = n.shared(func(h *held) error {
		a, err := h.attr()
		granted = vfs.PermitAccess(n.fs.as(cred), &a, want)
		return err
	})
	return granted, err
}

// ReadLink implements vfs.Node.
func (n *node) ReadLink(context.Context, *vfs.Cred) (target string, err error) {
	err = n.shared(func(h *held) error {
		a, err := h.attr()
		switch {
		case err != nil:
			return err
		case a.Type != vfs.TypeSymlink:
			return vfs.EINVAL
		}
		target, err = h.fid.file.Readlink()
		if len(target) > vfs.MaxSymlink {
			return errBroken
		}
		return gone(err)
	})
	return target, err
}

// Lookup implements vfs.Node.
func (n *node) Lookup(_ context.Context, cred *vfs.Cred, name string) (child vfs.Node, err error) {
	err = n.shared(func(h *held) error {
		if _, err := h.search(cred, mayExec); err != nil {
			return err
		}
		c, err := h.walk(name)
		if err != nil {
			return err
		}
		child = c.node
		c.release()
		return nil
	})
	return child, err
}

// walk finds an entry of the directory. The directory's op is held.
func (h *held) walk(name string) (*held, error) {
	qid, next, err := h.fid.walk(name)
	if err != nil {
		return nil, err
	}
	if qid.Path == h.entry.id { // which would be locked twice
		next.unref()
		return nil, errBroken
	}
	fs := h.fs
	e := fs.nodes.adopt(qid.Path, place{h.entry, name}, next.ref())
	return &held{fs.node(e.id, e.born), e, next}, nil
}

// Parent implements vfs.Node.
func (n *node) Parent(context.Context, *vfs.Cred) (parent vfs.Node, err error) {
	err = n.shared(func(h *held) error {
		a, err := h.attr()
		switch {
		case err != nil:
			return err
		case a.Type != vfs.TypeDirectory:
			return vfs.ENOTDIR
		case h.entry == n.fs.nodes.root:
			return vfs.ENOENT
		}
		if dir := n.fs.nodes.parent(h.entry); dir != nil {
			parent = n.fs.node(dir.id, dir.born)
			return nil
		}
		up, err := h.above()
		if err == nil { // a nil *node is no nil vfs.Node
			parent = up
		}
		return err
	})
	return parent, err
}

// above walks to the directory that holds one of which only the Resolver knows
// where it is.
func (h *held) above() (*node, error) {
	qid, f, err := h.fid.walk("..")
	if err != nil {
		return nil, gone(err)
	}
	fs := h.fs
	e := fs.nodes.adopt(qid.Path, place{}, f)
	defer fs.nodes.release(e)
	return fs.node(e.id, e.born), nil
}

// made is what a File for the library is told about who makes something.
func (f *FS) made(a *vfs.Attr) (p9.UID, p9.GID) {
	if f.opt.SingleUser {
		return p9.NoUID, p9.NoGID
	}
	return p9.UID(a.UID), p9.GID(a.GID)
}

var (
	_ vfs.Node    = (*node)(nil)
	_ vfs.Linker  = (*node)(nil)
	_ vfs.Mknoder = (*node)(nil)
	_ vfs.Xattrer = (*node)(nil)
)
