package virtio

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// ringFeatures are the kinds of rings that a driver can negotiate.
var ringFeatures = map[string]uint64{
	"plain":       features &^ (featureIndirect | featureEventIndex),
	"event index": features,
}

// overEach runs a test over each kind of ring, which runs.
func overEach(t *testing.T, do func(context.Context, [][]byte, [][]byte) (int, error), test func(*testing.T, *frontEnd)) {
	for name, f := range ringFeatures {
		t.Run(name, func(t *testing.T) {
			fe := serve(t, do).connect(t)
			fe.features = f
			fe.start()
			test(t, fe)
		})
	}
}

func TestRequestIsAnsweredInItsBuffers(t *testing.T) {
	overEach(t, echo, func(t *testing.T, fe *frontEnd) {
		for _, want := range []string{"one", "and another", ""} {
			if got := fe.roundTrip(0, want); got != want {
				t.Errorf("%q is answered by %q", want, got)
			}
		}
	})
}

// 65536 is where the indexes start again from zero.
func TestRingGoesRoundItsIndexes(t *testing.T) {
	overEach(t, echo, func(t *testing.T, fe *frontEnd) {
		for i := range 65536 + 1000 {
			want := fmt.Sprint(i)
			if got := fe.roundTrip(i%32*2, want); got != want {
				t.Fatalf("%q is answered by %q", want, got)
			}
		}
	})
}

func TestLongIndirectChainIsGatheredAndScattered(t *testing.T) {
	fe := serve(t, echo).connect(t)
	fe.start()
	// More entries than the ring has, as of Linux, in any order, and with empty
	// buffers.
	const pieces = 127
	table := fe.mem[tablePlace:][:tableSize]
	want := strings.Repeat("0123456789abcdefghijkl", 100)[:pieces*16]
	for i := range pieces {
		at := (i * 7 % pieces) * 32
		copy(fe.mem[requestPlace+at:], want[i*16:][:16])
		put(table, i, descriptor{guestAddr(requestPlace + at), 16, flagNext, uint16(i) + 1})
		put(table, pieces+1+i, descriptor{guestAddr(replyPlace + at), 16, flagWrite | flagNext, uint16(pieces+1+i) + 1})
	}
	put(table, pieces, descriptor{0, 0, flagNext, pieces + 1})
	put(table, 2*pieces+1, descriptor{^uint64(0), 0, flagWrite, 0})
	put(fe.desc, 5, descriptor{guestAddr(tablePlace), (2*pieces + 2) * descriptorSize, flagIndirect | flagWrite, 0})
	fe.offer(5)
	head, n := fe.wait()
	if head != 5 || int(n) != len(want) {
		t.Fatalf("chain %d with %d bytes", head, n)
	}
	var got strings.Builder
	for i := range pieces {
		got.Write(fe.mem[replyPlace+(i*7%pieces)*32:][:16])
	}
	if got.String() != want {
		t.Errorf("answered by %q", got.String())
	}
}

func TestDirectDescriptorsMayPrecedeAnIndirectOne(t *testing.T) {
	fe := serve(t, echo).connect(t)
	fe.start()
	fe.prepare(0, "direct")
	put(fe.desc, 1, descriptor{guestAddr(tablePlace), descriptorSize, flagIndirect, 0})
	put(fe.mem[tablePlace:], 0, descriptor{guestAddr(replyPlace), 4, flagWrite, 0})
	fe.offer(0)
	if _, n := fe.wait(); string(fe.reply(0)[:n]) != "dire" {
		t.Errorf("answered by %q", fe.reply(0)[:n])
	}
}

func TestBufferMayGoFromOneRegionIntoTheNext(t *testing.T) {
	fe := serve(t, echo).connect(t)
	fe.start()
	want := "on both sides of the border"
	copy(fe.mem[halfSize-10:], want)
	put(fe.desc, 0, descriptor{guestAddr(halfSize - 10), uint32(len(want)), flagNext, 1})
	put(fe.desc, 1, descriptor{guestAddr(replyPlace), 100, flagWrite, 0})
	fe.offer(0)
	if _, n := fe.wait(); string(fe.mem[replyPlace:][:n]) != want {
		t.Errorf("answered by %q", fe.mem[replyPlace:][:n])
	}
}

