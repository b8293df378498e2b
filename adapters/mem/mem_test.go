package mem_test

import (
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

func TestContract(t *testing.T) {
	vfstest.Suite{
		Open:  func(*testing.T) vfs.FS { return mem.New(mem.Options{}) },
		Small: func(*testing.T) vfs.FS { return mem.New(mem.Options{Size: 4 << 20}) },
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return mem.New(mem.Options{})
		},
	}.Run(t)
}
