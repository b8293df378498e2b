package clients

import (
	"fmt"
	"testing"

	"github.com/fsva/fsva/server/nfs/nfs4"
)

// from is an identity that comes over a connection of its own from host.
func from(host string, n int) Identity {
	id := identity(fmt.Sprint(host, " ", n), 1)
	id.Addr = fmt.Sprintf("%s:%d", host, 1024+n%60_000)
	return id
}

func TestMadeUpOwnersTakeNoRecordsOfOthers(t *testing.T) {
	w := newWorld(t)
	other := w.exchange(from("10.0.0.2", 0))
	for n := range maxClients {
		w.exchange(from("10.0.0.1", n))
	}
	w.createSession(other)
	w.createSession(w.exchange(from("10.0.0.3", 0)))
	w.createSession(w.exchange(from("10.0.0.1", maxClients))) // who shares the address mounts too
	if clients, _, _, _ := w.reg.Counts(); clients > maxUnconfirmedOfPeer+3 {
		t.Errorf("%d clients are remembered", clients)
	}
}

func TestSessionsOfMadeUpOwnersLeaveRecordsToOthers(t *testing.T) {
	w := newWorld(t)
	for n := range maxConfirmedOfPeer {
		w.createSession(w.exchange(from("10.0.0.1", n)))
	}
	_, err := w.reg.Exchange(from("10.0.0.1", maxConfirmedOfPeer), false)
	wantStatus(t, err, nfs4.ErrDelay)
	w.createSession(w.exchange(from("10.0.0.2", 0)))

	// Guests that are there already may restart.
	rebooted := from("10.0.0.1", 0)
	rebooted.Verifier[0]++
	c := w.createSession(w.exchange(rebooted)).Client

	// And one that goes makes room.
	if err := w.reg.DestroySession(c.sessions[0], 0); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, w.reg.DestroyClient(c.ID), nfs4.OK)
	w.createSession(w.exchange(from("10.0.0.1", maxConfirmedOfPeer)))
}

func TestAddressWithoutRecordsIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.createSession(w.exchange(from("10.0.0.1", 0)))
	w.exchange(from("10.0.0.2", 0))
	w.pass(idleLimit + testLease)
	if len(w.reg.peers) != 0 {
		t.Errorf("%d addresses are remembered", len(w.reg.peers))
	}
}
