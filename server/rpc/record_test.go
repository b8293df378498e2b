package rpc_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/fsva/fsva/server/rpc"
)

// pattern returns n bytes in which a part that is lost, doubled or moved shows.
func pattern(n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func TestRecordMayBeSplitIntoFragmentsAnywhere(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c := serveOver(t, listen, rpc.Options{}, echo).dial(t)
		args := pattern(16)
		size := len(message(0, 1, args))
		xid := uint32(0)
		for i := range size + 1 {
			for j := i; j <= size; j += 1 + j%3 {
				xid++
				msg := message(xid, 1, args)
				c.send(fragment(msg[:i], false), fragment(msg[i:j], false), fragment(msg[j:], true))
				c.expect(success(xid, args))
			}
		}
	})
}

func TestLargeRecordMayComeInAnyFragments(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c := serveOver(t, listen, rpc.Options{}, echo).dial(t)
		rng := rand.New(rand.NewPCG(2, 2))
		for xid := range uint32(20) {
			args := pattern(4 * rng.IntN(100_000))
			var stream []byte
			for msg := message(xid, 1, args); len(msg) > 0; {
				n := min(len(msg), 1+rng.IntN(50_000))
				stream = append(stream, fragment(msg[:n], n == len(msg))...)
				msg = msg[n:]
			}
			c.send(stream)
			c.expect(success(xid, args))
		}
	})
}

// TestRecordsOfTheSizeThatIsReadAhead goes over the size, about 16 KiB, from which
// a record is read into memory of its own.
func TestRecordsOfTheSizeThatIsReadAhead(t *testing.T) {
	c := serve(t, rpc.Options{}, echo).dial(t)
	header := len(message(0, 0, nil))
	for size := 16<<10 - 16; size <= 16<<10+16; size += 4 {
		args := pattern(size - header)
		c.send(call(uint32(size), 1, args), call(1, 2, nil))
		c.expect(success(uint32(size), args))
		c.expect(success(1, nil))
	}
}

func TestRecordMayComeByteByByte(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c := serveOver(t, listen, rpc.Options{}, echo).dial(t)
		args := pattern(40)
		whole := append(call(1, 1, args), fragment(message(2, 1, args)[:33], false)...)
		whole = append(whole, fragment(message(2, 1, args)[33:], true)...)
		go func() {
			for i := range whole {
				c.Write(whole[i : i+1])
			}
		}()
		c.expect(success(1, args))
		c.expect(success(2, args))
	})
}

// TestSeveralCallsInOneSegment has segments end anywhere within a call.
func TestSeveralCallsInOneSegment(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		const calls = 200
		var stream []byte
		for xid := range uint32(calls) {
			stream = append(stream, call(xid, 1, pattern(4*int(xid)))...)
		}
		for _, segment := range []int{len(stream), 16 << 10, 4099, 61} {
			c := serveOver(t, listen, rpc.Options{}, echo).dial(t)
			go func() {
				for rest := stream; len(rest) > 0; {
					n, err := c.Write(rest[:min(segment, len(rest))])
					if err != nil {
						return
					}
					rest = rest[n:]
				}
			}()
			for xid := range uint32(calls) {
				c.expect(success(xid, pattern(4*int(xid))))
			}
		}
	})
}

func TestEmptyFragmentsAreSkipped(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		c := serveOver(t, listen, rpc.Options{}, echo).dial(t)
		args := pattern(8)
		msg := message(1, 1, args)
		empty := bytes.Repeat(fragment(nil, false), 100)
		c.send(empty, fragment(msg[:20], false), empty, fragment(msg[20:], false), empty, fragment(nil, true))
		c.expect(success(1, args))
		c.ping()
	})
}

func TestFragmentsWithoutEndEndTheConnectionAlone(t *testing.T) {
	s := serve(t, rpc.Options{}, echo)
	other := s.dial(t)
	other.ping()
	for name, f := range map[string][]byte{"empty": nil, "one byte": {0}} {
		t.Run(name, func(t *testing.T) {
			c := s.dial(t)
			c.send(bytes.Repeat(fragment(f, false), 100_000))
			c.expectEnd()
			other.ping()
		})
	}
}

func TestRecordOverMaxRecordEndsItsConnectionAlone(t *testing.T) {
	for name, max := range map[string]int{"large": 100_000, "small": 1000} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, rpc.Options{MaxRecord: max}, echo)
			other := s.dial(t)
			most := message(1, 1, pattern(max-len(message(0, 0, nil))))
			other.send(record(most))
			other.expect(success(1, most[40:]))
			half := len(most) / 2
			other.send(fragment(most[:half], false), fragment(most[half:], true))
			other.expect(success(1, most[40:]))

			tooMuch := append(most, 0)
			for name, stream := range map[string][]byte{
				"in one fragment":     record(tooMuch),
				"in two fragments":    append(fragment(tooMuch[:half], false), fragment(tooMuch[half:], true)...),
				"by its mark alone":   words(lastFragment | uint32(max+1)),
				"by the largest mark": words(lastFragment | (lastFragment - 1)),
			} {
				t.Run(name, func(t *testing.T) {
					c := s.dial(t)
					c.send(stream)
					c.expectEnd()
					other.ping()
				})
			}
		})
	}
}

// TestCallsBeforeWhatIsNoRecordAreAnswered: they were run, and the client
// should know.
func TestCallsBeforeWhatIsNoRecordAreAnswered(t *testing.T) {
	overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
		s := serveOver(t, listen, rpc.Options{MaxRecord: 1000}, echo)
		for name, bad := range map[string][]byte{
			"no message": record([]byte("no message")),
			"too long":   record(make([]byte, 1001)),
		} {
			t.Run(name, func(t *testing.T) {
				c := s.dial(t)
				c.send(call(1, 1, words(1)), call(2, 1, words(2)), bad)
				c.expect(success(1, words(1)))
				c.expect(success(2, words(2)))
				c.expectEnd()
			})
		}
	})
}
