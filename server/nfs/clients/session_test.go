package clients

import (
	"context"
	"errors"
	"testing"

	"github.com/fsva/fsva/server/nfs/nfs4"
)

func TestCreateSessionReplayGetsTheSameAnswer(t *testing.T) {
	w := newWorld(t)
	res := w.exchange(identity("a", 1))
	args := CreateArgs{ClientID: res.ID, Sequence: res.Sequence, Fore: channel, Back: channel, Principal: Principal{1, 0}}
	one, err := w.reg.CreateSession(args)
	wantStatus(t, err, nfs4.OK)
	two, err := w.reg.CreateSession(args)
	wantStatus(t, err, nfs4.OK)
	if one.ID != two.ID || two.Session != nil {
		t.Errorf("replay answered %+v, first was %+v", two, one)
	}
	args.Sequence += 2
	_, err = w.reg.CreateSession(args)
	wantStatus(t, err, nfs4.ErrSeqMisordered)
}

// Who learns its own client id must not know its neighbour's from that: over
// AUTH_SYS the id is all that CREATE_SESSION asks for.
func TestClientIDsDoNotTellOfEachOther(t *testing.T) {
	w := newWorld(t)
	last := w.exchange(identity("a", 1)).ID
	for _, owner := range []string{"b", "c", "d"} {
		id := w.exchange(identity(owner, 1)).ID
		if distance := int64(id - last); distance>>32 == 0 || distance>>32 == -1 {
			t.Errorf("client id %#x follows %#x", id, last)
		}
		last = id
	}
}

// RFC 8881 §2.4.2: a client of before the restart is told to begin again.
func TestClientIDOfAnEarlierStartIsStale(t *testing.T) {
	w := newWorld(t)
	before := w.exchange(identity("a", 1))
	w.createSession(before)
	w.restart()
	w.exchange(identity("b", 1))
	_, err := w.reg.CreateSession(CreateArgs{
		ClientID: before.ID, Sequence: before.Sequence + 1, Fore: channel, Back: channel, Principal: Principal{1, 0},
	})
	wantStatus(t, err, nfs4.ErrStaleClientid)
}

func TestCreateSessionFailureLeavesTheSequenceUnused(t *testing.T) {
	w := newWorld(t)
	res := w.exchange(identity("a", 1))
	args := CreateArgs{ClientID: res.ID, Sequence: res.Sequence, Back: channel, Principal: Principal{1, 0}}
	_, err := w.reg.CreateSession(args)
	wantStatus(t, err, nfs4.ErrToosmall)
	args.Fore = channel
	_, err = w.reg.CreateSession(args)
	wantStatus(t, err, nfs4.OK)
}

func TestSlotGivesExactlyOnceReplies(t *testing.T) {
	w := newWorld(t)
	s := w.createSession(w.exchange(identity("a", 1)))
	req := SequenceArgs{Seq: 1, Slot: 3, Highest: 3, Cache: true, Size: 100, Ops: 4}
	if _, err := s.Sequence(req); err != nil {
		t.Fatal(err)
	}
	_, err := s.Sequence(req)
	wantStatus(t, err, nfs4.ErrDelay) // still under way
	s.Finish(3, []byte("reply"))
	res, err := s.Sequence(req)
	if err != nil || !res.Replay || string(res.Reply) != "reply" {
		t.Errorf("replay: %+v, %v", res, err)
	}
	differs := req
	differs.Size = 104
	_, err = s.Sequence(differs)
	wantStatus(t, err, nfs4.ErrSeqFalseRetry)

	req.Seq = 2
	if _, err = s.Sequence(req); err != nil {
		t.Fatal(err)
	}
	s.Finish(3, nil)
	res, err = s.Sequence(req)
	if err != nil || !res.Replay || res.Reply != nil {
		t.Errorf("replay of what was not kept: %+v, %v", res, err)
	}
	for _, seq := range []uint32{0, 1, 4} {
		req.Seq = seq
		_, err = s.Sequence(req)
		wantStatus(t, err, nfs4.ErrSeqMisordered)
	}
	req.Seq, req.Slot, req.Highest = 1, 8, 8
	_, err = s.Sequence(req)
	wantStatus(t, err, nfs4.ErrBadslot)
}

