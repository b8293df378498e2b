package nfs

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"sort"
	"time"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// The pseudo file system is the read-only directory in which the exports
// stand (RFC 8881 §7.3). It is a vfs.FS like any other, with export id 0, so
// that operations need not tell it apart; only going down into an export and
// up out of it does (compound.cross and lookupp).

// pseudoFS has a root and, for each export, a junction: a directory node in
// the place where the export's root shows.
type pseudoFS struct {
	exports *export.Table
	since   vfs.Timespec
}

const pseudoRootID = 1

func newPseudo(exports *export.Table, now time.Time) *export.Export {
	fs := &pseudoFS{exports: exports, since: vfs.TimespecOf(now)}
	return export.New(0, export.Spec{Options: export.Options{ReadOnly: true}}, fs)
}

func (p *pseudoFS) Root() vfs.Node { return &pseudoNode{fs: p} }

func (p *pseudoFS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != 4 {
		return nil, vfs.EBADHANDLE
	}
	if binary.BigEndian.Uint32(handle) == 0 {
		return p.Root(), nil
	}
	return nil, vfs.ESTALE // junctions give the export's own handle
}

func (p *pseudoFS) StatFS(context.Context) (vfs.StatFS, error) {
	return vfs.StatFS{BlockSize: 4096, MaxName: vfs.MaxName, MaxLink: 1, TimeGranularity: 1}, nil
}

func (p *pseudoFS) Caps() vfs.Caps        { return vfs.Caps{ReadOnly: true, Local: true} }
func (p *pseudoFS) WriteVerifier() uint64 { return 0 }
func (p *pseudoFS) Close() error          { return nil }

// change grows with the set of exports: it is derived from their names, since
// a counter would start again with the process.
func (p *pseudoFS) change() uint64 {
	h := fnv.New64a()
	for _, e := range p.exports.List() {
		h.Write([]byte(e.Name))
		h.Write([]byte{0})
	}
	return h.Sum64()
}

// pseudoNode is the pseudo root, or the junction of an export.
type pseudoNode struct {
	fs  *pseudoFS
	exp *export.Export // of a junction
}

func (n *pseudoNode) id() uint32 {
	if n.exp == nil {
		return 0
	}
	return n.exp.ID
}

func (n *pseudoNode) Handle() []byte { return binary.BigEndian.AppendUint32(nil, n.id()) }

func (n *pseudoNode) GetAttr(context.Context, vfs.AttrMask) (vfs.Attr, error) {
	a := vfs.Attr{
		Valid: vfs.AttrAll, Type: vfs.TypeDirectory, Mode: 0o555, Nlink: 2,
		FileID: pseudoRootID + uint64(n.id()),
		Atime:  n.fs.since, Mtime: n.fs.since, Ctime: n.fs.since, Btime: n.fs.since,
	}
	if n.exp == nil {
		a.Nlink += uint32(len(n.fs.exports.List()))
		a.Change = n.fs.change()
	}
	return a, nil
}

func (n *pseudoNode) Access(_ context.Context, _ *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	return want & (vfs.AccessRead | vfs.AccessLookup | vfs.AccessXattrList), nil
}

func (n *pseudoNode) Lookup(_ context.Context, _ *vfs.Cred, name string) (vfs.Node, error) {
	if n.exp == nil {
		if e := n.fs.exports.ByName(name); e != nil {
			return &pseudoNode{n.fs, e}, nil
		}
	}
	return nil, vfs.ENOENT
}

func (n *pseudoNode) Parent(context.Context, *vfs.Cred) (vfs.Node, error) {
	if n.exp == nil {
		return nil, vfs.ENOENT
	}
	return n.fs.Root(), nil
}

func (n *pseudoNode) ReadDir(ctx context.Context, _ *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	if n.exp != nil {
		return true, nil
	}
	const firstCookie = 16 // export ids start at 1; cookies below 3 are reserved
	list := append([]*export.Export(nil), n.fs.exports.List()...)
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	for _, e := range list {
		at := firstCookie + uint64(e.ID)
		if at <= cookie {
			continue
		}
		j := &pseudoNode{n.fs, e}
		entry := vfs.DirEntry{Name: e.Name, Cookie: at, FileID: pseudoRootID + uint64(e.ID), Type: vfs.TypeDirectory}
		entry.Attr, _ = j.GetAttr(ctx, want)
		if want&vfs.AttrNode != 0 {
			entry.Node = j
		}
		if !emit(&entry) {
			return false, nil
		}
	}
	return true, nil
}

func (n *pseudoNode) ReadLink(context.Context, *vfs.Cred) (string, error) { return "", vfs.EINVAL }

func (n *pseudoNode) Open(context.Context, *vfs.Cred, vfs.OpenFlags) (vfs.File, error) {
	return nil, vfs.EISDIR
}

func (n *pseudoNode) SetAttr(context.Context, *vfs.Cred, *vfs.SetAttr) error { return vfs.EROFS }

func (n *pseudoNode) Create(context.Context, *vfs.Cred, string, *vfs.SetAttr, vfs.OpenFlags) (vfs.Node, vfs.File, vfs.DirChange, error) {
	return nil, nil, vfs.DirChange{}, vfs.EROFS
}

func (n *pseudoNode) Mkdir(context.Context, *vfs.Cred, string, *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, vfs.EROFS
}

func (n *pseudoNode) Symlink(context.Context, *vfs.Cred, string, string, *vfs.SetAttr) (vfs.Node, vfs.DirChange, error) {
	return nil, vfs.DirChange{}, vfs.EROFS
}

func (n *pseudoNode) Remove(context.Context, *vfs.Cred, string, bool) (vfs.DirChange, error) {
	return vfs.DirChange{}, vfs.EROFS
}

func (n *pseudoNode) Rename(context.Context, *vfs.Cred, string, vfs.Node, string, vfs.RenameFlags) (from, to vfs.DirChange, err error) {
	return vfs.DirChange{}, vfs.DirChange{}, vfs.EROFS
}

// cross returns the root of the export whose junction o is, and any other
// object as it is.
func (c *compound) cross(o object) object {
	if j, ok := o.node.(*pseudoNode); ok && j.exp != nil {
		return object{j.exp, j.exp.FS.Root()}
	}
	return o
}
