package fusefs_test

import (
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"

	fusefs "github.com/fsva/fsva/adapters/fuse"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// open serves a tree of nodes.
func open(t *testing.T, root fs.InodeEmbedder, opt fusefs.Options) *fusefs.FS {
	t.Helper()
	f, err := fusefs.New(fs.NewNodeFS(root, &fs.Options{NullPermissions: true}), opt)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func loopback(t *testing.T, dir string, opt fusefs.Options) *fusefs.FS {
	t.Helper()
	root, err := fs.NewLoopbackRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	return open(t, root, opt)
}

func TestContractOfLoopback(t *testing.T) {
	vfstest.Suite{
		Entries: 2_000,
		Open:    func(t *testing.T) vfs.FS { return loopback(t, t.TempDir(), fusefs.Options{}) },
		Limits: map[string]string{
			"unlinked/files are found and opened by handle while they are open": "the loopback opens files by their names",
		},
	}.Run(t)
}
