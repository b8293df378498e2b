package nfs41

import (
	"cmp"
	"crypto/rand"
	"errors"
	"slices"
	"time"
)

// Config says how to mount. Its zero value is a client of a new owner, minor
// version 2, one connection, root's credential and 64 slots.
type Config struct {
	Owner    string
	Verifier Verifier
	Minor    uint32 // 1 or 2
	Conns    int    // TCP connections bound to the session
	Slots    uint32 // slots to ask for; the server may grant fewer
	MaxIO    uint32 // bytes of data in the largest READ or WRITE; default 1 MiB
	Cred     Cred
	Timeout  time.Duration
	// OnCallback sees the server's calls; see Conn.HandleCallbacks.
	OnCallback func(CBOp) Status
	// Reclaiming leaves out the RECLAIM_COMPLETE that Mount ends with, for a
	// client that has state to reclaim.
	Reclaiming bool
	// LocalIP is the address to connect from, any by default.
	LocalIP string
	// ReadBuffer is the size of each connection's buffer for small replies;
	// default 32 KiB.
	ReadBuffer int
}

func (c Config) withDefaults() Config {
	c.Owner = cmp.Or(c.Owner, "nfs41 "+rand.Text())
	if c.Verifier == (Verifier{}) {
		rand.Read(c.Verifier[:]) // never fails
	}
	c.Minor = cmp.Or(c.Minor, 2)
	c.Conns = cmp.Or(c.Conns, 1)
	c.Slots = cmp.Or(c.Slots, 64)
	c.MaxIO = cmp.Or(c.MaxIO, 1<<20)
	c.Timeout = cmp.Or(c.Timeout, DefaultTimeout)
	return c
}

// A Session is a client ID with one session on it.
type Session struct {
	ID         SessionID
	ClientID   uint64
	Minor      uint32
	Fore, Back ChannelAttrs // as granted
	Conns      []*Conn

	free chan *Slot
}

// A Slot is one slot of a session, owned by one goroutine at a time.
type Slot struct {
	// Sequence goes first in the next call of Do. After a call that the
	// server sequenced, its Seq is one more.
	Sequence Sequence
	// Conn carries the slot's calls.
	Conn *Conn

	s   *Session
	msg Compound
}

// Mount connects to addr and makes a client ID and a session.
func Mount(addr string, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	s := &Session{Minor: cfg.Minor}
	for range cfg.Conns {
		c, err := dial(addr, cfg.LocalIP, cfg.ReadBuffer)
		if err != nil {
			s.Disconnect()
			return nil, err
		}
		c.Cred, c.Timeout = cfg.Cred, cfg.Timeout
		c.HandleCallbacks(cfg.OnCallback)
		s.Conns = append(s.Conns, c)
	}
	if err := s.establish(cfg); err != nil {
		s.Disconnect()
		return nil, err
	}
	return s, nil
}

// establish does what RFC 8881 section 2.10.1 says a client does to begin.
func (s *Session) establish(cfg Config) error {
	id := ExchangeID{Verifier: cfg.Verifier, Owner: []byte(cfg.Owner), Flags: ExchgidUseNonPNFS}
	if err := s.Conns[0].Do(&Compound{Minor: s.Minor, Ops: []Op{&id}}); err != nil {
		return err
	}
	const header = 4096 // room for everything in a message but the data
	create := CreateSession{
		ClientID: id.ClientID, Seq: id.Seq, Flags: SessionBackChan, CBSys: true,
		Fore: ChannelAttrs{MaxRequest: cfg.MaxIO + header, MaxReply: cfg.MaxIO + header, MaxReplyCached: header, MaxOps: 32, MaxRequests: cfg.Slots},
		Back: ChannelAttrs{MaxRequest: header, MaxReply: header, MaxOps: 8, MaxRequests: 4},
	}
	if err := s.Conns[0].Do(&Compound{Minor: s.Minor, Ops: []Op{&create}}); err != nil {
		return err
	}
	s.ClientID, s.ID, s.Fore, s.Back = id.ClientID, create.Session, create.Fore, create.Back
	for _, c := range s.Conns[1:] {
		bind := BindConnToSession{Session: s.ID, Dir: BindForeOrBoth}
		if err := c.Do(&Compound{Minor: s.Minor, Ops: []Op{&bind}}); err != nil {
			return err
		}
	}
	s.makeSlots(min(cfg.Slots, s.Fore.MaxRequests))
	if cfg.Reclaiming {
		return nil
	}
	return s.Do(ReclaimComplete{})
}

func (s *Session) makeSlots(n uint32) {
	s.free = make(chan *Slot, n)
	for i := range n {
		s.free <- &Slot{
			Sequence: Sequence{Session: s.ID, Seq: 1, Slot: i, Highest: n - 1},
			Conn:     s.Conns[int(i)%len(s.Conns)],
			s:        s,
			msg:      Compound{Minor: s.Minor},
		}
	}
}

// Slot waits for a free slot.
func (s *Session) Slot() *Slot { return <-s.free }

// Release gives the slot back.
func (sl *Slot) Release() { sl.s.free <- sl }

// Do sends the operations in a COMPOUND that begins with SEQUENCE, on any
// free slot. Any number of goroutines may call it.
func (s *Session) Do(ops ...Op) error {
	sl := s.Slot()
	defer sl.Release()
	return sl.Do(ops...)
}

// Do sends the slot's SEQUENCE and the operations.
func (sl *Slot) Do(ops ...Op) error {
	sl.Sequence.Reply.Status = NFS4ERR_IO // until a reply says otherwise
	sl.msg.Ops = append(append(sl.msg.Ops[:0], &sl.Sequence), ops...)
	err := sl.Conn.Do(&sl.msg)
	clear(sl.msg.Ops)
	if sl.msg.Done > 0 && sl.Sequence.Reply.Status == NFS4_OK {
		sl.Sequence.Seq++
	}
	if e, ok := errors.AsType[*OpError](err); ok {
		e.Index--
	}
	return err
}

// Close destroys the session and the client ID, which the server may refuse
// with NFS4ERR_CLIENTID_BUSY when files are open, and ends the connections.
func (s *Session) Close() error {
	c := s.Conns[0]
	err := c.Do(&Compound{Minor: s.Minor, Ops: []Op{DestroySession(s.ID)}})
	if err == nil {
		err = c.Do(&Compound{Minor: s.Minor, Ops: []Op{DestroyClientID(s.ClientID)}})
	}
	s.Disconnect()
	return err
}

// Disconnect ends the connections and leaves the session and its state to the
// server, as a client that dies does.
func (s *Session) Disconnect() {
	for _, c := range s.Conns {
		c.Close()
	}
}

// Walk looks up the names one after the other from the root.
func (s *Session) Walk(names ...string) (FH, error) {
	ops := slices.Grow([]Op{PutRootFH{}}, len(names)+1)
	for _, n := range names {
		ops = append(ops, Lookup(n))
	}
	var fh GetFH
	err := s.Do(append(ops, &fh)...)
	return fh.FH, err
}
