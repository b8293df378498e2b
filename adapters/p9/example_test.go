package p9fs_test

import (
	"context"
	"fmt"
	"io"

	"github.com/hugelgupf/p9/fsimpl/templatefs"
	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"

	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
)

// motd is a p9.Attacher: a directory with one file, whose text is the string.
type motd string

func (m motd) Attach() (p9.File, error) { return top{text: m}, nil }

// top is the directory.
type top struct {
	templatefs.ReadOnlyDir
	templatefs.NilCloser
	p9.DefaultWalkGetAttr
	text motd
}

var topQID = p9.QID{Type: p9.TypeDir, Path: 1}

func (t top) Walk(names []string) ([]p9.QID, p9.File, error) {
	switch {
	case len(names) == 0:
		return nil, t, nil
	case len(names) > 1 || names[0] != "motd":
		return nil, nil, linux.ENOENT
	}
	return []p9.QID{noteQID}, note{text: t.text}, nil
}

func (t top) GetAttr(p9.AttrMask) (p9.QID, p9.AttrMask, p9.Attr, error) {
	return topQID, p9.AttrMaskAll, p9.Attr{Mode: p9.ModeDirectory | 0o555, NLink: 2}, nil
}

func (t top) Open(p9.OpenFlags) (p9.QID, uint32, error) { return topQID, 0, nil }

func (t top) Readdir(offset uint64, _ uint32) (p9.Dirents, error) {
	if offset > 0 {
		return nil, io.EOF
	}
	return p9.Dirents{{QID: noteQID, Type: noteQID.Type, Name: "motd", Offset: 1}}, nil
}

func (top) StatFS() (p9.FSStat, error) { return p9.FSStat{}, linux.ENOSYS }

// note is the file.
type note struct {
	templatefs.ReadOnlyFile
	templatefs.NilCloser
	p9.DefaultWalkGetAttr
	text motd
}

var noteQID = p9.QID{Type: p9.TypeRegular, Path: 2}

func (n note) Walk(names []string) ([]p9.QID, p9.File, error) {
	if len(names) > 0 {
		return nil, nil, linux.ENOTDIR
	}
	return nil, n, nil
}

func (n note) GetAttr(p9.AttrMask) (p9.QID, p9.AttrMask, p9.Attr, error) {
	return noteQID, p9.AttrMaskAll, p9.Attr{Mode: p9.ModeRegular | 0o444, NLink: 1, Size: uint64(len(n.text))}, nil
}

func (n note) Open(p9.OpenFlags) (p9.QID, uint32, error) { return noteQID, 0, nil }

func (n note) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(n.text)) {
		return 0, io.EOF
	}
	return copy(p, n.text[off:]), nil
}

func (note) StatFS() (p9.FSStat, error) { return p9.FSStat{}, linux.ENOSYS }

// A file system that was written for the library is one for the appliance
// after one call.
func ExampleNew() {
	ctx := context.Background()
	fs, err := p9fs.New(motd("Welcome aboard."), p9fs.Options{ReadOnly: true, NoXattrs: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer fs.Close()

	fs.Root().ReadDir(ctx, vfs.Root, 0, vfs.AttrSize, func(e *vfs.DirEntry) bool {
		fmt.Println(e.Name, e.Attr.Size)
		return true
	})
	node, err := fs.Root().Lookup(ctx, vfs.Root, "motd")
	if err != nil {
		fmt.Println(err)
		return
	}
	file, err := node.Open(ctx, vfs.Root, vfs.OpenRead)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer file.Close()
	text := make([]byte, 100)
	n, err := file.ReadAt(ctx, text, 0)
	fmt.Println(string(text[:n]), err)
	_, err = fs.Root().Remove(ctx, vfs.Root, "motd", false)
	fmt.Println(err)
	// Output:
	// motd 15
	// Welcome aboard. <nil>
	// read-only file system
}
