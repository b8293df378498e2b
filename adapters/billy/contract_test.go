package billy_test

import (
	"testing"

	gobilly "github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/adapters/mem"
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

// lasting is what outlives a vfs.FS.
type lasting struct {
	under gobilly.Filesystem
	state string
}

// suite is the contract on billy file systems, with a state that is kept.
func suite(under func() gobilly.Filesystem) vfstest.Suite {
	of := map[vfs.FS]lasting{}
	start := func(t *testing.T, l lasting) vfs.FS {
		fs := open(t, l.under, billy.Options{State: l.state})
		of[fs] = l
		return fs
	}
	return vfstest.Suite{
		Open: func(t *testing.T) vfs.FS { return start(t, lasting{under(), t.TempDir()}) },
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return start(t, of[old])
		},
		Entries: 2000, // each of which is an fsync
	}
}

// A file system that has nothing beyond billy's own interfaces.
func TestContractOfPlainBilly(t *testing.T) {
	suite(func() gobilly.Filesystem { return newPlain() }).Run(t)
}

func TestContractOfPlainBillyWithoutState(t *testing.T) {
	vfstest.Run(t, func(t *testing.T) vfs.FS { return open(t, newPlain(), billy.Options{MaxOpen: 2}) })
}

// There and back again: what a vfs.FS can do, FromVFS can say and New can use.
func TestContractOfRoundTrip(t *testing.T) {
	memory := func(size int64) gobilly.Filesystem {
		return billy.FromVFS(mem.New(mem.Options{Size: size}), vfs.Root)
	}
	s := suite(func() gobilly.Filesystem { return memory(0) })
	s.Small = func(t *testing.T) vfs.FS { return open(t, memory(4<<20), billy.Options{State: t.TempDir()}) }
	s.Run(t)
}
