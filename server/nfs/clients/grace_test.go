package clients

import (
	"sync"
	"testing"
	"time"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs/lock"
)

func TestGraceEndsWhenTheLastRecordedClientIsDone(t *testing.T) {
	w := newWorld(t)
	for _, owner := range []string{"a", "b"} {
		if _, _, err := w.open(w.client(owner), "o", "f", lock.ShareRead, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	if !w.reg.InGrace() {
		t.Fatal("no grace period with clients on record")
	}
	a := w.createSession(w.exchange(identity("a", 1))).Client
	wantStatus(t, a.CheckReclaim(), nfs4.OK)
	wantStatus(t, a.CheckGrant(), nfs4.ErrGrace)
	stranger := w.createSession(w.exchange(identity("c", 1))).Client
	wantStatus(t, stranger.CheckReclaim(), nfs4.ErrReclaimBad)
	wantStatus(t, a.ReclaimComplete(), nfs4.OK)
	wantStatus(t, a.ReclaimComplete(), nfs4.ErrCompleteAlready)
	wantStatus(t, a.CheckReclaim(), nfs4.ErrNoGrace)
	if !w.reg.InGrace() {
		t.Fatal("grace ended before b was done")
	}
	b := w.createSession(w.exchange(identity("b", 2))).Client // rebooted meanwhile
	wantStatus(t, b.ReclaimComplete(), nfs4.OK)
	if w.reg.InGrace() {
		t.Fatal("grace goes on with nobody to wait for")
	}
	wantStatus(t, a.CheckGrant(), nfs4.OK)
}

func TestClientThatMissesGraceLosesItsClaim(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.open(w.client("a"), "o", "f", lock.ShareRead, 0); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.pass(testLease + time.Second)
	if w.reg.InGrace() {
		t.Fatal("grace period does not end")
	}
	w.restart()
	if w.reg.InGrace() {
		t.Error("the record of a client that missed its grace period survived")
	}
}

// The end of the period may come while the last one says that it is done.
func TestClientThatIsDoneAsGraceEndsStaysOnRecord(t *testing.T) {
	w := newWorld(t)
	w.client("a")
	for range 20 {
		w.restart()
		a := w.createSession(w.exchange(identity("a", 1))).Client
		var end sync.WaitGroup
		end.Go(func() { w.reg.EndGrace() })
		wantStatus(t, a.ReclaimComplete(), nfs4.OK)
		end.Wait()
		if recorded, _ := w.store.Clients(); len(recorded) != 1 {
			t.Fatalf("on record are %v", recorded)
		}
	}
}

func TestSecondRestartWithinGraceKeepsTheClaims(t *testing.T) {
	w := newWorld(t)
	if _, _, err := w.open(w.client("a"), "o", "f", lock.ShareRead, 0); err != nil {
		t.Fatal(err)
	}
	w.restart()
	w.createSession(w.exchange(identity("a", 1)))
	w.restart()
	a := w.createSession(w.exchange(identity("a", 1))).Client
	wantStatus(t, a.CheckReclaim(), nfs4.OK)
}

// As long as one client is at it, all who were on record stay there, also those
// that are done and have to wait in silence: the server may die once more.
func TestGraceLastsWhileClientsReclaimAndForgetsNobody(t *testing.T) {
	w := newWorld(t)
	for _, owner := range []string{"a", "b", "c"} {
		if _, _, err := w.open(w.client(owner), "o", "f", lock.ShareRead, 0); err != nil {
			t.Fatal(err)
		}
	}
	w.restart()
	w.client("a") // reclaims nothing
	b := w.createSession(w.exchange(identity("b", 1))).Client
	w.pass(testLease - time.Second)
	wantStatus(t, b.CheckReclaim(), nfs4.OK)
	w.pass(4 * time.Second)
	if !w.reg.InGrace() {
		t.Fatal("the grace period ended while a client reclaimed")
	}
	if recorded, _ := w.store.Clients(); len(recorded) != 3 {
		t.Errorf("on record are %v", recorded)
	}
	w.pass(graceLimit * testLease)
	if w.reg.InGrace() {
		t.Error("the grace period does not end")
	}
}
