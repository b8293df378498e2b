package xen

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"testing"
)

func TestFrontEndConnectsAndIsAnswered(t *testing.T) {
	m := newMachine(t)
	s := serve(m, echo)
	fe := m.attach(7, "/data")
	fe.connect()
	if d := wait(t, s.devices, "a device"); d != (Device{Domain: 7, Path: "/data", MaxMessage: 1 << 10}) {
		t.Errorf("the channel is for %+v", d)
	}
	for i, r := range fe.rings {
		if got := r.roundTrip(t, fmt.Sprint("ring ", i)); got != fmt.Sprint("ring ", i) {
			t.Errorf("ring %d answers %q", i, got)
		}
	}
	if v := m.daemon.get(fe.back + "/max-ring-page-order"); v != "9" {
		t.Errorf("max-ring-page-order is %q", v)
	}
	s.stop()
	if got := m.daemon.get(fe.back + "/state"); got != string(stateConnected) {
		t.Errorf("after the end the state is %q; the next back end could not go on", got)
	}
}

// Linux does not wake who finds a ring full.
func TestManyOfTheLongestRequestsFitIntoARing(t *testing.T) {
	for order, want := range map[uint32]uint32{9: 64 << 10, 6: 8 << 10, 0: 128} {
		m := newMachine(t)
		s := serve(m, echo)
		fe := m.attach(7, "")
		fe.order = order
		fe.connect()
		if d := wait(t, s.devices, "a device"); d.MaxMessage != want {
			t.Errorf("messages of %d bytes in rings of 2^%d pages, want %d", d.MaxMessage, order, want)
		}
		s.stop()
	}
}

func TestDevicesThatWereThereBeforeAreServed(t *testing.T) {
	m := newMachine(t)
	fe := m.attach(7, "")
	serve(m, echo)
	fe.connect()
	if got := fe.rings[0].roundTrip(t, "fine"); got != "fine" {
		t.Errorf("answer %q", got)
	}
}

func TestAnotherBackEndTakesUpTheRings(t *testing.T) {
	m := newMachine(t)
	first := serve(m, echo)
	fe := m.attach(7, "")
	fe.connect()
	fe.rings[0].roundTrip(t, "one")
	first.stop()
	serve(m, echo)
	fe.rings[0].send(t, message(1, "two"))
	if got := string(fe.rings[0].receive(t)[messageHeader:]); got != "two" {
		t.Errorf("answer %q", got)
	}
}

// A front end closes its device and comes back: by the book, as a Linux that
// loads its module again, and as one that has crashed and boots.
func TestFrontEndComesBack(t *testing.T) {
	for name, again := range map[string]func(fe *frontEnd){
		"by the book": func(fe *frontEnd) {
			fe.set(stateClosing)
			fe.await(stateClosing)
			fe.set(stateClosed)
			fe.await(stateInitWait)
			fe.set(stateInitialising)
		},
		"without saying so":   func(fe *frontEnd) { fe.set(stateClosed); fe.await(stateInitWait) },
		"after a crash":       func(fe *frontEnd) { fe.set(stateInitialising); fe.await(stateInitWait) },
		"with rings at once":  func(fe *frontEnd) { fe.set(stateClosed) },
		"module loaded again": func(fe *frontEnd) {},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t)
			s := serve(m, echo)
			fe := m.attach(7, "")
			fe.connect()
			fe.rings[0].roundTrip(t, "one")
			again(fe)
			fe.publish(2)
			wait(t, wait(t, s.channels, "a channel").Closed, "the end of the first channel")
			wait(t, s.channels, "another channel")
			fe.await(stateConnected)
			if got := fe.rings[1].roundTrip(t, "two"); got != "two" {
				t.Errorf("answer %q", got)
			}
			if lines := s.log.errors(); len(lines) != 0 {
				t.Errorf("log: %q", lines)
			}
		})
	}
}

