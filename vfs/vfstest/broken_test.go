package vfstest

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// broken is a file system with a fault, over one without. It has none of the
// optional abilities.
type broken struct {
	vfs.FS
	fault fault
}

// fault is what is wrong with a broken file system. The zero fault is none.
type fault struct {
	replaces     bool // Create removes what has the name
	ignoresMode  bool // of Create
	ignoresTimes bool // of SetAttr
	neverShrinks bool
	freezes      bool // the change attribute
	miscounts    bool // DirChange
	skips        bool // an entry that was listed as the last of a page
	numbers      bool // entries from 0
	halves       bool // writes
	forgets      bool // what was asked for durability
	hidesNoSpace bool
	empties      bool // files that are removed
	revives      bool // what was removed, as the root
	admits       bool // everybody
	keepsTarget  bool // of a rename
	replacesAll  bool // in a rename that must not
	noParents    bool // but the root
}

func (b *broken) Caps() vfs.Caps {
	c := b.FS.Caps()
	c.HardLinks, c.SpecialFiles, c.Xattrs = false, false, false
	c.Holes, c.Allocate, c.Copy, c.Clone = false, false, false, false
	return c
}

func (b *broken) Root() vfs.Node { return b.node(b.FS.Root()) }

func (b *broken) Resolve(ctx context.Context, handle []byte) (vfs.Node, error) {
	n, err := b.FS.Resolve(ctx, handle)
	if b.fault.revives && vfs.ErrnoOf(err) == vfs.ESTALE {
		return b.Root(), nil
	}
	return b.node(n), err
}

func (b *broken) node(n vfs.Node) vfs.Node {
	if n == nil {
		return nil
	}
	return &brokenNode{n, b}
}

// file also hides the abilities of a file.
func (b *broken) file(f vfs.File) vfs.File {
	if f == nil {
		return nil
	}
	return &brokenFile{f, b}
}

func (b *broken) told(c vfs.DirChange) vfs.DirChange {
	if b.fault.miscounts {
		c.After++
	}
	return c
}

type brokenNode struct {
	vfs.Node
	b *broken
}

func (n *brokenNode) GetAttr(ctx context.Context, want vfs.AttrMask) (vfs.Attr, error) {
	a, err := n.Node.GetAttr(ctx, want)
	if n.b.fault.freezes {
		a.Change = 1
	}
	return a, err
}

func (n *brokenNode) SetAttr(ctx context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	s := *set
	if n.b.fault.ignoresTimes {
		s.Set &^= vfs.SetAtime | vfs.SetMtime
	}
	if n.b.fault.neverShrinks && s.Has(vfs.SetSize) {
		a, err := n.Node.GetAttr(ctx, vfs.AttrSize)
		if err != nil {
			return err
		}
		s.Size = max(s.Size, a.Size)
	}
	if f, ok := s.Via.(*brokenFile); ok {
		s.Via = f.File
	}
	return n.Node.SetAttr(ctx, cred, &s)
}

func (n *brokenNode) Lookup(ctx context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	c, err := n.Node.Lookup(ctx, cred, name)
	return n.b.node(c), err
}

func (n *brokenNode) Parent(ctx context.Context, cred *vfs.Cred) (vfs.Node, error) {
	p, err := n.Node.Parent(ctx, cred)
	if n.b.fault.noParents && err == nil {
		return n.b.Root(), nil
	}
	return n.b.node(p), err
}

func (n *brokenNode) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	number := uint64(0)
	skip := n.b.fault.skips && cookie != 0
	return n.Node.ReadDir(ctx, cred, cookie, want, func(d *vfs.DirEntry) bool {
		if skip {
			skip = false
			return true
		}
		e := *d
		e.Node = n.b.node(d.Node)
		if n.b.fault.numbers {
			e.Cookie = number
			number++
		}
		return emit(&e)
	})
}

func (n *brokenNode) Open(ctx context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	if n.b.fault.admits {
		cred = vfs.Root
	}
	f, err := n.Node.Open(ctx, cred, how)
	return n.b.file(f), err
}

func (n *brokenNode) Create(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	if n.b.fault.replaces {
		n.Node.Remove(ctx, cred, name, false)
	}
	if n.b.fault.ignoresMode {
		set = mode(0o644)
	}
	c, f, change, err := n.Node.Create(ctx, cred, name, set, how)
	return n.b.node(c), n.b.file(f), n.b.told(change), err
}

func (n *brokenNode) Mkdir(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	c, change, err := n.Node.Mkdir(ctx, cred, name, set)
	return n.b.node(c), n.b.told(change), err
}

func (n *brokenNode) Symlink(ctx context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	c, change, err := n.Node.Symlink(ctx, cred, name, target, set)
	return n.b.node(c), n.b.told(change), err
}

func (n *brokenNode) Remove(ctx context.Context, cred *vfs.Cred, name string, dir bool) (vfs.DirChange, error) {
	if n.b.fault.empties {
		if c, err := n.Node.Lookup(ctx, cred, name); err == nil {
			c.SetAttr(ctx, cred, &vfs.SetAttr{Set: vfs.SetSize})
		}
	}
	change, err := n.Node.Remove(ctx, cred, name, dir)
	return n.b.told(change), err
}

func (n *brokenNode) Rename(ctx context.Context, cred *vfs.Cred, oldName string, newDir vfs.Node, newName string, flags vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	if n.b.fault.keepsTarget {
		flags |= vfs.RenameNoReplace
	}
	if n.b.fault.replacesAll {
		flags = 0
	}
	from, to, err = n.Node.Rename(ctx, cred, oldName, newDir.(*brokenNode).Node, newName, flags)
	return n.b.told(from), n.b.told(to), err
}

type brokenFile struct {
	vfs.File
	b *broken
}

func (f *brokenFile) Node() vfs.Node { return f.b.node(f.File.Node()) }

func (f *brokenFile) WriteAt(ctx context.Context, p []byte, off int64, want vfs.Stability) (int, vfs.Stability, error) {
	if f.b.fault.halves {
		_, done, err := f.File.WriteAt(ctx, p[:(len(p)+1)/2], off, want)
		return len(p), done, err
	}
	n, done, err := f.File.WriteAt(ctx, p, off, want)
	if f.b.fault.forgets {
		done = vfs.Unstable
	}
	if f.b.fault.hidesNoSpace && vfs.ErrnoOf(err) == vfs.ENOSPC {
		return len(p), done, nil
	}
	return n, done, err
}