func TestSlotTableGrowsWhenItsLastSlotIsUsed(t *testing.T) {
	w := newWorld(t)
	s := w.createSession(w.exchange(identity("a", 1)))
	var res SequenceResult
	for slot := range uint32(8) {
		var err error
		if res, err = s.Sequence(SequenceArgs{Seq: 1, Slot: slot, Highest: slot}); err != nil {
			t.Fatal(err)
		}
	}
	if res.Highest != 15 {
		t.Errorf("highest slot is %d after all 8 were busy, want 15", res.Highest)
	}
	if _, err := s.Sequence(SequenceArgs{Seq: 1, Slot: 15, Highest: 15}); err != nil {
		t.Errorf("a granted slot is refused: %v", err)
	}
}

// A client that asks for many slots has 64 at first, and more for as long as it
// keeps them busy, up to a bound.
func TestSlotTableOfABusyClientGrowsToItsBound(t *testing.T) {
	w := newWorld(t)
	res := w.exchange(identity("a", 1))
	many := channel
	many.MaxRequests = 100_000
	cs, err := w.reg.CreateSession(CreateArgs{
		ClientID: res.ID, Sequence: res.Sequence, Fore: many, Back: channel, Principal: Principal{1, 0},
	})
	if err != nil || cs.Fore.MaxRequests != initialSlots || initialSlots < 64 {
		t.Fatalf("%d slots, %v", cs.Fore.MaxRequests, err)
	}
	last := uint32(initialSlots - 1)
	for slot := uint32(0); slot <= last; slot++ {
		res, err := cs.Session.Sequence(SequenceArgs{Seq: 1, Slot: slot, Highest: slot})
		if err != nil {
			t.Fatalf("slot %d: %v", slot, err)
		}
		last = res.Highest
	}
	if last != maxSlots-1 {
		t.Errorf("the table ends with slot %d", last)
	}
	_, err = cs.Session.Sequence(SequenceArgs{Seq: 1, Slot: last + 1, Highest: last + 1})
	wantStatus(t, err, nfs4.ErrBadslot)
}

// Slots are granted as far as the replies they may have to keep fit into memory,
// so that none is ever thrown away.
func TestRepliesKeptForAClientAreBounded(t *testing.T) {
	w := newWorld(t)
	res := w.exchange(identity("a", 1))
	many := channel
	many.MaxRequests, many.MaxCached = maxSlots, 1<<20
	create := func() (*Session, error) {
		cs, err := w.reg.CreateSession(CreateArgs{
			ClientID: res.ID, Sequence: res.Sequence, Fore: many, Back: channel, Principal: Principal{1, 0},
		})
		if err == nil {
			res.Sequence++
		}
		return cs.Session, err
	}
	var sessions []*Session
	kept := 0
	for {
		s, err := create()
		if err != nil {
			wantStatus(t, err, nfs4.ErrNospc)
			break
		}
		sessions = append(sessions, s)
		last := uint32(0)
		for slot := uint32(0); slot <= last; slot++ {
			res, err := s.Sequence(SequenceArgs{Seq: 1, Slot: slot, Highest: slot, Cache: true})
			if err != nil {
				t.Fatal(err)
			}
			last = res.Highest
			kept += s.Fore.MaxCached
		}
	}
	if kept > maxReplyCache || kept < maxReplyCache/2 {
		t.Errorf("%d bytes may be kept, in %d sessions", kept, len(sessions))
	}

	s := sessions[0]
	wantStatus(t, w.reg.DestroySession(s, s.used), nfs4.OK)
	if _, err := create(); err != nil {
		t.Errorf("after a session ended: %v", err)
	}
}

func TestCallbackWaitsForItsTurnNoLongerThanItsContext(t *testing.T) {
	w := newWorld(t)
	s := w.createSession(w.exchange(identity("a", 1)))
	s.back.turn <- struct{}{} // the client has not answered the one before
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.CallBack(ctx, nfs4.OpCBNotifyLock, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
