package afero_test

import (
	"testing"

	spf "github.com/spf13/afero"

	"github.com/fsva/fsva/adapters/afero"
	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// lasting is what outlives a vfs.FS.
type lasting struct {
	under spf.Fs
	root  string
	state string
}

// suite is the contract on afero file systems.
func suite(under func(t *testing.T) (spf.Fs, string)) vfstest.Suite {
	of := map[vfs.FS]lasting{}
	start := func(t *testing.T, l lasting) vfs.FS {
		fs, err := billy.New(afero.NewBilly(l.under, l.root), billy.Options{State: l.state})
		if err != nil {
			t.Fatal(err)
		}
		of[fs] = l
		return fs
	}
	return vfstest.Suite{
		Open: func(t *testing.T) vfs.FS {
			fs, root := under(t)
			return start(t, lasting{fs, root, t.TempDir()})
		},
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return start(t, of[old])
		},
		Entries: 300, // each of which is an fsync
	}
}

func TestContractOfOsFs(t *testing.T) {
	suite(func(t *testing.T) (spf.Fs, string) { return spf.NewOsFs(), t.TempDir() }).Run(t)
}
