package guest_test

import (
	"testing"
	"time"

	"github.com/fsva/fsva/tests/guest"
)

// moment is how long a guest may take for something that waits for nothing.
const moment = time.Minute

// pair is a file that two guests lock.
type pair struct {
	srv  *guest.Appliance
	a, b *guest.Guest
	file string
}

// bothVersions runs f in a subtest for each version, with two new guests.
func bothVersions(t *testing.T, f func(t *testing.T, p pair)) {
	t.Helper()
	t.Parallel()
	n := guest.NewNetwork(t)
	_, export := guest.Dir(t, "data")
	srv := guest.StartAppliance(t, n, export)
	for _, vers := range []string{"4.1", "4.2"} {
		t.Run(vers, func(t *testing.T) {
			// The guests before may still have locks, so that each pair has
			// its own file.
			p := pair{srv: srv, a: guest.Boot(t, n), b: guest.Boot(t, n), file: "/mnt/1/v" + vers}
			for _, g := range []*guest.Guest{p.a, p.b} {
				g.Mount(t, srv, "vers="+vers, "/data", "/mnt/1")
			}
			f(t, p)
		})
	}
}

// hold returns when the guest has the lock. It keeps it until the command is
// killed.
func (p pair) hold(t *testing.T, g *guest.Guest) *guest.Command {
	t.Helper()
	c := p.wait(t, g)
	c.WaitFor(t, "locked", moment)
	return c
}

// wait makes the guest wait for the lock, and say "locked" when it has it.
func (p pair) wait(t *testing.T, g *guest.Guest) *guest.Command {
	t.Helper()
	c := g.Start(t, "echo waiting; exec "+guest.Program(t, "locker")+" hold "+p.file)
	c.WaitFor(t, "waiting", moment)
	return c
}

// try takes the lock if it is free: it returns "locked\n" or "busy\n".
func (p pair) try(t *testing.T, g *guest.Guest) string {
	t.Helper()
	return g.Start(t, guest.Program(t, "locker")+" try "+p.file).Wait(t, recovery)
}

func TestOneGuestHasTheLockAndAnotherWaitsForIt(t *testing.T) {
	bothVersions(t, func(t *testing.T, p pair) {
		held := p.hold(t, p.a)
		if got := p.try(t, p.b); got != "busy\n" {
			t.Fatalf("the other guest finds the lock %q", got)
		}
		waiting := p.wait(t, p.b)
		held.Kill()                                  // closes the file
		waiting.WaitFor(t, "locked", 90*time.Second) // the client asks again after at most 30 s
		if got := p.try(t, p.a); got != "busy\n" {
			t.Errorf("the first guest finds the lock %q", got)
		}
	})
}

func TestGuestsThatCountUnderALockLoseNoCount(t *testing.T) {
	bothVersions(t, func(t *testing.T, p pair) {
		count := guest.Program(t, "locker") + " count " + p.file + " 30"
		a, b := p.a.Start(t, count), p.b.Start(t, count)
		a.Wait(t, 2*time.Minute)
		b.Wait(t, 2*time.Minute)
		if got := p.a.Run(t, "cat "+p.file); got != "60" {
			t.Errorf("two guests counted to %s instead of 60", got)
		}
	})
}

func TestGuestsThatCountUnderALockSurviveACrashOfTheServer(t *testing.T) {
	bothVersions(t, func(t *testing.T, p pair) {
		count := guest.Program(t, "locker") + " count " + p.file + " 200"
		a, b := p.a.Start(t, count), p.b.Start(t, count)
		p.srv.Crash(t)
		if !a.Running() || !b.Running() {
			t.Fatal("they were done before the crash: it proves nothing")
		}
		a.Wait(t, 2*time.Minute+recovery)
		b.Wait(t, 2*time.Minute+recovery)
		if got := p.a.Run(t, "cat "+p.file); got != "400" {
			t.Errorf("two guests counted to %s instead of 400", got)
		}
	})
}

func TestLockOfADeadGuestGoesToTheOneThatWaits(t *testing.T) {
	bothVersions(t, func(t *testing.T, p pair) {
		p.hold(t, p.a)
		waiting := p.wait(t, p.b)
		p.a.Kill()
		waiting.WaitFor(t, "locked", 3*guest.Lease+moment)
	})
}

func TestLockIsStillHeldAfterACrashOfTheServer(t *testing.T) {
	bothVersions(t, func(t *testing.T, p pair) {
		held := p.hold(t, p.a)
		p.srv.Crash(t)
		if got := p.try(t, p.b); got != "busy\n" {
			t.Fatalf("the other guest finds the lock %q", got)
		}
		held.Kill()
		if got := p.try(t, p.b); got != "locked\n" {
			t.Errorf("after the holder closed it, the lock is %q", got)
		}
	})
}
