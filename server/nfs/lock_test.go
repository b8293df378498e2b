package nfs_test

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsva/fsva/tests/nfs41"
)

func TestLocksOfTwoGuestsExclude(t *testing.T) {
	r := start(t)
	a, b := r.mount(nfs41.Config{}), r.mount(nfs41.Config{})
	fa := a.create("f")
	fb := b.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"})

	held := nfs41.Lock{Type: nfs41.WriteLT, Offset: 10, Length: 10, Stateid: fa.sid, Owner: []byte("proc a")}
	a.must(nfs41.PutFH(fa.fh), &held)
	refused := nfs41.Lock{Type: nfs41.ReadLT, Offset: 0, Length: nfs41.ToEnd, Stateid: fb.sid, Owner: []byte("proc b")}
	b.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(fb.fh), &refused)
	if d := refused.Denied; d.Offset != 10 || d.Length != 10 || d.Type != nfs41.WriteLT || string(d.Owner) != "proc a" {
		t.Errorf("in the way: %+v", d)
	}
	test := nfs41.LockT{Type: nfs41.WriteLT, Offset: 15, Length: 1, Owner: []byte("proc b")}
	b.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(fb.fh), &test)
	test.Offset = 20
	b.must(nfs41.PutFH(fb.fh), &test)

	a.must(nfs41.PutFH(fa.fh), &nfs41.LockU{Type: nfs41.WriteLT, Stateid: held.LockStateid, Offset: 10, Length: 5})
	part := nfs41.Lock{Type: nfs41.WriteLT, Offset: 10, Length: 5, Stateid: fb.sid, Owner: []byte("proc b")}
	b.must(nfs41.PutFH(fb.fh), &part)
	b.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(fb.fh),
		&nfs41.Lock{Type: nfs41.WriteLT, Offset: 15, Length: 1, Stateid: part.LockStateid})
}

// The id of a client is what CREATE_SESSION wants to know of who makes a session
// of it: a denial tells it to the client itself and to no other.
func TestDenialKeepsTheHoldersClientIDFromOthers(t *testing.T) {
	r := start(t)
	a, b := r.mount(nfs41.Config{}), r.mount(nfs41.Config{})
	fa := a.create("f")
	fb := b.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"})
	a.must(nfs41.PutFH(fa.fh), &nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: fa.sid, Owner: []byte("p")})
	for name, tt := range map[string]struct {
		g    *guest
		f    file
		want uint64
	}{"another client": {b, fb, 0}, "the holder": {a, fa, a.ClientID}} {
		t.Run(name, func(t *testing.T) {
			lock := nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: tt.f.sid, Owner: []byte("q")}
			tt.g.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(tt.f.fh), &lock)
			test := nfs41.LockT{Type: nfs41.WriteLT, Length: 1, Owner: []byte("q")}
			tt.g.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(tt.f.fh), &test)
			if lock.Denied.ClientID != tt.want || test.Denied.ClientID != tt.want {
				t.Errorf("LOCK tells %#x, LOCKT %#x, want %#x", lock.Denied.ClientID, test.Denied.ClientID, tt.want)
			}
		})
	}
}

func TestImpossibleRangesAreRefused(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	for _, rng := range [][2]uint64{{0, 0}, {1 << 63, 1<<63 + 1}, {10, nfs41.ToEnd - 5}} {
		g.expect(nfs41.NFS4ERR_INVAL, nfs41.PutFH(f.fh),
			&nfs41.Lock{Type: nfs41.WriteLT, Offset: rng[0], Length: rng[1], Stateid: f.sid, Owner: []byte("p")})
	}
}

func TestLockNeedsAnOpenForIt(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	g.create("f")
	f := g.open(&nfs41.Open{Access: nfs41.ShareRead, Owner: []byte("reader"), Name: "f"})
	g.expect(nfs41.NFS4ERR_OPENMODE, nfs41.PutFH(f.fh),
		&nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: f.sid, Owner: []byte("p")})
}

func TestWaitingGuestIsToldWhenTheLockIsFree(t *testing.T) {
	r := start(t)
	told := make(chan []byte, 1)
	a := r.mount(nfs41.Config{})
	b := r.mount(nfs41.Config{OnCallback: func(op nfs41.CBOp) nfs41.Status {
		if n, ok := op.(*nfs41.CBNotifyLock); ok {
			told <- n.Owner
		}
		return nfs41.NFS4_OK
	}})
	fa := a.create("f")
	fb := b.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"})
	held := nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: fa.sid, Owner: []byte("a")}
	a.must(nfs41.PutFH(fa.fh), &held)
	want := nfs41.Lock{Type: nfs41.WriteWLT, Length: 1, Stateid: fb.sid, Owner: []byte("b")}
	b.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(fb.fh), &want)
	a.must(nfs41.PutFH(fa.fh), &nfs41.LockU{Type: nfs41.WriteLT, Stateid: held.LockStateid, Length: 1})
	select {
	case owner := <-told:
		if string(owner) != "b" {
			t.Errorf("CB_NOTIFY_LOCK for %q", owner)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no CB_NOTIFY_LOCK came")
	}
	b.must(nfs41.PutFH(fb.fh), &want)
}

