package nfs_test

import (
	"errors"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/tests/nfs41"
)

// RFC 8881 §2.10.6: a request sent again is answered from the slot and not
// executed again.
func TestRequestSentAgainIsAnsweredFromItsSlot(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	slot := g.Slot()
	defer slot.Release()
	slot.Sequence.CacheThis = true
	mkdir := func() (nfs41.ChangeInfo, error) {
		c := nfs41.Create{Type: nfs41.TypeDir, Name: "once"}
		err := slot.Do(nfs41.PutFH(g.root), &c)
		return c.Change, err
	}
	first, err := mkdir()
	if err != nil {
		t.Fatal(err)
	}
	slot.Sequence.Seq--
	again, err := mkdir()
	if err != nil || again != first {
		t.Errorf("sent again: %v, %v; first time %v", again, err, first)
	}
	if _, err := mkdir(); !errors.Is(err, nfs41.NFS4ERR_EXIST) {
		t.Errorf("as a new request: %v", err)
	}
}

func TestReplyThatWasNotKeptIsNotMadeUp(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	slot := g.Slot()
	defer slot.Release()
	mkdir := &nfs41.Create{Type: nfs41.TypeDir, Name: "once"}
	if err := slot.Do(nfs41.PutFH(g.root), mkdir); err != nil {
		t.Fatal(err)
	}
	slot.Sequence.Seq--
	err := slot.Do(nfs41.PutFH(g.root), mkdir)
	if !errors.Is(err, nfs41.NFS4ERR_RETRY_UNCACHED_REP) {
		t.Errorf("got %v", err)
	}
}

