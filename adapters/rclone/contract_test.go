package rclone_test

import (
	"testing"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// suite is the contract on the remotes that url makes, each of them empty.
func suite(url func(t *testing.T) string) vfstest.Suite {
	at := map[vfs.FS]place{}
	start := func(t *testing.T, p place) vfs.FS {
		fs := p.open(t)
		at[fs] = p
		return fs
	}
	return vfstest.Suite{
		Open: func(t *testing.T) vfs.FS { return start(t, newPlace(t, url(t))) },
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			check(t, old.Close())
			return start(t, at[old])
		},
		Entries: 200, // each of which is some fsyncs and requests
	}
}

func TestContractOfS3(t *testing.T) {
	t.Parallel()
	suite(func(t *testing.T) string { return serveS3(t).export("") }).Run(t)
}

func TestContractOfADirectory(t *testing.T) {
	t.Parallel()
	suite(func(t *testing.T) string { return "rclone::local:" + t.TempDir() + "?writeback=1s" }).Run(t)
}
