package billy_test

import (
	"testing"

	gobilly "github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// open makes a file system of a billy one.
func open(t *testing.T, under gobilly.Filesystem, opt billy.Options) vfs.FS {
	t.Helper()
	fs, err := billy.New(under, opt)
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// A file system that has nothing beyond billy's own interfaces.
func TestContractOfPlainBilly(t *testing.T) {
	under, dir := map[vfs.FS]gobilly.Filesystem{}, map[vfs.FS]string{}
	remember := func(fs vfs.FS, u gobilly.Filesystem, d string) vfs.FS {
		under[fs], dir[fs] = u, d
		return fs
	}
	vfstest.Suite{
		Open: func(t *testing.T) vfs.FS {
			u, d := newPlain(), t.TempDir()
			return remember(open(t, u, billy.Options{State: d}), u, d)
		},
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return remember(open(t, under[old], billy.Options{State: dir[old]}), under[old], dir[old])
		},
		Entries: 2000, // each of which is an fsync
	}.Run(t)
}

func TestContractOfPlainBillyWithoutState(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS { return open(t, newPlain(), billy.Options{MaxOpen: 2}) })
}
