package nfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/tests/nfs41"
	"github.com/fsva/fsva/vfs"
)

func TestDataComesBackAsItWasWritten(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	for _, n := range []int{1, 4096, 65536, 100_001, 1 << 20} {
		data := bytes.Repeat([]byte{byte(n), 1, 2, 3, 5, 7, 11}, n/7+1)[:n]
		w := nfs41.Write{Stateid: f.sid, Offset: 3, Data: data, Stable: nfs41.FileSync}
		rd := nfs41.Read{Stateid: f.sid, Offset: 3, Count: uint32(n)}
		g.must(nfs41.PutFH(f.fh), &nfs41.SetAttr{Stateid: f.sid, Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize)}},
			&w)
		g.must(nfs41.PutFH(f.fh), &rd)
		if w.Count != uint32(n) || w.Committed != nfs41.FileSync || !bytes.Equal(rd.Data, data) || !rd.EOF {
			t.Errorf("%d bytes: wrote %d, read %d, eof %v", n, w.Count, len(rd.Data), rd.EOF)
		}
	}
}

func TestEndOfFileIsTold(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: []byte("0123456789")})
	for _, tt := range []struct {
		off  uint64
		n    uint32
		data string
		eof  bool
	}{{0, 5, "01234", false}, {0, 10, "0123456789", true}, {5, 10, "56789", true}, {10, 5, "", true}, {1 << 63, 5, "", true}, {^uint64(0), 1, "", true}} {
		rd := nfs41.Read{Stateid: f.sid, Offset: tt.off, Count: tt.n}
		g.must(nfs41.PutFH(f.fh), &rd)
		if string(rd.Data) != tt.data || rd.EOF != tt.eof {
			t.Errorf("READ %d at %d: %q, eof %v", tt.n, tt.off, rd.Data, rd.EOF)
		}
	}
	g.expect(nfs41.NFS4ERR_FBIG, nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Offset: 1<<63 - 1, Data: []byte("x")})
}

// overbooked is a file system that takes writes for which, once, the disk turns
// out to have no room, as thin volumes and clusters do.
type overbooked struct {
	vfs.FS
	lost atomic.Uint64 // how often
	full atomic.Bool
	// loses: data is lost during the next call, which is not told.
	loses atomic.Bool
}

func (o *overbooked) WriteVerifier() uint64 { return o.lost.Load() }

func (o *overbooked) Root() vfs.Node { return &overbookedNode{o.FS.Root(), o} }

func (o *overbooked) Resolve(ctx context.Context, handle []byte) (vfs.Node, error) {
	n, err := o.FS.Resolve(ctx, handle)
	return &overbookedNode{n, o}, err
}

type overbookedNode struct {
	vfs.Node
	fs *overbooked
}

func (n *overbookedNode) Open(ctx context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	f, err := n.Node.Open(ctx, cred, how)
	return &overbookedFile{f, n.fs}, err
}

type overbookedFile struct {
	vfs.File
	fs *overbooked
}

func (f *overbookedFile) WriteAt(ctx context.Context, p []byte, off int64, want vfs.Stability) (int, vfs.Stability, error) {
	n, done, err := f.File.WriteAt(ctx, p, off, want)
	f.fs.lose()
	return n, done, err
}

func (o *overbooked) lose() {
	if o.loses.CompareAndSwap(true, false) {
		o.lost.Add(1)
	}
}

func (f *overbookedFile) Sync(ctx context.Context, dataOnly bool) error {
	if f.fs.full.CompareAndSwap(true, false) {
		f.fs.lost.Add(1)
		return fmt.Errorf("write-back: %w", vfs.ENOSPC)
	}
	f.fs.lose()
	return f.File.Sync(ctx, dataOnly)
}

// RFC 8881 §18.3.3: a client sends again what it has written under another
// verifier than COMMIT answers. A disk that is full at the COMMIT says so, and
// also has every other client send again.
func TestVerifierChangesWhenUnstableDataMayBeLost(t *testing.T) {
	data := &overbooked{FS: mem.New(mem.Options{Size: 1 << 20})}
	r := startOver(t, data)
	g, other := r.mount(nfs41.Config{}), r.mount(nfs41.Config{})
	f := g.create("f")
	w := nfs41.Write{Stateid: f.sid, Data: []byte("x")}
	c := nfs41.Commit{}
	g.must(nfs41.PutFH(f.fh), &w, &c)
	if w.Verifier != c.Verifier {
		t.Errorf("WRITE %x, COMMIT %x", w.Verifier, c.Verifier)
	}
	data.full.Store(true)
	g.expect(nfs41.NFS4ERR_NOSPC, nfs41.PutFH(f.fh), &c)
	other.must(nfs41.PutFH(f.fh), &c)
	if w.Verifier == c.Verifier {
		t.Error("a client may take for safe what was lost")
	}
	w.Verifier = nfs41.Verifier{}
	g.must(nfs41.PutFH(f.fh), &w)
	if w.Verifier != c.Verifier {
		t.Errorf("WRITE %x, COMMIT %x", w.Verifier, c.Verifier)
	}
}

