package xen

import (
	"testing"

	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/server/p9/p9test"
)

// serve9P serves the devices of m with an export in memory.
func serve9P(m *machine) {
	m.t.Helper()
	srv := p9test.NewServer(m.t)
	(&service{}).run(m, func(Device) (Channel, error) { return srv.NewChannel("guest", p9.ChannelOptions{}), nil })
}

// Linux puts a request into the ring that its tag says, and so a Tflush into
// another one than what it flushes.
func TestRflushComesAfterTheReplyInAnotherRing(t *testing.T) {
	m := newMachine(t)
	serve9P(m)
	fe := m.attach(7, "")
	fe.connect()
	a, b := fe.rings[0], fe.rings[1]
	lock := func(tag uint16, client string) []byte {
		return p9test.Message(p9test.Tlock, tag, uint32(0), uint8(1), uint32(1), uint64(0), uint64(0), uint32(1), client)
	}
	for _, msg := range [][]byte{
		p9test.Message(p9test.Tversion, p9test.NoTag, uint32(8192), "9P2000.L"),
		p9test.Message(p9test.Tattach, 0, uint32(0), p9test.NoFID, "root", "data", uint32(0)),
		p9test.Message(p9test.Tlcreate, 0, uint32(0), "file", uint32(2), uint32(0o644), uint32(0)),
		lock(0, "holder"),
	} {
		a.send(t, msg)
		if reply := a.receive(t); reply[typePlace] != msg[typePlace]+1 {
			t.Fatalf("message of type %d is answered by % x", msg[typePlace], reply)
		}
	}
	for range 200 {
		a.put(lock(4, "waiter"))
		b.put(p9test.Message(p9test.Tflush, 5, uint16(4)))
		b.notify()
		a.notify()
		if reply := b.receive(t); reply[typePlace] != p9test.Tflush+1 {
			t.Fatalf("Tflush is answered by % x", reply)
		}
		if a.load(placeInProd) == a.inCons {
			t.Fatal("Rflush came before the reply to what it flushes")
		}
		if reply := a.receive(t); reply[typePlace] != p9test.Rlerror {
			t.Fatalf("a lock that was flushed is answered by % x", reply)
		}
	}
}
