package xen

import (
	"context"
	"encoding/binary"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// message9P encodes a message of numbers, strings and bytes.
func message9P(typ uint8, tag uint16, fields ...any) []byte {
	b := append(make([]byte, 4), typ, byte(tag), byte(tag>>8))
	for _, f := range fields {
		if s, ok := f.(string); ok {
			f = append(binary.LittleEndian.AppendUint16(nil, uint16(len(s))), s...)
		}
		var err error
		if b, err = binary.Append(b, binary.LittleEndian, f); err != nil {
			panic(err)
		}
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)))
	return b
}

// serve9P serves the devices of m with an export in memory.
func serve9P(m *machine) {
	m.t.Helper()
	spec, err := export.Parse("data=mem:,squash=none")
	if err != nil {
		m.t.Fatal(err)
	}
	fs := mem.New(mem.Options{})
	table, err := export.NewTable([]*export.Export{export.New(1, spec, fs)})
	if err != nil {
		m.t.Fatal(err)
	}
	srv := p9.New(p9.Config{Exports: table, Locks: lock.NewTable(), Log: zerolog.Nop()})
	m.t.Cleanup(func() {
		if err := srv.Shutdown(context.Background()); err != nil {
			m.t.Error(err)
		}
		fs.Close()
	})
	(&service{}).run(m, func(Device) (Channel, error) { return srv.NewChannel("guest", p9.ChannelOptions{}), nil })
}

// Linux puts a request into the ring that its tag says, and so a Tflush into
// another one than what it flushes.
func TestRflushComesAfterTheReplyInAnotherRing(t *testing.T) {
	const tversion, tattach, tlcreate, tlock, rlerror, noFID = 100, 104, 14, 52, 7, ^uint32(0)
	m := newMachine(t)
	serve9P(m)
	fe := m.attach(7, "")
	fe.connect()
	a, b := fe.rings[0], fe.rings[1]
	lock := func(tag uint16, client string) []byte {
		return message9P(tlock, tag, uint32(0), uint8(1), uint32(1), uint64(0), uint64(0), uint32(1), client)
	}
	for _, msg := range [][]byte{
		message9P(tversion, 0xffff, uint32(8192), "9P2000.L"),
		message9P(tattach, 0, uint32(0), noFID, "root", "data", uint32(0)),
		message9P(tlcreate, 0, uint32(0), "file", uint32(2), uint32(0o644), uint32(0)),
		lock(0, "holder"),
	} {
		a.send(t, msg)
		if reply := a.receive(t); reply[typePlace] != msg[typePlace]+1 {
			t.Fatalf("message of type %d is answered by % x", msg[typePlace], reply)
		}
	}
	for range 200 {
		a.put(lock(4, "waiter"))
		b.put(message9P(tflush, 5, uint16(4)))
		b.notify()
		a.notify()
		if reply := b.receive(t); reply[typePlace] != tflush+1 {
			t.Fatalf("Tflush is answered by % x", reply)
		}
		if a.load(placeInProd) == a.inCons {
			t.Fatal("Rflush came before the reply to what it flushes")
		}
		if reply := a.receive(t); reply[typePlace] != rlerror {
			t.Fatalf("a lock that was flushed is answered by % x", reply)
		}
	}
}
