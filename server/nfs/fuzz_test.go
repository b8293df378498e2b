package nfs_test

import (
	"errors"
	"testing"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/tests/nfs41"
)

// FuzzCompound sends any bytes as the operations of a COMPOUND, within a
// session and on an open file, and as a whole COMPOUND. Whatever they are, the
// server answers by an NFS status or GARBAGE_ARGS and goes on.
func FuzzCompound(f *testing.F) {
	ops := func(list ...nfs41.Op) []byte {
		var e xdr.Encoder
		for _, op := range list {
			e.Uint32(uint32(op.Num()))
			op.Encode(&e)
		}
		return e.Buf
	}
	f.Add(uint32(1), ops(&nfs41.GetAttr{Mask: nfs41.Mask(nfs41.AttrSize)}))
	f.Add(uint32(2), ops(&nfs41.SetAttr{Attrs: nfs41.Attrs{Mask: nfs41.Mask(nfs41.AttrSize, nfs41.AttrMode), Size: 5}}))
	f.Add(uint32(2), ops(&nfs41.Read{Count: 100}, &nfs41.Write{Data: []byte("abc")}))
	f.Add(uint32(2), ops(nfs41.PutRootFH{}, nfs41.Lookup("data"), &nfs41.ReadDir{MaxCount: 1000, Mask: nfs41.Mask(nfs41.AttrType)}))
	f.Add(uint32(1), ops(&nfs41.Open{Access: 3, Owner: []byte("o"), Create: nfs41.Exclusive41, Name: "x"}))
	f.Add(uint32(1), ops(&nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Owner: []byte("p")}))
	f.Add(uint32(2), ops(&nfs41.SetXattr{Name: "n", Value: []byte("v")}, &nfs41.ListXattrs{MaxCount: 100}))
	f.Add(uint32(2), ops(nfs41.SaveFH{}, &nfs41.Copy{Count: 1}, &nfs41.Seek{}, &nfs41.ReadPlus{Count: 9}))
	f.Add(uint32(1), ops(&nfs41.ExchangeID{Owner: []byte("x")}))
	f.Add(uint32(1), []byte{0, 0, 0, 9, 0xff, 0xff, 0xff, 0xff})

	rig := start(f)
	f.Fuzz(func(t *testing.T, minor uint32, in []byte) {
		rig.t = t
		g := rig.mount(nfs41.Config{})
		defer g.Close()
		open := g.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Create: nfs41.Unchecked, Name: "file"})
		send(t, g.Conns[0], func(e *xdr.Encoder) {
			e.String("")
			e.Uint32(minor % 4)
			e.Buf = append(e.Buf, in...)
		})
		slot := g.Slot()
		defer slot.Release()
		send(t, slot.Conn, func(e *xdr.Encoder) {
			e.String("")
			e.Uint32(1 + minor%2)
			e.Uint32(2 + uint32(len(in)/8))
			e.Uint32(uint32(nfs4.OpSequence))
			slot.Sequence.Encode(e)
			e.Uint32(uint32(nfs4.OpPutfh))
			e.Opaque(open.fh)
			e.Buf = append(e.Buf, in...)
		})
		slot.Sequence.Seq++
	})
}

// send sends a COMPOUND and fails if the server broke down over it.
func send(t *testing.T, c *nfs41.Conn, encode func(*xdr.Encoder)) {
	t.Helper()
	err := c.Call(nfs41.ProgramNFS, nfs41.VersionNFS4, nfs41.ProcCompound, encode, func(d *xdr.Decoder) { d.Fixed(d.Remaining()) })
	var refused *nfs41.RPCError
	if err != nil && (!errors.As(err, &refused) || refused.Accept != nfs41.GarbageArgs) {
		t.Fatal(err)
	}
}
