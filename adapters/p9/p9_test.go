package p9fs_test

import (
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/hugelgupf/p9/p9"

	p9fs "github.com/fsva/fsva/adapters/p9"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// loop is a file system in memory behind both adapters.
func loop(t *testing.T, size int64, opt p9fs.Options) vfs.FS {
	inner := mem.New(mem.Options{Size: size})
	t.Cleanup(func() { inner.Close() })
	return open(t, p9fs.Attacher(inner, p9fs.AttachOptions{}), opt)
}

func open(t *testing.T, a p9.Attacher, opt p9fs.Options) vfs.FS {
	t.Helper()
	fs, err := p9fs.New(a, opt)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

func TestContractOfALoop(t *testing.T) {
	vfstest.Suite{
		Entries: 10_000,
		Open:    func(t *testing.T) vfs.FS { return loop(t, 0, p9fs.Options{}) },
		Small:   func(t *testing.T) vfs.FS { return loop(t, 4<<20, p9fs.Options{}) },
	}.Run(t)
}
