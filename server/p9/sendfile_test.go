package p9

import (
	"context"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/vfstest"
)

// damaged is a file that cannot be read. Its descriptor is that of another.
type damaged struct {
	vfs.File
	fd *os.File
}

func (d damaged) PinFD() (int, error) { return int(d.fd.Fd()), nil }
func (damaged) UnpinFD()              {}

func (damaged) ReadAt(context.Context, []byte, int64) (int, error) { return 0, vfs.EIO }

// TestUnreadableFileIsNotSent: a mount does not survive the end of its
// connection, which is what becomes of a reply whose data turns out to be
// unreadable. A file of which a read has failed must not come to that.
func TestUnreadableFileIsNotSent(t *testing.T) {
	full, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { full.Close() })
	if _, err := full.Write(make([]byte, sendfileMin)); err != nil {
		t.Fatal(err)
	}
	spec, err := export.Parse("data=mem:,squash=none")
	if err != nil {
		t.Fatal(err)
	}
	b := servingFS(t, spec, vfstest.WithFiles(mem.New(mem.Options{}), func(f vfs.File) vfs.File { return damaged{f, full} }))
	c := b.attached(t, 0)
	num := c.create("f", oRdWr, 0o644)
	c.mustFail(syscall.EIO, tread, num, uint64(0), uint32(sendfileMin+1)) // behind what is in memory

	node, err := b.exp.FS.Root().Lookup(t.Context(), vfs.Root, "f")
	if err != nil {
		t.Fatal(err)
	}
	mark := b.unreadable.Mark(lockKey(b.exp.ID, node))
	if !mark.Load() {
		t.Error("nobody remembers that the file could not be read")
	}
	d := damaged{fd: full}
	if _, ok := partOf(d, 0, sendfileMin, mark); ok {
		t.Error("the file would be sent")
	}
	if _, ok := partOf(d, 0, sendfileMin, new(atomic.Bool)); !ok {
		t.Skip("the file is not in memory")
	}
}

// TestFileThatCannotBeSentIsRemembered for the client that comes again.
func TestFileThatCannotBeSentIsRemembered(t *testing.T) {
	memory, err := os.Open("/proc/self/mem") // nothing is mapped at 0
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	here, there := socketPair(t)
	defer here.Close()
	c := newConn(serving(t, "").Server, there)
	var unreadable atomic.Bool
	c.sendFile([]byte("header"), &filePart{file: damaged{}, fd: int(memory.Fd()), n: 4096, unreadable: &unreadable})
	if !unreadable.Load() || c.ctx.Err() == nil {
		t.Errorf("remembered: %v; the connection's context: %v", unreadable.Load(), c.ctx.Err())
	}
}
