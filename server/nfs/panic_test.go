package nfs_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/vfstest"
)

// mistaken is a file of an adapter with mistakes in it, while they are on.
type mistaken struct {
	vfs.File
	on *atomic.Bool
}

func (m mistaken) WriteAt(ctx context.Context, p []byte, off int64, want vfs.Stability) (int, vfs.Stability, error) {
	if m.on.Load() {
		panic("a mistake")
	}
	return m.File.WriteAt(ctx, p, off, want)
}

func (m mistaken) Close() error {
	if m.on.Load() {
		panic("a mistake")
	}
	return m.File.Close()
}

// A mistake in an adapter fails the operation and nothing else: neither the slot
// nor the open-owner, the client or the export waits for its end.
func TestPanicFailsItsOperationAlone(t *testing.T) {
	var on atomic.Bool
	r := startOver(t, vfstest.WithFiles(mem.New(mem.Options{Size: 1 << 20}), func(f vfs.File) vfs.File {
		if on.Load() {
			panic("a mistake")
		}
		return mistaken{f, &on}
	}))
	g := r.mount(nfs41.Config{})
	f := g.create("f")
	g.open(&nfs41.Open{Access: nfs41.ShareBoth, Deny: nfs41.DenyBoth, Owner: []byte("o"), Create: nfs41.Guarded, Name: "held"})
	byAnother := &nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("another"), Name: "f"}

	on.Store(true)
	slot := g.Slot()
	slot.Sequence.CacheThis = true
	for range 2 { // the second time from the slot
		if err := slot.Do(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: []byte("x")}); !errors.Is(err, nfs41.NFS4ERR_SERVERFAULT) {
			t.Fatalf("WRITE: %v", err)
		}
		slot.Sequence.Seq--
	}
	slot.Sequence.Seq++
	if err := slot.Do(nfs41.PutRootFH{}); err != nil {
		t.Errorf("the next request of the slot: %v", err)
	}
	slot.Release()
	g.expect(nfs41.NFS4ERR_SERVERFAULT, nfs41.PutFH(g.root), byAnother)
	g.expect(nfs41.NFS4ERR_SERVERFAULT, nfs41.PutFH(f.fh), &nfs41.Close{Stateid: f.sid})
	on.Store(false)

	g.must(nfs41.PutFH(g.root), byAnother)
	r.pass(3 * r.lease)
	other := r.mount(nfs41.Config{})
	other.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "held"})

	r.removeData()
}