func TestSlotsRefuseWhatIsOutOfOrder(t *testing.T) {
	g := start(t).mount(nfs41.Config{})
	for name, tt := range map[string]struct {
		spoil func(*nfs41.Sequence)
		want  nfs41.Status
	}{
		"sequence id two ahead": {func(s *nfs41.Sequence) { s.Seq += 2 }, nfs41.NFS4ERR_SEQ_MISORDERED},
		"slot out of range":     {func(s *nfs41.Sequence) { s.Slot = 1 << 20 }, nfs41.NFS4ERR_BADSLOT},
		"highest below slot":    {func(s *nfs41.Sequence) { s.Slot, s.Highest = 5, 2 }, nfs41.NFS4ERR_BAD_HIGH_SLOT},
		"unknown session":       {func(s *nfs41.Sequence) { s.Session[0]++ }, nfs41.NFS4ERR_BADSESSION},
	} {
		t.Run(name, func(t *testing.T) {
			slot := g.Slot()
			good := slot.Sequence
			defer func() { slot.Sequence = good; slot.Release() }()
			tt.spoil(&slot.Sequence)
			if err := slot.Do(nfs41.PutRootFH{}); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// RFC 8881 §2.10.5: several connections carry one session.
func TestSessionIsServedOnAllItsConnections(t *testing.T) {
	g := start(t).mount(nfs41.Config{Conns: 4})
	for range 4 * len(g.Conns) {
		g.must(nfs41.PutRootFH{})
	}
	if g.Fore.MaxRequests < 64 {
		t.Errorf("%d slots were granted, want at least 64", g.Fore.MaxRequests)
	}
}

// A client that makes and destroys sessions over one connection must not make
// the server keep them for as long as that lasts.
func TestDestroyedSessionIsForgottenByItsConnection(t *testing.T) {
	r := start(t)
	conn, err := nfs41.Dial(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	id := nfs41.ExchangeID{Owner: []byte("x")}
	channel := nfs41.ChannelAttrs{MaxRequest: 4096, MaxReply: 4096, MaxOps: 8, MaxRequests: 8}
	create := nfs41.CreateSession{Fore: channel, Back: channel}
	for _, op := range []nfs41.Op{&id, &create} {
		create.ClientID, create.Seq = id.ClientID, id.Seq
		if err := conn.Do(&nfs41.Compound{Minor: 1, Ops: []nfs41.Op{op}}); err != nil {
			t.Fatal(err)
		}
	}
	session := weak.Make(r.server.Clients().Session(nfs4.SessionID(create.Session)))
	if err := conn.Do(&nfs41.Compound{Minor: 1, Ops: []nfs41.Op{nfs41.DestroySession(create.Session)}}); err != nil {
		t.Fatal(err)
	}
	for range 10 { // a pool may keep it for two collections
		if runtime.GC(); session.Value() == nil {
			return
		}
	}
	t.Error("the session is still in memory")
}

func TestCompoundHasItsOrder(t *testing.T) {
	r := start(t)
	g := r.mount(nfs41.Config{})
	g.expect(nfs41.NFS4ERR_SEQUENCE_POS, nfs41.PutRootFH{}, &nfs41.Sequence{Session: g.ID, Seq: 1})
	g.expect(nfs41.NFS4ERR_CLIENTID_BUSY, nfs41.DestroyClientID(g.ClientID))
	g.expect(nfs41.NFS4ERR_NOFILEHANDLE, &nfs41.GetFH{})
	g.expect(nfs41.NFS4ERR_NOFILEHANDLE, nfs41.RestoreFH{})

	conn, err := nfs41.Dial(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, tt := range map[string]struct {
		c    nfs41.Compound
		want nfs41.Status
	}{
		"no SEQUENCE":   {nfs41.Compound{Minor: 1, Ops: []nfs41.Op{nfs41.PutRootFH{}}}, nfs41.NFS4ERR_OP_NOT_IN_SESSION},
		"not alone":     {nfs41.Compound{Minor: 1, Ops: []nfs41.Op{&nfs41.ExchangeID{Owner: []byte("x")}, nfs41.PutRootFH{}}}, nfs41.NFS4ERR_NOT_ONLY_OP},
		"minor version": {nfs41.Compound{Minor: 7, Ops: []nfs41.Op{nfs41.PutRootFH{}}}, nfs41.NFS4ERR_MINOR_VERS_MISMATCH},
		"no such op":    {nfs41.Compound{Minor: 1, Ops: []nfs41.Op{&nfs41.RawOp{Op: 2}}}, nfs41.NFS4ERR_OP_ILLEGAL},
		"op of 4.2":     {nfs41.Compound{Minor: 1, Ops: []nfs41.Op{&nfs41.RawOp{Op: nfs41.OpSeek}}}, nfs41.NFS4ERR_OP_ILLEGAL},
	} {
		t.Run(name, func(t *testing.T) {
			if err := conn.Do(&tt.c); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestStateProtectionIsRefused(t *testing.T) {
	r := start(t)
	conn, err := nfs41.Dial(r.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	// Without Kerberos no machine credential protects anything: to promise
	// it would be a lie (RFC 8881 §18.35.3).
	id := nfs41.ExchangeID{Owner: []byte("careful"), Protect: nfs41.SP4MachCred}
	err = conn.Do(&nfs41.Compound{Minor: 1, Ops: []nfs41.Op{&id}})
	if !errors.Is(err, nfs41.NFS4ERR_INVAL) {
		t.Errorf("SP4_MACH_CRED: %v", err)
	}
}

func TestClientThatRestartsLosesWhatItHad(t *testing.T) {
	r := start(t)
	before := r.mount(nfs41.Config{Owner: "guest"})
	f := before.create("f")
	_ = f
	after := r.mount(nfs41.Config{Owner: "guest"}) // same owner, other verifier
	open := nfs41.Open{Access: nfs41.ShareBoth, Deny: nfs41.DenyBoth, Owner: []byte("o"), Name: "f"}
	after.must(nfs41.PutFH(after.root), &open)
	before.expect(nfs41.NFS4ERR_BADSESSION, nfs41.PutRootFH{})
}

func TestSilentClientKeepsItsStateUntilAnotherNeedsIt(t *testing.T) {
	r := start(t)
	silent := r.mount(nfs41.Config{})
	f := silent.open(&nfs41.Open{
		Access: nfs41.ShareBoth, Deny: nfs41.DenyWrite, Owner: []byte("o"), Create: nfs41.Guarded, Name: "f",
	})
	r.pass(3 * r.lease)
	silent.must(nfs41.PutFH(f.fh), &nfs41.Write{Stateid: f.sid, Data: []byte("still mine")})

	r.pass(3 * r.lease)
	other := r.mount(nfs41.Config{})
	other.must(nfs41.PutFH(other.root), &nfs41.Open{Access: nfs41.ShareWrite, Owner: []byte("o"), Name: "f"})
	silent.expect(nfs41.NFS4ERR_BADSESSION, nfs41.PutFH(f.fh))
}

func TestConflictWithALiveClientIsRefused(t *testing.T) {
	r := start(t)
	live, other := r.mount(nfs41.Config{}), r.mount(nfs41.Config{})
	live.open(&nfs41.Open{Access: nfs41.ShareBoth, Deny: nfs41.DenyWrite, Owner: []byte("o"), Create: nfs41.Guarded, Name: "f"})
	r.pass(r.lease - 5*time.Second)
	other.expect(nfs41.NFS4ERR_SHARE_DENIED, nfs41.PutFH(other.root),
		&nfs41.Open{Access: nfs41.ShareWrite, Owner: []byte("o"), Name: "f"})
	live.must(nfs41.PutRootFH{})
}
