package clients

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

const testLease = 10 * time.Second

// world is a registry with its surroundings; restart makes the next
// incarnation of the server over the same store.
type world struct {
	t     *testing.T
	dir   string
	store *state.Store
	table *lock.Table
	reg   *Registry

	export *export.Export

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, dir: t.TempDir(), now: time.Unix(1e9, 0), export: export.New(1, export.Spec{Name: "data"}, nil)}
	w.start()
	t.Cleanup(func() { w.store.Close() })
	return w
}

func (w *world) start() {
	w.t.Helper()
	var err error
	if w.store, err = state.Open(w.dir); err != nil {
		w.t.Fatal(err)
	}
	w.table = lock.NewTable()
	w.reg, err = NewRegistry(Config{
		Store: w.store, Locks: w.table, Lease: testLease, Grace: testLease, Clock: w.clock, Log: zerolog.Nop(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) restart() {
	w.t.Helper()
	w.store.Close()
	w.start()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// turn turns the clock forward.
func (w *world) turn(d time.Duration) {
	w.mu.Lock()
	w.now = w.now.Add(d)
	w.mu.Unlock()
}

// pass turns the clock forward and has the registry look at it.
func (w *world) pass(d time.Duration) {
	w.turn(d)
	w.reg.Sweep(context.Background())
}

func identity(owner string, verifier byte) Identity {
	return Identity{Owner: owner, Verifier: nfs4.Verifier{verifier}, Principal: Principal{1, 0}, Minor: 1}
}

var channel = Channel{MaxRequest: 1 << 20, MaxResponse: 1 << 20, MaxCached: 4096, MaxOps: 16, MaxRequests: 8}

func (w *world) exchange(id Identity) ExchangeResult {
	w.t.Helper()
	res, err := w.reg.Exchange(id, false)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) createSession(res ExchangeResult) *Session {
	w.t.Helper()
	cs, err := w.reg.CreateSession(CreateArgs{
		ClientID: res.ID, Sequence: res.Sequence, Fore: channel, Back: channel, Principal: Principal{1, 0},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return cs.Session
}

// client makes a client with a session that is done reclaiming.
func (w *world) client(owner string) *Client {
	w.t.Helper()
	c := w.createSession(w.exchange(identity(owner, 1))).Client
	if err := c.ReclaimComplete(); err != nil {
		w.t.Fatal(err)
	}
	return c
}

type nullFile struct {
	vfs.File
	closed *int
}

func (f nullFile) Close() error { *f.closed++; return nil }

// open opens file as owner and returns the count of closed Files.
func (w *world) open(c *Client, owner, file string, access, deny lock.Share) (*Open, *int, error) {
	closed := new(int)
	o, _, err := c.Open(context.Background(), &OpenArgs{
		Owner: owner, Key: lock.Key{Export: 1, Handle: file}, Access: access, Deny: deny, Export: w.export,
		Open: func(vfs.OpenFlags) (vfs.File, error) { return nullFile{closed: closed}, nil },
	})
	return o, closed, err
}

func wantStatus(t *testing.T, err error, want nfs4.Status) {
	t.Helper()
	var st nfs4.Status
	switch {
	case err == nil:
		st = nfs4.OK
	case !errors.As(err, &st):
		t.Fatalf("got error %v, want %v", err, want)
	}
	if st != want {
		t.Fatalf("got %v, want %v", st, want)
	}
}

// The cases of RFC 8881 §18.35.4.
func TestExchangeIDCases(t *testing.T) {
	w := newWorld(t)
	first := w.exchange(identity("a", 1))
	if first.Confirmed {
		t.Error("a new client is confirmed before CREATE_SESSION")
	}
	again := w.exchange(identity("a", 1)) // case 4
	if again.ID == first.ID {
		t.Error("an unconfirmed record was not replaced")
	}
	_, err := w.reg.CreateSession(CreateArgs{ClientID: first.ID, Sequence: first.Sequence, Fore: channel, Back: channel})
	wantStatus(t, err, nfs4.ErrStaleClientid)

	s := w.createSession(again)
	same := w.exchange(identity("a", 1)) // case 2
	if same.ID != again.ID || !same.Confirmed {
		t.Errorf("same client got %+v, had %+v", same, again)
	}
	_, err = w.reg.Exchange(identity("a", 2), true) // case 8
	wantStatus(t, err, nfs4.ErrNotSame)
	other := identity("a", 1)
	other.Principal.UID = 7
	_, err = w.reg.Exchange(other, true) // case 9
	wantStatus(t, err, nfs4.ErrPerm)
	_, err = w.reg.Exchange(identity("nobody", 1), true) // case 7
	wantStatus(t, err, nfs4.ErrNoent)
	res, err := w.reg.Exchange(identity("a", 1), true) // case 6
	wantStatus(t, err, nfs4.OK)
	if res.ID != again.ID {
		t.Error("an update changed the client id")
	}

	rebooted := w.exchange(identity("a", 2)) // case 5
	if w.reg.Session(s.ID) == nil {
		t.Error("the session of a restarted client ended before its new record was confirmed")
	}
	w.createSession(rebooted)
	if w.reg.Session(s.ID) != nil {
		t.Error("the session of a restarted client survived the confirmation of its new record")
	}
}

func TestExchangeIDByAnotherPrincipalIsRefusedWhileStateIsHeld(t *testing.T) {
	w := newWorld(t)
	c := w.client("a")
	if _, _, err := w.open(c, "o", "f", lock.ShareRead, 0); err != nil {
		t.Fatal(err)
	}
	thief := identity("a", 9)
	thief.Principal.UID = 7
	_, err := w.reg.Exchange(thief, false) // case 3
	wantStatus(t, err, nfs4.ErrClidInuse)
	w.pass(testLease + time.Second)
	if _, err = w.reg.Exchange(thief, false); err != nil {
		t.Fatalf("after the lease: %v", err)
	}
	if w.reg.Client(c.ID) != nil {
		t.Error("the old record survived")
	}
}

func TestSilentClientKeepsItsStateUntilSomebodyConflicts(t *testing.T) {
	w := newWorld(t)
	a, b := w.client("a"), w.client("b")
	if _, _, err := w.open(a, "o", "f", lock.ShareWrite, lock.ShareWrite); err != nil {
		t.Fatal(err)
	}
	if _, _, err := w.open(b, "o", "f", lock.ShareWrite, 0); !errors.Is(err, lock.ErrShareConflict) {
		t.Fatalf("conflict with a live client: %v", err)
	}
	b.Begin(w.clock())
	w.pass(5 * testLease)
	if w.reg.Client(a.ID) == nil {
		t.Fatal("a silent client with state was forgotten without need")
	}
	if _, _, err := w.open(b, "o", "f", lock.ShareWrite, 0); err != nil {
		t.Fatalf("conflict with a silent client: %v", err)
	}
	if w.reg.Client(a.ID) != nil {
		t.Error("the silent client is still there")
	}
	recorded, _ := w.store.Clients()
	if len(recorded) != 1 || string(recorded[0].Owner) != "b" {
		t.Errorf("the silent client may still reclaim: %v", recorded)
	}
}

func TestSilentClientWithoutStateIsOffTheRecordButComesBack(t *testing.T) {
	w := newWorld(t)
	a := w.client("a")
	w.pass(testLease + time.Second)
	if recorded, _ := w.store.Clients(); len(recorded) != 0 {
		t.Fatalf("a restart would wait for %v", recorded)
	}
	if w.reg.Client(a.ID) == nil {
		t.Fatal("its sessions are gone, with the replies it may have missed")
	}
	a.Begin(w.clock())
	wantStatus(t, a.CheckGrant(), nfs4.OK)
	a.End()
	if recorded, _ := w.store.Clients(); len(recorded) != 1 {
		t.Errorf("it may open, and could not reclaim: on record are %v", recorded)
	}
	w.pass(idleLimit + testLease)
	if w.reg.Client(a.ID) != nil {
		t.Error("it is still there after an hour")
	}
	w.restart()
	if w.reg.InGrace() {
		t.Error("a restart waits for it")
	}
}

// What the server does about a client that was silent must not meet the next
// incarnation, which has come while it was at it.
func TestSilentClientLeavesTheRecordToItsSuccessor(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"struck":  func(c *Client) error { c.strike(); return nil },
		"expired": func(c *Client) error { return c.Expire(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			old := w.client("x")
			w.turn(testLease + time.Second)
			rebooted := w.createSession(w.exchange(identity("x", 2))).Client
			wantStatus(t, rebooted.ReclaimComplete(), nfs4.OK)
			wantStatus(t, end(old), nfs4.OK)
			if recorded, _ := w.store.Clients(); len(recorded) != 1 || string(recorded[0].Owner) != "x" {
				t.Errorf("on record are %v", recorded)
			}
			if w.reg.Client(rebooted.ID) == nil {
				t.Error("the successor is gone")
			}
			w.restart()
			if !w.reg.InGrace() {
				t.Error("a restart does not wait for it")
			}
		})
	}
}

// A sweep takes its time, for each client that it strikes off the record goes
// to the disk. One that comes back meanwhile stays.
func TestClientThatComesBackDuringASweepStays(t *testing.T) {
	w := newWorld(t)
	back := w.client("back")
	w.pass(testLease + time.Second) // is off the record
	w.turn(idleLimit)
	idle := w.client("idle")
	for i := 0; w.reg.recording.of(idle.Owner) == w.reg.recording.of(back.Owner); i++ {
		idle = w.client(fmt.Sprint("idle ", i))
	}
	holder := w.client("holder")
	if _, _, err := w.open(holder, "o", "held", lock.ShareRead, 0); err != nil {
		t.Fatal(err)
	}
	w.turn(testLease + time.Second)

	recording := w.reg.recording.of(idle.Owner)
	recording.Lock()
	swept := make(chan struct{})
	go func() {
		w.reg.Sweep(context.Background())
		close(swept)
	}()
	for !holder.courtesy.Load() { // the sweep looks at the clients
		runtime.Gosched()
	}
	w.exchange(identity("waits until it has", 1))

	back.Begin(w.clock())
	wantStatus(t, back.CheckGrant(), nfs4.OK)
	o, _, err := w.open(back, "o", "f", lock.ShareWrite, lock.ShareWrite)
	if err != nil {
		t.Fatal(err)
	}
	back.End()
	recording.Unlock()
	<-swept
	if w.reg.Client(back.ID) != back {
		t.Error("the client is gone")
	}
	_, err = back.FindOpen(o.StateID())
	wantStatus(t, err, nfs4.OK)
}

// A request of a client that is given up meanwhile leaves no share behind,
// which nobody would ever take away.
func TestShareOfAClientThatIsGivenUpGoesWithIt(t *testing.T) {
	ctx := context.Background()
	for name, last := range map[string]func(*Open) error{
		"OPEN_DOWNGRADE": func(o *Open) error {
			o.Client.release()
			_, err := o.Downgrade(ctx, lock.ShareRead, 0)
			return err
		},
		"OPEN that fails": func(o *Open) error {
			_, _, err := o.Client.Open(ctx, &OpenArgs{
				Owner: o.Owner, Key: o.Key, Access: lock.ShareWrite, Export: export.New(1, export.Spec{Name: "data"}, nil),
				Open: func(vfs.OpenFlags) (vfs.File, error) {
					o.Client.release()
					return nil, nfs4.ErrExpired
				},
			})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.client("a")
			o, _, err := w.open(a, "o", "f", lock.ShareRead, 0)
			if err != nil {
				t.Fatal(err)
			}
			wantStatus(t, last(o), nfs4.ErrExpired)
			if _, _, err := w.open(w.client("b"), "o", "f", lock.ShareRead, lock.ShareRead); err != nil {
				t.Errorf("its share is still in the way: %v", err)
			}
		})
	}
}

func TestStateIDsAgeAndEnd(t *testing.T) {
	w := newWorld(t)
	c := w.client("a")
	o, _, err := w.open(c, "o", "f", lock.ShareRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	first := o.StateID()
	if _, _, err = w.open(c, "o", "f", lock.ShareWrite, 0); err != nil {
		t.Fatal(err)
	}
	now := o.StateID()
	if now.Other != first.Other || now.Seq != first.Seq+1 {
		t.Fatalf("second OPEN by the owner: %v after %v", now, first)
	}
	for _, tc := range []struct {
		name string
		sid  nfs4.StateID
		want nfs4.Status
	}{
		{"current", now, nfs4.OK},
		{"seq zero means latest", nfs4.StateID{Other: now.Other}, nfs4.OK},
		{"old", first, nfs4.ErrOldStateid},
		{"future", nfs4.StateID{Seq: now.Seq + 1, Other: now.Other}, nfs4.ErrBadStateid},
		{"another client's", nfs4.StateID{Seq: 1, Other: [12]byte{1, 2, 3}}, nfs4.ErrBadStateid},
	} {
		_, err := c.Find(tc.sid)
		t.Run(tc.name, func(t *testing.T) { wantStatus(t, err, tc.want) })
	}
	wantStatus(t, o.Close(context.Background()), nfs4.OK)
	_, err = c.Find(now)
	wantStatus(t, err, nfs4.ErrBadStateid)
}

func TestDowngradeMustNameModesThatWereOpened(t *testing.T) {
	w := newWorld(t)
	c := w.client("a")
	o, _, err := w.open(c, "o", "f", lock.ShareRead|lock.ShareWrite, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = o.Downgrade(context.Background(), lock.ShareRead, 0)
	wantStatus(t, err, nfs4.ErrInval) // only BOTH was opened
	if _, _, err = w.open(c, "o", "f", lock.ShareRead, 0); err != nil {
		t.Fatal(err)
	}
	_, err = o.Downgrade(context.Background(), lock.ShareRead, 0)
	wantStatus(t, err, nfs4.OK)
	if o.Access() != lock.ShareRead {
		t.Errorf("access is %v", o.Access())
	}
}

func TestFileOutlivesCloseWhileAReadIsUnderWay(t *testing.T) {
	w := newWorld(t)
	o, closed, err := w.open(w.client("a"), "o", "f", lock.ShareRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	f, err := o.Use()
	if err != nil {
		t.Fatal(err)
	}
	o.Close(context.Background())
	if *closed != 0 {
		t.Fatal("the file was closed under a reader")
	}
	f.Release()
	if *closed != 1 {
		t.Fatalf("the file was closed %d times", *closed)
	}
}

func TestLockDenialLeavesNoState(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	a, _, _ := w.open(w.client("a"), "o", "f", lock.ShareWrite, 0)
	bc := w.client("b")
	b, _, _ := w.open(bc, "o", "f", lock.ShareWrite, 0)
	req := LockRequest{Range: lock.Range{Start: 0, End: 9}, Type: lock.Write}
	if _, holder, err := a.LockNew(ctx, "l", req); holder != nil || err != nil {
		t.Fatal(holder, err)
	}
	_, holder, err := b.LockNew(ctx, "l", req)
	if err != nil || holder == nil || holder.Owner != LockOwner(a.Client, "l") {
		t.Fatalf("holder %+v, %v", holder, err)
	}
	if _, locks := bc.stateCounts(); locks != 0 {
		t.Errorf("%d lock states after a denial", locks)
	}
	a.Close(ctx)
	if _, holder, err = b.LockNew(ctx, "l", req); holder != nil || err != nil {
		t.Errorf("a closed file is still locked: %v, %v", holder, err)
	}
}
