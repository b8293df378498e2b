package p9

import (
	"context"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/vfstest"
)

// disk is what files are synced to.
type disk struct {
	syncs  atomic.Int32
	broken atomic.Bool
}

type onDisk struct {
	vfs.File
	disk *disk
}

func (f onDisk) Sync(context.Context, bool) error {
	f.disk.syncs.Add(1)
	if f.disk.broken.Load() {
		return vfs.EIO
	}
	return nil
}

// TestSizesAreDurableWhereTheExportWantsThat: no Tfsync comes after a truncate(2)
// or an O_TRUNC.
func TestSizesAreDurableWhereTheExportWantsThat(t *testing.T) {
	var d disk
	spec, err := export.Parse("data=mem:,squash=none,sync")
	if err != nil {
		t.Fatal(err)
	}
	b := servingFS(t, spec, vfstest.WithFiles(mem.New(mem.Options{}), func(f vfs.File) vfs.File { return onDisk{f, &d} }))
	c := b.attached(t, 0)
	open := c.create("f", oRdWr, 0o644)
	size := func(fid uint32) error {
		_, err := c.call(tsetattr, fid, uint32(setattrSize), uint32(0), uint32(0), uint32(0), uint64(3), make([]byte, 32))
		return err
	}
	for name, change := range map[string]func() error{
		"ftruncate": func() error { return size(open) },
		"truncate":  func() error { return size(c.walk("f")) },
		"O_TRUNC": func() error {
			_, err := c.call(tlopen, c.walk("f"), uint32(oWrOnly|oTrunc))
			return err
		},
		"O_TRUNC alone": func() error {
			_, err := c.call(tlopen, c.walk("f"), uint32(oTrunc))
			return err
		},
	} {
		d.syncs.Store(0)
		if err := change(); err != nil || d.syncs.Load() == 0 {
			t.Errorf("%s: %v; synced %d times", name, err, d.syncs.Load())
		}
		d.broken.Store(true)
		if err := change(); err != syscall.EIO {
			t.Errorf("%s: %v where it cannot be synced", name, err)
		}
		d.broken.Store(false)
	}
}
