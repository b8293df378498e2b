package vfstest

import (
	"context"
	"math"

	"github.com/fsva/fsva/vfs"
)

type frozenNode struct {
	vfs.Node
	f *frozen
}

func (n *frozenNode) Handle() []byte {
	if n.f.fault.oneHandle && n.typ() == vfs.TypeRegular {
		return n.f.FS.Root().Handle()
	}
	return n.Node.Handle()
}

func (n *frozenNode) typ() vfs.FileType {
	a, _ := n.Node.GetAttr(context.Background(), vfs.AttrType)
	return a.Type
}

func (n *frozenNode) GetAttr(ctx context.Context, want vfs.AttrMask) (vfs.Attr, error) {
	a, err := n.Node.GetAttr(ctx, want)
	fault := n.f.fault
	if fault.otherMode {
		a.Mode ^= 0o111
	}
	if fault.countsTwo && a.Type == vfs.TypeDirectory {
		a.Nlink = 2
	}
	if fault.oneNumber {
		a.FileID = 2
	}
	if fault.newNumbers && n.f.again {
		a.FileID += 1000
	}
	if fault.drifts {
		look, _ := n.f.FS.Root().GetAttr(ctx, vfs.AttrChange)
		a.Change += look.Change
		err = n.f.FS.Root().SetAttr(ctx, root, &vfs.SetAttr{Set: vfs.SetMtimeNow})
	}
	return a, err
}

func (n *frozenNode) SetAttr(ctx context.Context, cred *vfs.Cred, set *vfs.SetAttr) error {
	if n.f.fault.thaws {
		return n.Node.SetAttr(ctx, cred, set)
	}
	return n.f.refusal()
}

func (n *frozenNode) Access(ctx context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	if !n.f.fault.grants {
		want &^= accessToChange
	}
	return n.Node.Access(ctx, cred, want)
}

func (n *frozenNode) Lookup(ctx context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	if n.f.fault.invents && name == "no such name" {
		return n, nil
	}
	c, err := n.Node.Lookup(ctx, cred, name)
	return n.f.node(c), err
}

func (n *frozenNode) Parent(ctx context.Context, cred *vfs.Cred) (vfs.Node, error) {
	p, err := n.Node.Parent(ctx, cred)
	if n.f.fault.orphans && err == nil {
		return n.f.Root(), nil
	}
	return n.f.node(p), err
}

func (n *frozenNode) ReadDir(ctx context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	if n.f.fault.blursKinds && n.typ() != vfs.TypeDirectory {
		return true, nil
	}
	skip := n.f.fault.skips && cookie != 0
	return n.Node.ReadDir(ctx, cred, cookie, want, func(d *vfs.DirEntry) bool {
		if n.f.fault.hides && d.Name == "other" {
			return true
		}
		if skip {
			skip = false
			return true
		}
		e := *d
		e.Node = n.f.node(d.Node)
		return emit(&e)
	})
}

func (n *frozenNode) ReadLink(ctx context.Context, cred *vfs.Cred) (string, error) {
	target, err := n.Node.ReadLink(ctx, cred)
	if n.f.fault.otherTarget {
		target += "x"
	}
	return target, err
}

func (n *frozenNode) Open(ctx context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	switch fault := n.f.fault; {
	case fault.blursKinds && n.typ() != vfs.TypeRegular:
		return nil, vfs.EISDIR
	case how&vfs.OpenWrite != 0 && n.typ() == vfs.TypeRegular && !fault.thaws:
		return nil, n.f.refusal()
	case fault.admits:
		cred = vfs.Root
	}
	f, err := n.Node.Open(ctx, cred, how)
	if err != nil {
		return nil, err
	}
	return &frozenFile{f, n}, nil
}

// refuse is what makes or removes an entry name, if any, of the directory.
func (n *frozenNode) refuse() error {
	if n.typ() != vfs.TypeDirectory {
		return vfs.ENOTDIR
	}
	return n.f.refusal()
}

func (n *frozenNode) Create(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr, how vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	if n.f.fault.thaws {
		return n.Node.Create(ctx, cred, name, set, how)
	}
	return nil, nil, vfs.DirChange{}, n.refuse()
}

func (n *frozenNode) Mkdir(ctx context.Context, cred *vfs.Cred, name string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, n.refuse()
}

func (n *frozenNode) Symlink(ctx context.Context, cred *vfs.Cred, name, target string, set *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, n.refuse()
}

func (n *frozenNode) Remove(ctx context.Context, cred *vfs.Cred, name string, dir bool) (vfs.DirChange, error) {
	if n.f.fault.thaws {
		return n.Node.Remove(ctx, cred, name, dir)
	}
	return vfs.DirChange{}, n.refuse()
}

func (n *frozenNode) Rename(context.Context, *vfs.Cred, string, vfs.Node, string, vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	return vfs.DirChange{}, vfs.DirChange{}, n.refuse()
}

type frozenFile struct {
	vfs.File
	n *frozenNode
}

func (f *frozenFile) Node() vfs.Node { return f.n }

func (f *frozenFile) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if f.n.f.fault.wraps && off > math.MaxInt64/2 {
		return f.File.ReadAt(ctx, p, 0)
	}
	if f.n.f.fault.shifts && off >= 4096 {
		off++
	}
	return f.File.ReadAt(ctx, p, off)
}

func (f *frozenFile) SeekData(ctx context.Context, off int64) (int64, error) {
	if f.n.f.fault.hollow {
		return 0, vfs.ENXIO
	}
	return f.File.(vfs.HoleSeeker).SeekData(ctx, off)
}

func (f *frozenFile) SeekHole(ctx context.Context, off int64) (int64, error) {
	return f.File.(vfs.HoleSeeker).SeekHole(ctx, off)
}

func (f *frozenFile) WriteAt(ctx context.Context, p []byte, off int64, want vfs.Stability) (int, vfs.Stability, error) {
	if f.n.f.fault.thaws {
		return f.File.WriteAt(ctx, p, off, want)
	}
	return 0, vfs.Unstable, f.n.f.refusal()
}
