package nfs_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// damaged is a file on a disk with bad blocks: its size is known, its data is
// not to be had.
type damaged struct {
	vfs.File
	fd int // of what pread(2) fails on and sendfile(2) cannot splice
}

func (d damaged) PinFD() (int, error) { return d.fd, nil }
func (damaged) UnpinFD()              {}

func (damaged) ReadAt(context.Context, []byte, int64) (int, error) { return 0, vfs.EIO }

// What cannot be read when a reply is under way ends the connection, since its
// length has been told. A client comes again, and must not meet that for ever.
func TestUnreadableFileEndsOneConnectionAtMost(t *testing.T) {
	memory, err := os.Open("/proc/self/mem") // nothing is mapped at 0
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { memory.Close() })
	r := startOver(t, vfstest.WithFiles(mem.New(mem.Options{Size: 1 << 20}), func(f vfs.File) vfs.File {
		return damaged{f, int(memory.Fd())}
	}))
	g := r.mount(nfs41.Config{})
	f := g.create("f")
	const size = 128 << 10
	g.must(nfs41.PutFH(f.fh), &nfs41.SetAttr{Stateid: f.sid, Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize), Size: size}})
	read := nfs41.Read{Stateid: f.sid, Count: size}

	slot := g.Slot()
	defer slot.Release()
	if err := slot.Do(nfs41.PutFH(f.fh), &read); errors.Is(err, nfs41.NFS4ERR_IO) {
		t.Skip("the error came in time")
	} else if _, answered := errors.AsType[*nfs41.OpError](err); err == nil || answered {
		t.Fatalf("the first READ: %v", err)
	}
	again, err := nfs41.Dial(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	slot.Conn = again
	// As Linux does: the same request, and then it as a new one.
	if err := slot.Do(nfs41.PutFH(f.fh), &read); !errors.Is(err, nfs41.NFS4ERR_RETRY_UNCACHED_REP) {
		t.Fatalf("sent again: %v", err)
	}
	for _, sid := range []nfs41.Stateid{f.sid, nfs41.Anonymous} {
		read.Stateid = sid
		if err := slot.Do(nfs41.PutFH(f.fh), &read); !errors.Is(err, nfs41.NFS4ERR_IO) {
			t.Fatalf("as a new request: %v", err)
		}
	}
	if err := slot.Do(nfs41.PutRootFH{}); err != nil {
		t.Errorf("another request on that connection: %v", err)
	}
}
