package fusefs_test

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/zipfs"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// zipped is what the archive holds.
var zipped = map[string]string{
	"motd":          "Welcome aboard.\n",
	"docs/empty":    "",
	"docs/a/b/deep": "under",
}

func archive(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "test.zip")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := zip.NewWriter(f)
	for path, content := range zipped {
		h := &zip.FileHeader{Name: path}
		h.SetMode(0o644)
		part, err := w.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := part.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestContractOfZipfs(t *testing.T) {
	name := archive(t)
	want := map[string]vfstest.Entry{}
	for path, content := range zipped {
		want[path] = vfstest.Entry{Mode: 0o644, Content: content}
	}
	vfstest.ReadOnly{
		Want: want,
		Open: func(t testing.TB) vfs.FS {
			root, err := zipfs.NewArchiveFileSystem(name)
			if err != nil {
				t.Fatal(err)
			}
			f, err := fusefs.New(fs.NewNodeFS(root, nil), fusefs.Options{ReadOnly: true, IndexOffsets: true, NoXattrs: true, NoHoles: true})
			if err != nil {
				t.Fatal(err)
			}
			return f
		},
	}.Run(t)
}