// Another call is told of the loss, while this one writes or commits.
func TestDataMayBeLostDuringWriteAndCommit(t *testing.T) {
	data := &overbooked{FS: mem.New(mem.Options{Size: 1 << 20})}
	g := startOver(t, data).mount(nfs41.Config{})
	f := g.create("f")
	w := nfs41.Write{Stateid: f.sid, Data: []byte("x")}
	c := nfs41.Commit{}
	data.loses.Store(true)
	g.must(nfs41.PutFH(f.fh), &w)
	g.must(nfs41.PutFH(f.fh), &c)
	if w.Verifier == c.Verifier {
		t.Error("what was lost during WRITE is taken for safe")
	}
	g.must(nfs41.PutFH(f.fh), &w)
	data.loses.Store(true)
	g.must(nfs41.PutFH(f.fh), &c)
	if w.Verifier == c.Verifier {
		t.Error("what was lost during COMMIT is taken for safe")
	}
}

func TestFullFileSystemIsTold(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	w := nfs41.Write{Stateid: f.sid, Data: make([]byte, 1<<20)}
	for i := range w.Data {
		w.Data[i] = 1
	}
	for range 80 { // of 64 MiB
		if err := g.Do(nfs41.PutFH(f.fh), &w); err != nil {
			g.expect(nfs41.NFS4ERR_NOSPC, nfs41.PutFH(f.fh), &w)
			break
		}
		w.Offset += uint64(w.Count)
	}
	if w.Offset >= 80<<20 {
		t.Fatal("80 MiB fit into 64")
	}
	g.must(nfs41.PutFH(f.fh), &nfs41.SetAttr{Stateid: f.sid, Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize)}})
	w.Offset = 0
	g.must(nfs41.PutFH(f.fh), &w)
}

func TestHolesAreSeen(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	const mib = 1 << 20
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Offset: mib, Data: bytes.Repeat([]byte("d"), mib)})
	g.must(nfs41.PutFH(f.fh), &nfs41.SetAttr{Stateid: f.sid, Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize), Size: 3 * mib}})
	seek := func(off uint64, what uint32) nfs41.Seek {
		s := nfs41.Seek{Stateid: f.sid, Offset: off, What: what}
		g.must(nfs41.PutFH(f.fh), &s)
		return s
	}
	if s := seek(0, nfs41.ContentData); s.Found != mib || s.EOF {
		t.Errorf("first data: %+v", s)
	}
	if s := seek(mib, nfs41.ContentHole); s.Found != 2*mib || s.EOF {
		t.Errorf("hole behind it: %+v", s)
	}
	if s := seek(2*mib, nfs41.ContentData); !s.EOF {
		t.Errorf("data in the last hole: %+v", s)
	}
	g.expect(nfs41.NFS4ERR_NXIO, nfs41.PutFH(f.fh), &nfs41.Seek{Stateid: f.sid, Offset: 3 * mib, What: nfs41.ContentData})
	g.expect(nfs41.NFS4ERR_UNION_NOTSUPP, nfs41.PutFH(f.fh), &nfs41.Seek{Stateid: f.sid, What: 9})

	rp := nfs41.ReadPlus{Stateid: f.sid, Offset: mib - 100, Count: 200}
	g.must(nfs41.PutFH(f.fh), &rp)
	if len(rp.Segments) != 2 || !rp.Segments[0].Hole || rp.Segments[0].Length != 100 || string(rp.Segments[1].Data) != string(bytes.Repeat([]byte("d"), 100)) || rp.EOF {
		t.Errorf("READ_PLUS: %+v", rp.Segments)
	}

	g.must(nfs41.PutFH(f.fh), &nfs41.Deallocate{Stateid: f.sid, Offset: mib, Length: mib})
	if s := seek(0, nfs41.ContentData); !s.EOF {
		t.Errorf("data after DEALLOCATE: %+v", s)
	}
	g.must(nfs41.PutFH(f.fh), &nfs41.Allocate{Stateid: f.sid, Offset: 3 * mib, Length: mib})
	if n := g.attrs(f.fh, nfs41.AttrSize).Size; n != 4*mib {
		t.Errorf("size after ALLOCATE: %d", n)
	}
}

