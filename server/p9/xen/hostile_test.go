package xen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// TestHostileRingEndsTheDevice: what a front end does to its rings costs it its
// own device, with one line in the log, until it resets it. Another domain's
// goes on.
func TestHostileRingEndsTheDevice(t *testing.T) {
	size := func(n uint32) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, n), 200, 1, 0, 0, 0, 0)
	}
	for name, test := range map[string]struct {
		log string
		do  func(r *frontRing)
	}{
		"request without a header":       {"request of 6 bytes", func(r *frontRing) { r.put(size(6)) }},
		"request of nothing":             {"request of 0 bytes", func(r *frontRing) { r.put(size(0)) }},
		"request longer than the ring":   {"in a ring of 16384", func(r *frontRing) { r.put(size(16385)) }},
		"request of 4 GiB":               {"request of 4294967295 bytes", func(r *frontRing) { r.put(size(1<<32 - 1)) }},
		"more requests than fit":         {errRequests.Error(), func(r *frontRing) { r.word(placeOutProd, 16385) }},
		"requests before those consumed": {errRequests.Error(), func(r *frontRing) { r.word(placeOutProd, ^uint32(0)) }},
		"replies consumed before they came": {errReplies.Error(), func(r *frontRing) {
			r.word(placeInCons, 1)
			r.put(message(1, "answer me"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := serve(m, echo)
			fe, other := m.attach(7, ""), m.attach(8, "")
			fe.connect()
			other.connect()
			test.do(fe.rings[1])
			fe.rings[1].notify()
			fe.await(stateClosing)
			checkBroken(t, s, test.log)
			if got := other.rings[0].roundTrip(t, "fine"); got != "fine" {
				t.Errorf("the other is answered %q", got)
			}
			fe.set(stateClosed)
			fe.connect()
			if got := fe.rings[1].roundTrip(t, "fine"); got != "fine" {
				t.Errorf("after a reset the answer is %q", got)
			}
		})
	}
}

// checkBroken checks the one line in the log.
func checkBroken(t *testing.T, s *service, want string) {
	t.Helper()
	if lines := s.log.errors(); len(lines) != 1 || !strings.Contains(lines[0], want) {
		t.Errorf("log: %q, want one line with %q", lines, want)
	}
}

// A front end may write over indexes that are the back end's. Nobody reads them.
func TestIndexesOfTheBackEndAreItsOwn(t *testing.T) {
	m := newMachine(t)
	serve(m, echo)
	fe := m.attach(7, "")
	fe.connect()
	r := fe.rings[0]
	r.word(placeOutCons, 12345)
	r.word(placeInProd, 54321)
	r.put(message(1, "fine"))
	r.notify()
	for r.load(placeInProd) != uint32(messageHeader+len("fine")) {
		wait(t, r.toFront, "a reply")
	}
	if got := string(r.receive(t)[messageHeader:]); got != "fine" {
		t.Errorf("answer %q", got)
	}
}

// TestImpossibleRingsAreRefused: what a front end announces is checked before
// anything is mapped, or nothing of it stays mapped.
func TestImpossibleRingsAreRefused(t *testing.T) {
	set := func(key, value string) func(fe *frontEnd) {
		return func(fe *frontEnd) { fe.m.daemon.set(fe.dir, key, value) }
	}
	for name, test := range map[string]struct {
		log string
		do  func(fe *frontEnd)
	}{
		"another version":          {`version \"2\"`, set("version", "2")},
		"no rings":                 {"0 rings", set("num-rings", "0")},
		"too many rings":           {"9 rings", set("num-rings", "9")},
		"rings without number":     {`num-rings is \"many\"`, set("num-rings", "many")},
		"negative grant":           {`ring-ref0 is \"-1\"`, set("ring-ref0", "-1")},
		"grant of nothing":         {"has no grant 4000000000", set("ring-ref1", "4000000000")},
		"ring that is not told of": {"ring-ref2", set("num-rings", "3")},
		"channel of nothing":       {"has no event channel 4000000000", set("event-channel-0", "4000000000")},
		"ring of 2^10 pages":       {"ring of 2^10 pages", func(fe *frontEnd) { fe.rings[0].word(placeOrder, 10) }},
		"ring of 2^32-1 pages":     {"ring of 2^4294967295 pages", func(fe *frontEnd) { fe.rings[0].word(placeOrder, 1<<32-1) }},
		"data that is not granted": {"has no grant 0", func(fe *frontEnd) { fe.rings[1].word(placeRefs, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := serve(m, echo)
			fe := m.attach(7, "")
			fe.await(stateInitWait)
			fe.makeRings(2)
			m.daemon.set(fe.dir, "version", "1", "num-rings", "2")
			for i, r := range fe.rings {
				m.daemon.set(fe.dir, fmt.Sprint("ring-ref", i), fmt.Sprint(r.ref), fmt.Sprint("event-channel-", i), fmt.Sprint(r.port))
			}
			test.do(fe)
			fe.set(stateInitialised)
			fe.await(stateClosing)
			checkBroken(t, s, test.log)
			m.free()
			fe.set(stateClosed)
			fe.connect()
			if got := fe.rings[0].roundTrip(t, "fine"); got != "fine" {
				t.Errorf("after a reset the answer is %q", got)
			}
		})
	}
}

// Memory that a domain took back is like a file that has become shorter.
func TestGrantsThatVanishEndTheDevice(t *testing.T) {
	m := newMachine(t)
	s := serve(m, echo)
	fe := m.attach(7, "")
	fe.connect()
	if err := m.memory.Truncate(0); err != nil {
		t.Fatal(err)
	}
	fe.rings[0].notify()
	fe.await(stateClosing)
	checkBroken(t, s, errGone.Error())
}

// A domain that breaks its device again and again does not fill the log.
func TestDeviceThatBreaksOftenLogsLittle(t *testing.T) {
	m := newMachine(t)
	s := &service{}
	s.run(m, func(Device) (Channel, error) { return nil, errors.New("no") })
	fe := m.attach(7, "")
	fe.order = 0
	for range 5 * logBurst {
		fe.await(stateInitWait)
		fe.publish(1)
		fe.await(stateClosing)
		fe.set(stateClosed)
	}
	if n := len(s.log.errors()); n == 0 || n > 2*logBurst { // a minute may begin in between
		t.Errorf("%d lines", n)
	}
}
