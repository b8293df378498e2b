package xen

import (
	"context"
	"testing"

	"github.com/fsva/fsva/server/p9/p9test"
)

// FuzzRing has a front end write whatever comes to a ring, to its interface page
// or to where requests are, in pieces, with an event after each. The back end
// must not panic, and at the end nothing is still mapped. Whatever it answers is
// not longer than the ring.
func FuzzRing(f *testing.F) {
	f.Add(uint8(0), []byte{0, 0}, message(1, "hello"))
	f.Add(uint8(0), []byte{placeOutProd, 12}, []byte{12, 0, 0, 0, 200, 1, 0})
	f.Add(uint8(3), []byte{placeInCons, 1}, message(1, "hello"))
	f.Add(uint8(1), []byte{placeOutProd, 255, placeOutProd + 3, 255}, []byte{255, 255, 255, 255, 116})
	f.Add(uint8(0), []byte{placeOrder, 10, placeRefs, 0}, []byte(nil))
	// Tread of all the bytes that there can be.
	read := append(message(1, "\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff"), 0)
	read[0], read[4] = byte(len(read)), tread
	f.Add(uint8(0), []byte{placeOutProd, byte(len(read))}, read)

	f.Fuzz(func(t *testing.T, order uint8, page, requests []byte) {
		m := newMachine(t)
		fe := &frontEnd{t: t, m: m, order: uint32(order % 4)}
		r := fe.newRing()
		connected := func() *session {
			s, err := connect(m, 7, []ringInfo{{r.ref, r.port}}, func(uint32) (Channel, error) {
				return p9test.NewChannel(fill), nil
			})
			if err != nil {
				m.free()
				return nil
			}
			return s
		}
		s := connected()
		if s == nil {
			t.Fatal("a good ring is not served")
		}
		r.put(requests[:min(len(requests), len(r.out))])
		r.notify()
		for i := 0; i+1 < len(page); i += 2 {
			r.page[page[i]] = page[i+1] // as the front end may, while we read
			r.notify()
		}
		s.end()
		m.free()
		// What is left there is what another back end would find.
		if s := connected(); s != nil {
			s.end()
			m.free()
		}
	})
}

// fill answers with as much as there is room for.
func fill(_ context.Context, _, out [][]byte) (int, error) { return len(out[0]), nil }