// An answer without data that is not the end would have the client ask for ever.
func TestReadPlusWithoutRoomForDataIsRefused(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	g.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: make([]byte, 4096)})
	slot := g.Slot()
	defer slot.Release()
	slot.Sequence.CacheThis = true
	fill := nfs41.Read{Stateid: f.sid, Count: 3800} // of the 4096 bytes of a kept reply
	err := slot.Do(nfs41.PutFH(f.fh), &fill, &nfs41.ReadPlus{Stateid: f.sid, Count: 4096})
	if !errors.Is(err, nfs41.NFS4ERR_REP_TOO_BIG_TO_CACHE) {
		t.Errorf("got %v", err)
	}
}

func TestCopyInTheServer(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	src, dst := g.create("src"), g.create("dst")
	data := bytes.Repeat([]byte("0123456789abcdef"), 4096)
	g.must(nfs41.PutFH(src.fh), &nfs41.Write{Stateid: src.sid, Data: data})
	cp := nfs41.Copy{Src: src.sid, Dst: dst.sid, SrcOffset: 16, Count: 1000, Consecutive: true, Sync: true}
	g.must(nfs41.PutFH(src.fh), nfs41.SaveFH{}, nfs41.PutFH(dst.fh), &cp)
	if cp.Response.Count != 1000 || !cp.ReplySync {
		t.Errorf("%+v", cp)
	}
	rd := nfs41.Read{Stateid: dst.sid, Count: 2000}
	g.must(nfs41.PutFH(dst.fh), &rd)
	if !bytes.Equal(rd.Data, data[16:1016]) {
		t.Error("the copy differs")
	}
	cp.SrcOffset = uint64(len(data)) + 1
	g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(src.fh), nfs41.SaveFH{}, nfs41.PutFH(dst.fh), &cp)
	g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(src.fh), nfs41.SaveFH{},
		&nfs41.Copy{Src: src.sid, Dst: src.sid, DstOffset: 10, Count: 100, Sync: true})

	// Memory cannot share blocks, and says so.
	g.expect(nfs41.NFS4ERR_NOTSUPP, nfs41.PutFH(src.fh), nfs41.SaveFH{}, nfs41.PutFH(dst.fh), &nfs41.Clone{Src: src.sid, Dst: dst.sid})
}

func TestExtendedAttributes(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	before := g.change(f.fh)
	set := nfs41.SetXattr{How: nfs41.XattrCreate, Name: "colour", Value: []byte("blue")}
	g.must(nfs41.PutFH(f.fh), &set)
	if set.Change.Before != before || set.Change.After != g.change(f.fh) || set.Change.After <= before {
		t.Errorf("change info %+v", set.Change)
	}
	g.expect(nfs41.NFS4ERR_EXIST, nfs41.PutFH(f.fh), &set)
	g.expect(nfs41.NFS4ERR_NOXATTR, nfs41.PutFH(f.fh), &nfs41.SetXattr{How: nfs41.XattrReplace, Name: "shape", Value: []byte("x")})
	g.expect(nfs41.NFS4ERR_XATTR2BIG, nfs41.PutFH(f.fh), &nfs41.SetXattr{Name: "big", Value: make([]byte, 65537)})
	get := nfs41.GetXattr{Name: "colour"}
	g.must(nfs41.PutFH(f.fh), &get)
	if string(get.Value) != "blue" {
		t.Errorf("got %q", get.Value)
	}
	for i := range 20 {
		g.must(nfs41.PutFH(f.fh), &nfs41.SetXattr{Name: string(rune('a' + i)), Value: []byte{1}})
	}
	names := map[string]bool{}
	list := nfs41.ListXattrs{MaxCount: 64}
	for !list.EOF {
		g.must(nfs41.PutFH(f.fh), &list)
		for _, n := range list.Names {
			names[n] = true
		}
	}
	if len(names) != 21 || !names["colour"] {
		t.Errorf("listed %v", names)
	}
	g.must(nfs41.PutFH(f.fh), &nfs41.RemoveXattr{Name: "colour"})
	g.expect(nfs41.NFS4ERR_NOXATTR, nfs41.PutFH(f.fh), &get)
}