func TestToolstackDetachesADevice(t *testing.T) {
	m := newMachine(t)
	s := serve(m, echo)
	fe, other := m.attach(7, ""), m.attach(8, "")
	fe.connect()
	other.connect()
	m.daemon.set(fe.back, "online", "0", "state", string(stateClosing))
	fe.set(stateClosed)
	fe.awaitRemoval()
	m.daemon.remove(fe.dir)
	if got := other.rings[0].roundTrip(t, "fine"); got != "fine" {
		t.Errorf("the other is answered %q", got)
	}
	again := m.attach(7, "")
	again.connect()
	if got := again.rings[0].roundTrip(t, "fine"); got != "fine" {
		t.Errorf("answer %q", got)
	}
	if lines := s.log.errors(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}

// What is above the device may be the toolstack's.
func TestDeviceIsRemovedWhereItsDirectoryMayNotBe(t *testing.T) {
	m := newMachine(t)
	s := serve(m, echo)
	fe := m.attach(7, "")
	m.daemon.mu.Lock()
	m.daemon.fixed = path.Dir(fe.back)
	m.daemon.mu.Unlock()
	fe.await(stateInitWait)
	m.daemon.remove(fe.dir)
	m.daemon.set(fe.back, "online", "0", "state", string(stateClosing))
	for !m.daemon.gone(fe.back) {
		wait(t, fe.changed, "the removal of "+fe.back)
	}
	if lines := s.log.errors(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}

// The toolstack removes the front end's tree of a domain that it destroys, and
// waits until the back end has removed its own.
func TestDomainIsDestroyedWhileItsRequestsWait(t *testing.T) {
	m := newMachine(t)
	s := serve(m, gateEcho(nil))
	fe, other := m.attach(7, ""), m.attach(8, "")
	fe.connect()
	other.connect()
	doomed := wait(t, s.channels, "a channel")
	if d := wait(t, s.devices, "a device"); d.Domain != 7 {
		doomed = wait(t, s.channels, "a channel")
	}
	for i := range 5 {
		fe.rings[0].send(t, message(uint16(i), "wait"))
	}
	m.daemon.remove(fe.dir)
	m.daemon.set(fe.back, "online", "0", "state", string(stateClosing))
	fe.awaitRemoval()
	wait(t, doomed.Closed, "the end of the channel")
	if got := other.rings[0].roundTrip(t, "fine"); got != "fine" {
		t.Errorf("the other is answered %q", got)
	}
}

// libxl closes the device of a dying domain itself, while the front end is there.
func TestToolstackClosesADeviceForItsBackEnd(t *testing.T) {
	m := newMachine(t)
	s := serve(m, gateEcho(nil))
	fe := m.attach(7, "")
	fe.connect()
	fe.rings[0].send(t, message(1, "wait"))
	m.daemon.set(fe.back, "state", string(stateClosed))
	fe.awaitRemoval()
	wait(t, wait(t, s.channels, "a channel").Closed, "the end of the channel")
	if lines := s.log.errors(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}

func TestDeviceOfWhichNothingIsToBeServedIsClosed(t *testing.T) {
	m := newMachine(t)
	s := &service{}
	s.run(m, func(d Device) (Channel, error) { return nil, errors.New("no export " + d.Path) })
	fe := m.attach(7, "/nothing")
	fe.await(stateInitWait)
	fe.publish(1)
	fe.await(stateClosing)
	if lines := s.log.errors(); len(lines) != 1 || !strings.Contains(lines[0], "no export /nothing") {
		t.Errorf("log: %q", lines)
	}
}

func TestServeFailsWhenXenstoreIsGone(t *testing.T) {
	m := newMachine(t)
	conn := m.daemon.connect(t, 1)
	b := newBackend(Config{}, conn, m)
	served := make(chan error, 1)
	go func() { served <- b.Serve(t.Context()) }()
	conn.Close()
	if err := wait(t, served, "the end"); err == nil || !strings.Contains(err.Error(), "xenstore") {
		t.Errorf("Serve: %v", err)
	}
}

func TestOpenOutsideOfXenSaysWhatIsMissing(t *testing.T) {
	if _, err := Open(Config{}); err == nil {
		t.Skip("this is a domain")
	} else if !strings.Contains(err.Error(), xenbusFile) || !strings.Contains(err.Error(), "modules xen-evtchn and xen-gntdev") {
		t.Errorf("Open: %v", err)
	}
}