// A guest that answers no callback can have others cause them as fast as they
// lock and unlock. It is told less then, and the server has no more to do.
func TestGuestThatAnswersNoCallbackIsToldLess(t *testing.T) {
	r := start(t)
	a, b := r.mount(nfs41.Config{}), r.mount(nfs41.Config{Conns: 2})
	stuck, done := make(chan struct{}), make(chan struct{})
	defer close(done)
	var first sync.Once
	b.Conns[1].HandleCallbacks(func(nfs41.CBOp) nfs41.Status {
		first.Do(func() { close(stuck) })
		<-done
		return nfs41.NFS4_OK
	})
	slot := b.Slot() // on the other connection
	if slot.Conn != b.Conns[0] {
		t.Fatal("the first slot is on the second connection")
	}
	defer slot.Release()

	fa := a.create("f")
	fb := b.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"})
	round := func() {
		held := nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: fa.sid, Owner: []byte("a")}
		a.must(nfs41.PutFH(fa.fh), &held)
		err := slot.Do(nfs41.PutFH(fb.fh), &nfs41.Lock{Type: nfs41.WriteWLT, Length: 1, Stateid: fb.sid, Owner: []byte("b")})
		if !errors.Is(err, nfs41.NFS4ERR_DENIED) {
			t.Fatal(err)
		}
		a.must(nfs41.PutFH(fa.fh), &nfs41.LockU{Type: nfs41.WriteLT, Stateid: held.LockStateid, Length: 1})
	}
	for told := false; !told; { // each goes over any connection
		round()
		select {
		case <-stuck:
			told = true
		default:
		}
	}
	before := runtime.NumGoroutine()
	for range 1000 {
		round()
	}
	if more := runtime.NumGoroutine() - before; more > 200 {
		t.Errorf("%d goroutines wait for a guest", more)
	}
}

// RFC 8881 §2.10.6.1 and §20.9: a callback whose connection ends comes again
// over another, and its sequence id is the one that the client expects, whether
// the client saw the first or not.
func TestCallbackOutlivesItsConnection(t *testing.T) {
	for name, seen := range map[string]bool{"before the client sees it": false, "before the reply": true} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			a, b := r.mount(nfs41.Config{}), r.mount(nfs41.Config{Conns: 2})
			var last atomic.Uint32 // sequence id of the back channel's slot
			var cut atomic.Bool
			told := make(chan struct{}, 4)
			for _, conn := range b.Conns {
				conn.HandleCallbacks(func(op nfs41.CBOp) nfs41.Status {
					s, ok := op.(*nfs41.CBSequence)
					if !ok {
						told <- struct{}{}
						return nfs41.NFS4_OK
					}
					first := cut.CompareAndSwap(false, true)
					if first {
						conn.Cut()
					}
					switch {
					case first && !seen:
						return nfs41.NFS4ERR_IO // nobody gets to know
					case s.Seq == last.Load():
						return nfs41.NFS4ERR_RETRY_UNCACHED_REP
					case s.Seq != last.Load()+1:
						return nfs41.NFS4ERR_SEQ_MISORDERED
					}
					last.Store(s.Seq)
					if first {
						return nfs41.NFS4ERR_IO
					}
					return nfs41.NFS4_OK
				})
			}
			fa := a.create("f")
			fb := b.open(&nfs41.Open{Access: nfs41.ShareBoth, Owner: []byte("o"), Name: "f"})
			held := nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: fa.sid, Owner: []byte("a")}
			a.must(nfs41.PutFH(fa.fh), &held)
			b.expect(nfs41.NFS4ERR_DENIED, nfs41.PutFH(fb.fh),
				&nfs41.Lock{Type: nfs41.WriteWLT, Length: 1, Stateid: fb.sid, Owner: []byte("b")})
			a.must(nfs41.PutFH(fa.fh), &nfs41.LockU{Type: nfs41.WriteLT, Stateid: held.LockStateid, Length: 1})
			select {
			case <-told:
			case <-time.After(10 * time.Second):
				t.Fatal("no CB_NOTIFY_LOCK came over the other connection")
			}
		})
	}
}

func TestFreeAndTestStateid(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	f := g.create("f")
	l := nfs41.Lock{Type: nfs41.WriteLT, Length: 1, Stateid: f.sid, Owner: []byte("p")}
	g.must(nfs41.PutFH(f.fh), &l)
	g.expect(nfs41.NFS4ERR_LOCKS_HELD, nfs41.FreeStateid(l.LockStateid))
	u := nfs41.LockU{Type: nfs41.WriteLT, Stateid: l.LockStateid, Length: nfs41.ToEnd}
	g.must(nfs41.PutFH(f.fh), &u)
	g.must(nfs41.FreeStateid(u.Stateid))
	test := nfs41.TestStateid{Stateids: []nfs41.Stateid{f.sid, u.Stateid, {}}}
	g.must(&test)
	for i, want := range []nfs41.Status{nfs41.NFS4_OK, nfs41.NFS4ERR_BAD_STATEID, nfs41.NFS4ERR_BAD_STATEID} {
		if test.Statuses[i] != want {
			t.Errorf("stateid %d: %v, want %v", i, test.Statuses[i], want)
		}
	}
}
