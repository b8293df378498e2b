package host

import (
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

func TestContract(t *testing.T) {
	onKinds(t, func(t *testing.T, dir string) {
		contract(t, dir, Options{Exclusive: true}).Run(t)
	})
}

func TestContractWithoutKernelHandles(t *testing.T) {
	contract(t, t.TempDir(), Options{Exclusive: true, noHandles: true}).Run(t)
}

// contract serves a new directory in dir for each check.
func contract(t *testing.T, dir string, opts Options) vfstest.Suite {
	var made atomic.Int64
	var last string
	open := func(t *testing.T, dir string) vfs.FS {
		f, err := Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		last = dir
		return f
	}
	s := vfstest.Suite{
		Entries: 10_000, // many kinds; those of package mem are 100,000
		Open: func(t *testing.T) vfs.FS {
			sub := filepath.Join(dir, strconv.FormatInt(made.Add(1), 10))
			if err := os.Mkdir(sub, 0o755); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { os.RemoveAll(sub) })
			return open(t, sub)
		},
		Reopen: func(t *testing.T, old vfs.FS) vfs.FS {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return open(t, last)
		},
	}
	if root := os.Geteuid() == 0; opts.noHandles || !root { // open_by_handle_at(2) needs CAP_DAC_READ_SEARCH
		s.Reopen = nil // without a state the table ends with the FS
		const onePlace = "the table knows one name of a file; once that is removed, the others must be looked up again"
		s.Limits = map[string]string{
			"links/are names of one file":                  onePlace,
			"model/of a tree agrees after every operation": onePlace,
		}
	} else {
		s.Small = func(t *testing.T) vfs.FS { return open(t, mountTmpfs(t, "4m")) }
	}
	return s
}
