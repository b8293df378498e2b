package p9fs

import (
	"context"

	"github.com/hugelgupf/p9/fsimpl/templatefs"
	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// AttachOptions say how a vfs.FS is offered to the library.
type AttachOptions struct {
	// Cred is who makes all calls, since the library tells an Attacher
	// neither who attaches nor to what. Nil is vfs.Root.
	Cred *vfs.Cred
}

// Attacher offers a file system to users of the library, such as its server.
// QID paths are inode numbers (vfs.Attr.FileID). The FS must stay open as long
// as there are Files.
func Attacher(fs vfs.FS, opt AttachOptions) p9.Attacher {
	if opt.Cred == nil {
		opt.Cred = vfs.Root
	}
	return &attacher{fs, opt.Cred}
}

type attacher struct {
	fs   vfs.FS
	cred *vfs.Cred
}

// Attach implements p9.Attacher.
func (a *attacher) Attach() (p9.File, error) {
	return &attached{attacher: a, node: a.fs.Root()}, nil
}

// attached is a p9.File for a node. The library has no contexts; it waits for
// what was asked.
type attached struct {
	*attacher
	templatefs.NoopRenamed // a node is no name
	templatefs.NotLockable
	p9.DefaultWalkGetAttr

	node vfs.Node
	file vfs.File // of a regular file that was opened
}

var _ p9.File = (*attached)(nil)

var background = context.Background()

// attr returns the attributes of the node and its QID.
func (f *attached) attr() (vfs.Attr, p9.QID, error) {
	a, err := f.node.GetAttr(background, vfs.AttrAll)
	return a, qidOf(&a), libraryError(err)
}

func qidOf(a *vfs.Attr) p9.QID {
	return p9.QID{Type: modeBits[a.Type].QIDType(), Version: uint32(a.Change), Path: a.FileID}
}

// Walk implements p9.File.
func (f *attached) Walk(names []string) ([]p9.QID, p9.File, error) {
	at := &attached{attacher: f.attacher, node: f.node}
	var qids []p9.QID
	for _, name := range names {
		next, err := f.step(at.node, name)
		if err != nil {
			return nil, nil, libraryError(err)
		}
		at.node = next
		_, qid, err := at.attr()
		if err != nil {
			return nil, nil, err
		}
		qids = append(qids, qid)
	}
	return qids, at, nil
}

// step goes to one name, of which ".." is the directory above.
func (f *attached) step(n vfs.Node, name string) (vfs.Node, error) {
	if name == ".." {
		return n.Parent(background, f.cred)
	}
	if err := vfs.CheckName(name); err != nil {
		return nil, err
	}
	return n.Lookup(background, f.cred, name)
}

// StatFS implements p9.File.
func (f *attached) StatFS() (p9.FSStat, error) {
	s, err := f.fs.StatFS(background)
	if err != nil {
		return p9.FSStat{}, libraryError(err)
	}
	const v9fsMagic = 0x01021997 // statfs(2)
	block := uint64(max(s.BlockSize, 1))
	return p9.FSStat{
		Type: v9fsMagic, BlockSize: uint32(block), NameLength: s.MaxName,
		Blocks: s.TotalBytes / block, BlocksFree: s.FreeBytes / block, BlocksAvailable: s.AvailBytes / block,
		Files: s.TotalFiles, FilesFree: s.FreeFiles,
	}, nil
}

// Close implements p9.File.
func (f *attached) Close() error {
	if f.file == nil {
		return nil
	}
	return libraryError(f.file.Close())
}

// Readlink implements p9.File.
func (f *attached) Readlink() (string, error) {
	target, err := f.node.ReadLink(background, f.cred)
	return target, libraryError(err)
}

// Link implements p9.File.
func (f *attached) Link(target p9.File, newName string) error {
	t, ok := target.(*attached)
	if !ok {
		return linux.EXDEV
	}
	l, ok := t.node.(vfs.Linker)
	if !ok {
		return linux.EOPNOTSUPP
	}
	if err := vfs.CheckName(newName); err != nil {
		return libraryError(err)
	}
	_, err := l.Link(background, f.cred, f.node, newName)
	return libraryError(err)
}

// UnlinkAt implements p9.File. flags are those of unlinkat(2).
func (f *attached) UnlinkAt(name string, flags uint32) error {
	if err := vfs.CheckName(name); err != nil {
		return libraryError(err)
	}
	_, err := f.node.Remove(background, f.cred, name, flags == unlinkFlags(true))
	return libraryError(err)
}

// RenameAt implements p9.File.
func (f *attached) RenameAt(oldName string, newDir p9.File, newName string) error {
	d, ok := newDir.(*attached)
	if !ok {
		return linux.EXDEV
	}
	for _, name := range []string{oldName, newName} {
		if err := vfs.CheckName(name); err != nil {
			return libraryError(err)
		}
	}
	_, _, err := f.node.Rename(background, f.cred, oldName, d.node, newName, 0)
	return libraryError(err)
}

// Rename implements p9.File. The library's server always uses RenameAt, and a
// node does not know its name.
func (f *attached) Rename(p9.File, string) error { return linux.ENOSYS }
