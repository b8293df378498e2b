package p9fs_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/hugelgupf/p9/linux"
	"github.com/hugelgupf/p9/p9"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/adapters/mem"
	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
)

// attach returns the root of a new file system in memory, as cred sees it.
func attach(t *testing.T, cred *vfs.Cred) (p9.File, vfs.FS) {
	t.Helper()
	fs := mem.New(mem.Options{})
	t.Cleanup(func() { fs.Close() })
	return do(p9fs.Attacher(fs, p9fs.AttachOptions{Cred: cred}).Attach())(t), fs
}

func put(t *testing.T, dir p9.File, name, content string) {
	t.Helper()
	f, _, _, err := dir.Create(name, p9.WriteOnly, 0o644, p9.NoUID, p9.NoGID)
	if err != nil {
		t.Fatal(err)
	}
	do(f.WriteAt([]byte(content), 0))(t)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func walk(t *testing.T, dir p9.File, names ...string) p9.File {
	t.Helper()
	qids, f, err := dir.Walk(names)
	if err != nil || len(qids) != len(names) {
		t.Fatalf("%d QIDs, %v", len(qids), err)
	}
	return f
}

func TestAttachedFilesActAsTheirUser(t *testing.T) {
	root, fs := attach(t, &vfs.Cred{UID: 1001, GID: 1001})
	mode := func(m uint32) {
		if err := fs.Root().SetAttr(t.Context(), vfs.Root, &vfs.SetAttr{Set: vfs.SetMode, Mode: m}); err != nil {
			t.Fatal(err)
		}
	}
	mode(0o755)
	if _, err := root.Mkdir("dir", 0o755, 0, 0); err != linux.EACCES {
		t.Errorf("Mkdir in root's directory: %v, want EACCES", err)
	}
	mode(0o777)
	do(root.Mkdir("dir", 0o755, 0, 0))(t)
	_, _, attr, err := walk(t, root, "dir").GetAttr(p9.AttrMaskAll)
	if err != nil || attr.UID != 1001 || attr.GID != 1001 {
		t.Errorf("the directory belongs to %d:%d, %v", attr.UID, attr.GID, err)
	}
}

func TestAttachedFilesAreTruncatedWhenOpenedSo(t *testing.T) {
	root, _ := attach(t, nil)
	put(t, root, "file", "content")
	f := walk(t, root, "file")
	if _, _, err := f.Open(p9.ReadWrite | unix.O_TRUNC); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := f.ReadAt(make([]byte, 10), 0); n != 0 || err != io.EOF {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestAttachedDirectoriesAreListedInMessagesOfAnySize(t *testing.T) {
	root, _ := attach(t, nil)
	for i := range 100 {
		put(t, root, fmt.Sprintf("file%03d", i), "")
	}
	for _, count := range []uint32{40, 100, 1000, 1 << 20} {
		seen := map[string]bool{}
		for offset := uint64(0); ; {
			entries := do(root.Readdir(offset, count))(t)
			if len(entries) == 0 {
				break
			}
			for _, e := range entries {
				if seen[e.Name] {
					t.Errorf("%q is listed twice in messages of %d", e.Name, count)
				}
				seen[e.Name], offset = true, e.Offset
			}
		}
		if len(seen) != 100 {
			t.Errorf("%d entries in messages of %d", len(seen), count)
		}
	}
}

func TestAttachedNamesThatAreNoneAreRefused(t *testing.T) {
	root, _ := attach(t, nil)
	put(t, root, "file", "")
	file := walk(t, root, "file")
	for _, name := range []string{"", ".", "a/b", "a\x00b"} {
		_, _, errWalk := root.Walk([]string{name})
		_, _, _, errCreate := root.Create(name, p9.ReadOnly, 0o644, p9.NoUID, p9.NoGID)
		_, errMkdir := root.Mkdir(name, 0o755, p9.NoUID, p9.NoGID)
		_, errSymlink := root.Symlink("target", name, p9.NoUID, p9.NoGID)
		_, errMknod := root.Mknod(name, p9.ModeNamedPipe, 0, 0, p9.NoUID, p9.NoGID)
		for i, err := range []error{
			errWalk, errCreate, errMkdir, errSymlink, errMknod,
			root.Link(file, name), root.UnlinkAt(name, 0), root.RenameAt("file", root, name), root.RenameAt(name, root, "x"),
		} {
			if err != linux.EINVAL {
				t.Errorf("method %d with %q: %v, want EINVAL", i, name, err)
			}
		}
	}
}

func TestAttachedFilesOfTwoKindsDoNotMix(t *testing.T) {
	root, _ := attach(t, nil)
	put(t, root, "file", "")
	var other struct{ p9.File }
	if err := root.Link(other, "link"); err != linux.EXDEV {
		t.Errorf("Link: %v, want EXDEV", err)
	}
	if err := root.RenameAt("file", other, "file"); err != linux.EXDEV {
		t.Errorf("RenameAt: %v, want EXDEV", err)
	}
}

func TestAttachedFilesAreNotReadBeforeTheyAreOpened(t *testing.T) {
	root, _ := attach(t, nil)
	put(t, root, "file", "content")
	f := walk(t, root, "file")
	_, errRead := f.ReadAt(make([]byte, 1), 0)
	_, errWrite := f.WriteAt(make([]byte, 1), 0)
	if errRead != linux.EBADF || errWrite != linux.EBADF {
		t.Errorf("%v and %v, want EBADF", errRead, errWrite)
	}
}
