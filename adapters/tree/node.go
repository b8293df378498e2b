package tree

import (
	"context"
	"encoding/binary"
	"sort"

	"github.com/fsva/fsva/vfs"
)

// node is a node by its number. It implements vfs.Node.
type node struct {
	fs     *FS
	number uint32
	vfs.ReadOnly
}

func (f *FS) node(number uint32) node {
	return node{f, number, vfs.ReadOnly{Type: f.nodes[number].typ}}
}

func (n node) record() *record { return &n.fs.nodes[n.number] }

// Handle implements vfs.Node.
func (n node) Handle() []byte {
	h := make([]byte, 0, handleSize)
	return binary.BigEndian.AppendUint32(append(h, n.fs.fingerprint[:]...), n.number)
}

// GetAttr implements vfs.Node.
func (n node) GetAttr(context.Context, vfs.AttrMask) (vfs.Attr, error) { return n.attr(), nil }

func (n node) attr() vfs.Attr {
	r := n.record()
	at := vfs.Timespec{Sec: r.sec, Nsec: r.nsec}
	a := vfs.Attr{
		Valid: vfs.AttrStat | vfs.AttrChange, Type: r.typ, Mode: uint32(r.mode), Nlink: r.nlink, UID: r.uid, GID: r.gid,
		FileID: n.fileID(), Change: binary.BigEndian.Uint64(n.fs.fingerprint[:]), Atime: at, Mtime: at, Ctime: at,
	}
	switch r.typ {
	case vfs.TypeRegular:
		a.Size = r.size
		a.Used = (r.size - n.fs.holes[n.number] + blockSize - 1) &^ (blockSize - 1)
	case vfs.TypeSymlink:
		a.Size = r.size
	case vfs.TypeDirectory:
		a.Size = blockSize
	case vfs.TypeBlock, vfs.TypeChar:
		a.Rdev = vfs.Rdev{Major: uint32(r.rest >> 32), Minor: uint32(r.rest)}
	}
	return a
}

func (n node) fileID() uint64 { return uint64(n.number) + firstFileID }

// Access implements vfs.Node.
func (n node) Access(_ context.Context, cred *vfs.Cred, want vfs.Access) (vfs.Access, error) {
	a := n.attr()
	return vfs.PermitAccess(cred, &a, want&^vfs.AccessToChange), nil
}

const (
	mayExec = 1
	mayRead = 4
)

func (n node) permit(cred *vfs.Cred, rwx uint32) error {
	r := n.record()
	a := vfs.Attr{Type: r.typ, Mode: uint32(r.mode), UID: r.uid, GID: r.gid}
	if !vfs.Permit(cred, &a, rwx) {
		return vfs.EACCES
	}
	return nil
}

// search checks that n is a directory in which cred may rwx, and returns what
// it holds.
func (n node) search(cred *vfs.Cred, rwx uint32) ([]link, error) {
	r := n.record()
	if r.typ != vfs.TypeDirectory {
		return nil, vfs.ENOTDIR
	}
	if err := n.permit(cred, rwx); err != nil {
		return nil, err
	}
	return n.fs.links[r.rest : r.rest+r.size], nil
}

func (f *FS) name(l link) []byte { return f.text[l.text : l.text+uint32(l.length)] }

// Lookup implements vfs.Node.
func (n node) Lookup(_ context.Context, cred *vfs.Cred, name string) (vfs.Node, error) {
	links, err := n.search(cred, mayExec)
	if err != nil {
		return nil, err
	}
	i, found := sort.Find(len(links), func(i int) int { return compare(name, n.fs.name(links[i])) })
	if !found {
		return nil, vfs.ENOENT
	}
	return n.fs.node(links[i].node), nil
}

// compare orders a name and one of the tree without making a string of it.
func compare(a string, b []byte) int {
	switch {
	case a < string(b):
		return -1
	case a > string(b):
		return 1
	}
	return 0
}

// Parent implements vfs.Node.
func (n node) Parent(_ context.Context, cred *vfs.Cred) (vfs.Node, error) {
	if _, err := n.search(cred, mayExec); err != nil {
		return nil, err
	}
	if n.number == rootNode {
		return nil, vfs.ENOENT
	}
	return n.fs.node(n.record().parent), nil
}

// firstCookie is above those that NFS reserves (RFC 8881 §18.23.3).
const firstCookie = 3

// ReadDir implements vfs.Node. A cookie is the place in the directory, which
// never changes.
func (n node) ReadDir(_ context.Context, cred *vfs.Cred, cookie uint64, want vfs.AttrMask, emit func(*vfs.DirEntry) bool) (bool, error) {
	links, err := n.search(cred, mayRead)
	if err != nil {
		return false, err
	}
	start := uint64(0)
	if cookie >= firstCookie {
		start = min(cookie-firstCookie+1, uint64(len(links)))
	}
	for i := start; i < uint64(len(links)); i++ {
		c := n.fs.node(links[i].node)
		d := vfs.DirEntry{Name: string(n.fs.name(links[i])), Cookie: i + firstCookie, FileID: c.fileID(), Type: c.record().typ}
		if want&vfs.AttrAll != 0 {
			d.Attr = c.attr()
		}
		if want&vfs.AttrNode != 0 {
			d.Node = c
		}
		if !emit(&d) {
			return false, nil
		}
	}
	return true, nil
}

// ReadLink implements vfs.Node.
func (n node) ReadLink(context.Context, *vfs.Cred) (string, error) {
	r := n.record()
	if r.typ != vfs.TypeSymlink {
		return "", vfs.EINVAL
	}
	return string(n.fs.text[r.rest : r.rest+r.size]), nil
}
