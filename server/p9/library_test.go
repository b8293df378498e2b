package p9

import (
	"errors"
	"io"
	"testing"

	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"
)

// TestLibraryClient has another implementation of the protocol use the server:
// what both sides of our own tests get wrong alike shows here. It has no
// extended attributes, and its locks name no file.
func TestLibraryClient(t *testing.T) {
	b := serving(t, "")
	nc := b.connect(t).nc
	c, err := p9.NewClient(nc)
	if err != nil {
		t.Fatal(err)
	}
	root, err := c.Attach("data")
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err = root.Mkdir("dir", 0o750, 0, 7)
	must(err)
	_, dir, err := root.Walk([]string{"dir"})
	must(err)
	_, at, err := dir.Walk(nil)
	must(err)
	f, qid, _, err := at.Create("file", p9.ReadWrite, 0o640, 0, 7)
	must(err)
	if n, err := f.WriteAt([]byte("content"), 3); n != 7 || err != nil {
		t.Errorf("%d bytes were written, %v", n, err)
	}
	buf := make([]byte, 100)
	if n, err := f.ReadAt(buf, 0); string(buf[:n]) != "\x00\x00\x00content" || err != nil && err != io.EOF {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	_, _, attr, err := f.GetAttr(p9.AttrMaskAll)
	must(err)
	if attr.Size != 10 || attr.Mode != 0o100640 || attr.UID != 65534 || // it gives no user
		attr.NLink != 1 {
		t.Errorf("attributes are %+v", attr)
	}
	must(f.SetAttr(p9.SetAttrMask{Size: true, Permissions: true}, p9.SetAttr{Size: 4, Permissions: 0o600}))
	must(f.FSync())

	_, err = dir.Symlink("target", "link", 0, 0)
	must(err)
	_, link, err := dir.Walk([]string{"link"})
	must(err)
	if target, err := link.Readlink(); target != "target" || err != nil {
		t.Errorf("the link points to %q, %v", target, err)
	}
	_, plain, err := dir.Walk([]string{"file"})
	must(err)
	must(root.Link(plain, "hard"))
	must(dir.RenameAt("file", root, "moved"))

	_, list, err := root.Walk(nil)
	must(err)
	_, _, err = list.Open(p9.ReadOnly)
	must(err)
	entries, err := list.Readdir(0, 4096)
	must(err)
	found := map[string]p9.QID{}
	for _, e := range entries {
		found[e.Name] = e.QID
	}
	if found["moved"].Path != qid.Path || found["hard"].Path != qid.Path || len(found) != 5 {
		t.Errorf("entries %v", entries)
	}
	must(root.UnlinkAt("moved", 0))
	must(root.UnlinkAt("hard", 0))
	if _, _, attr, err = f.GetAttr(p9.AttrMask{NLink: true, Size: true}); err != nil || attr.NLink != 0 || attr.Size != 4 {
		t.Errorf("after its names: %+v, %v", attr, err)
	}
	if _, _, err := root.Walk([]string{"moved"}); !errors.Is(err, linux.ENOENT) {
		t.Errorf("walking to what is gone: %v", err)
	}
	if fs, err := root.StatFS(); err != nil || fs.NameLength != 255 {
		t.Errorf("%+v, %v", fs, err)
	}
	must(f.Close())
}
