package nfs_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/vfstest"
)

// cloning is a file system that says its files can share blocks.
type cloning struct{ vfs.FS }

func (c cloning) Caps() vfs.Caps {
	caps := c.FS.Caps()
	caps.Clone = true
	return caps
}

// disk is what files are synced to.
type disk struct {
	syncs  atomic.Int32
	broken atomic.Bool
}

// onDisk is a file of memory on a disk.
type onDisk struct {
	vfs.File
	vfs.Allocator
	disk *disk
}

func (d *disk) file(f vfs.File) vfs.File { return onDisk{f, f.(vfs.Allocator), d} }

func (f onDisk) Sync(context.Context, bool) error {
	f.disk.syncs.Add(1)
	if f.disk.broken.Load() {
		return vfs.EIO
	}
	return nil
}

func (f onDisk) CloneRange(ctx context.Context, srcOff int64, dst vfs.File, dstOff, length int64) error {
	return f.File.(vfs.Cloner).CloneRange(ctx, srcOff, dst.(onDisk).File, dstOff, length)
}

// The option sync makes every change durable before it is answered. Clients send
// no COMMIT after these.
func TestChangesAreDurableWhereTheExportWantsThat(t *testing.T) {
	var d disk
	data := vfstest.WithFiles(cloning{mem.New(mem.Options{Size: 1 << 20})}, d.file)
	g := startOver(t, data, func(o *export.Options) { o.Sync = true }).mount(nfs41.Config{})
	src, dst := g.create("src"), g.create("dst")
	g.must(nfs41.PutFH(src.fh), &nfs41.Write{Stateid: src.sid, Data: make([]byte, 8192)})
	toEmpty := nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize)}
	cp := nfs41.Copy{Src: src.sid, Dst: dst.sid, Consecutive: true, Sync: true}
	for _, tt := range []struct {
		on nfs41.FH
		op nfs41.Op
	}{
		{dst.fh, &cp},
		{dst.fh, &nfs41.Clone{Src: src.sid, Dst: dst.sid}},
		{dst.fh, &nfs41.Allocate{Stateid: dst.sid, Length: 4096}},
		{dst.fh, &nfs41.Deallocate{Stateid: dst.sid, Length: 4096}},
		{dst.fh, &nfs41.SetAttr{Stateid: dst.sid, Attrs: toEmpty}},
		{g.root, &nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("o"), Create: nfs41.Unchecked, Name: "dst", Attrs: toEmpty}},
	} {
		d.syncs.Store(0)
		ops := []nfs41.Op{nfs41.PutFH(src.fh), nfs41.SaveFH{}, nfs41.PutFH(tt.on), tt.op}
		g.must(ops...)
		if d.syncs.Load() == 0 {
			t.Errorf("%v: answered before it is durable", tt.op.Num())
		}
		d.broken.Store(true)
		g.expect(nfs41.NFS4ERR_IO, ops...)
		d.broken.Store(false)
	}
	g.must(nfs41.PutFH(src.fh), nfs41.SaveFH{}, nfs41.PutFH(dst.fh), &cp)
	if cp.Response.Committed != nfs41.FileSync {
		t.Errorf("COPY tells that it is %v", cp.Response.Committed)
	}
}