func TestRequestsAreAnsweredSideBySideInAnyOrder(t *testing.T) {
	const n = 8
	var gates [n]chan struct{}
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	begun := make(chan struct{}, n)
	s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
		begun <- struct{}{}
		<-gates[in[0][0]]
		return echo(ctx, in, out)
	})
	fe := s.connect(t)
	fe.start()
	for i := range n {
		fe.prepare(2*i, string(rune(i)))
		fe.offer(2 * i)
	}
	for range n {
		wait(t, begun, "a request among others")
	}
	for _, i := range []int{3, 7, 0, 5, 1, 6, 2, 4} {
		close(gates[i])
		if head, _ := fe.wait(); head != 2*i {
			t.Errorf("chain %d came back instead of %d", head, 2*i)
		}
	}
}

func TestNoMoreRequestsAreInFlightThanAllowed(t *testing.T) {
	const limit = 3
	begun, gate := make(chan struct{}, 8), make(chan struct{})
	s := serveConfig(t, Config{MaxInFlight: limit}, func(ctx context.Context, in, out [][]byte) (int, error) {
		begun <- struct{}{}
		<-gate
		return echo(ctx, in, out)
	})
	fe := s.connect(t)
	fe.start()
	for i := range 8 {
		fe.prepare(2*i, "x")
		fe.offer(2 * i)
	}
	for range limit {
		wait(t, begun, "a request")
	}
	// The ring can be paused though its loop waits for a worker, and then what
	// was not begun is still there.
	fe.must(reqSetVringEnable, vringStatePayload(0, 0))
	if len(begun) > 0 {
		t.Error("more requests have begun")
	}
	close(gate)
	for range limit {
		fe.wait()
	}
	fe.must(reqSetVringEnable, vringStatePayload(0, 1))
	for range 8 - limit {
		fe.wait()
	}
}

func TestNotificationsAreSuppressedWhileNobodyWaits(t *testing.T) {
	overEach(t, echo, func(t *testing.T, fe *frontEnd) {
		// The device is not told until all are there, and works through them.
		for i := range 32 {
			fe.prepare(2*i, "x")
			fe.offerQuietly(2 * i)
		}
		fe.notify()
		for range 32 {
			fe.wait()
		}
		if fe.kicks != 1 {
			t.Errorf("%d kicks", fe.kicks)
		}
	})
}

func TestInterruptIsSentOnlyIfAskedFor(t *testing.T) {
	for name, test := range map[string]struct {
		features uint64
		used     uint16 // index of the ring before
		event    uint16 // used_event
		flags    uint16
		want     bool
	}{
		"event is this one":             {features, 7, 7, 0, true},
		"event is a later one":          {features, 7, 8, 0, false},
		"event is an earlier one":       {features, 7, 6, 0, false},
		"event at the wraparound":       {features, 65535, 65535, 0, true},
		"flags do not count with event": {features, 7, 7, flagNoInterrupt, true},
		"no event index":                {features &^ featureEventIndex, 7, 0, 0, true},
		"no event index, not wanted":    {features &^ featureEventIndex, 7, 0, flagNoInterrupt, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := emptyRing(4, test.features)
			r.usedNext = test.used
			r.avail[0] = byte(test.flags)
			r.avail[ringHeader+4*availEntry] = byte(test.event)
			r.avail[ringHeader+4*availEntry+1] = byte(test.event >> 8)
			if got := r.push(0, 0); got != test.want {
				t.Errorf("interrupt: %v", got)
			}
		})
	}
}

// emptyRing is a ring outside of any memory.
func emptyRing(size int, features uint64) *ring {
	return &ring{
		mem:        &memory{},
		size:       uint16(size),
		desc:       make([]byte, descriptorSize*size),
		avail:      make([]byte, ringHeader+availEntry*size+ringTrailer),
		used:       make([]byte, ringHeader+usedEntry*size+ringTrailer),
		eventIndex: features&featureEventIndex != 0,
		indirect:   features&featureIndirect != 0,
	}
}

// What follows the used ring is not the ring's, though it is in the same word.
func TestAskingForNotificationKeepsWhatFollowsTheRing(t *testing.T) {
	r := emptyRing(4, features)
	end := r.used[len(r.used)-2:]
	end[0], end[1] = 0x12, 0x34
	r.next = 0xabcd
	r.listen()
	if end[0] != 0x12 || end[1] != 0x34 {
		t.Errorf("bytes behind the ring are now % x", end)
	}
	if got := r.load16(r.used, ringHeader+4*usedEntry); got != 0xabcd {
		t.Errorf("avail_event is %#x", got)
	}
}
