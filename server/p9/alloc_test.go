package p9

import (
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// TestGetattrAllocatesNothing: it is half of what guests ask for.
func TestGetattrAllocatesNothing(t *testing.T) {
	b := serving(t, "")
	s := newSession(b.Server, "guest", t.Context())
	defer s.close()
	r := &request{s: s, base: t.Context(), ctx: t.Context(), mem: rpc.GetBuffer(replyBuffer)}
	defer r.mem.Release()
	do := func(msg []byte) {
		r.out.buf = r.mem.B[:0]
		r.parse(msg)
		r.answer(maxMsize)
		if msgType(r.out.buf[4]) == rlerror {
			t.Fatalf("errno %d", r.out.buf[headerSize])
		}
		r.finish()
	}
	do(message(tversion, 1, uint32(maxMsize), dialect))
	do(message(tattach, 1, uint32(0), uint32(noFID), "", "data", uint32(0)))
	msg := message(tgetattr, 1, uint32(0), uint64(getattrBasic))
	if n := testing.AllocsPerRun(1000, func() { do(msg) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
