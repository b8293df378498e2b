package clients

import (
	"bytes"
	"sync"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
)

// Channel is the agreed limits of one direction of a session
// (channel_attrs4, RFC 8881 §18.36). Sizes are in bytes and include the RPC
// header.
type Channel struct {
	HeaderPad   uint32
	MaxRequest  int
	MaxResponse int
	MaxCached   int // of a reply kept for replay
	MaxOps      int // in a COMPOUND
	MaxRequests int // slots
}

// What the server grants at most, and asks for at least.
const (
	MaxIO = 1 << 20 // bytes of data in one READ or WRITE

	maxRequestSize = MaxIO + 8<<10
	maxCachedSize  = 8 << 10
	minCachedSize  = 1 << 10  // the reply to a lone SEQUENCE is kept always
	maxReplyCache  = 16 << 20 // bytes of the replies kept for one client
	maxOperations  = 128
	initialSlots   = 64
	maxSlots       = 256
	minFrameSize   = 256 // of a request or reply, either way
)

// foreChannel answers what a client asks for its requests.
func foreChannel(ask Channel) (Channel, error) {
	if ask.MaxRequest < minFrameSize || ask.MaxResponse < minFrameSize {
		return ask, nfs4.ErrToosmall
	}
	return Channel{
		MaxRequest:  min(ask.MaxRequest, maxRequestSize),
		MaxResponse: min(ask.MaxResponse, maxRequestSize),
		MaxCached:   min(ask.MaxCached, maxCachedSize),
		MaxOps:      max(1, min(ask.MaxOps, maxOperations)),
		MaxRequests: max(1, min(ask.MaxRequests, initialSlots)),
	}, nil
}

// slotSize is how many bytes of replies a slot may keep.
func (ch *Channel) slotSize() int64 { return int64(max(ch.MaxCached, minCachedSize)) }

// backChannel answers what a client offers for callbacks: one slot is used,
// and two operations.
func backChannel(ask Channel) (Channel, error) {
	if ask.MaxOps < 2 || ask.MaxRequests < 1 || ask.MaxRequest < minFrameSize || ask.MaxResponse < minFrameSize {
		return ask, nfs4.ErrToosmall
	}
	ask.HeaderPad = 0
	ask.MaxRequests = 1
	ask.MaxRequest = min(ask.MaxRequest, 4096)
	ask.MaxResponse = min(ask.MaxResponse, 4096)
	ask.MaxCached = min(ask.MaxCached, 0)
	ask.MaxOps = min(ask.MaxOps, 16)
	return ask, nil
}

// Session is a session of a client (RFC 8881 §2.10).
type Session struct {
	ID     nfs4.SessionID
	Client *Client
	Fore   Channel
	Back   Channel
	flags  uint32

	// mu guards what follows.
	mu    sync.Mutex
	dead  bool
	limit int    // slots the client may use now
	slots []slot // those it has used
	used  int    // slots with a request under way
	conns map[*rpc.Conn]uint32
	// forget has each connection forget the session, which may end long
	// before the connection.
	forget map[*rpc.Conn]func()
	back   backchannel
}

// slot is one entry of the reply cache (RFC 8881 §2.10.6.1).
type slot struct {
	seq    uint32
	inUse  bool
	cached bool   // reply is whole
	reply  []byte // the COMPOUND's results
	print  fingerprint
}

// fingerprint tells a replay from a different request that reuses a sequence
// id by mistake (RFC 8881 §2.10.6.1.3.1: NFS4ERR_SEQ_FALSE_RETRY).
type fingerprint struct {
	size int
	ops  int
	uid  uint32
}

func newSession(c *Client, args *CreateArgs) (*Session, error) {
	fore, err := foreChannel(args.Fore)
	if err != nil {
		return nil, err
	}
	back, err := backChannel(args.Back)
	if err != nil {
		return nil, err
	}
	// A reply that is to be kept must be: what is bounded is the slots.
	for !c.reserve(int64(fore.MaxRequests) * fore.slotSize()) {
		if fore.MaxRequests /= 2; fore.MaxRequests == 0 {
			return nil, nfs4.ErrNospc
		}
	}
	s := &Session{
		ID: newSessionID(), Client: c, Fore: fore, Back: back, limit: fore.MaxRequests,
		flags: args.Flags & nfs4.CreateSessionConnBackChan, conns: make(map[*rpc.Conn]uint32, 1), forget: make(map[*rpc.Conn]func(), 1),
	}
	s.back.init(args.Callback)
	return s, nil
}

// SequenceArgs is what SEQUENCE says of its request.
type SequenceArgs struct {
	Seq     uint32
	Slot    uint32
	Highest uint32
	Cache   bool
	Size    int // bytes of the COMPOUND's arguments
	Ops     int
	UID     uint32
}

// SequenceResult is what SEQUENCE answers.
type SequenceResult struct {
	Highest uint32 // last slot that may be used
	Flags   uint32
	// Replay means that the request was executed before. Reply is then its
	// whole result, or nil if that was not kept.
	Replay bool
	Reply  []byte
}

// Sequence takes the slot of a request (RFC 8881 §18.46.3). After a success
// that is no replay Finish must follow.
func (s *Session) Sequence(args SequenceArgs) (SequenceResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dead {
		return SequenceResult{}, nfs4.ErrBadsession
	}
	if int64(args.Slot) >= int64(s.limit) {
		return SequenceResult{}, nfs4.ErrBadslot
	}
	if args.Highest < args.Slot || args.Highest >= maxSlots {
		return SequenceResult{}, nfs4.ErrBadHighSlot
	}
	if n := int(args.Slot) + 1; n > len(s.slots) {
		s.slots = append(s.slots, make([]slot, n-len(s.slots))...)
	}
	sl := &s.slots[args.Slot]
	print := fingerprint{args.Size, args.Ops, args.UID}
	res := SequenceResult{Flags: s.statusFlags()}
	switch {
	case args.Seq == sl.seq+1:
		if sl.inUse {
			return res, nfs4.ErrSeqMisordered
		}
	case args.Seq == sl.seq && sl.seq != 0 || args.Seq == sl.seq && sl.reply != nil:
		if sl.inUse {
			return res, nfs4.ErrDelay
		}
		if sl.print != print {
			return res, nfs4.ErrSeqFalseRetry
		}
		res.Replay = true
		if sl.cached {
			res.Reply = bytes.Clone(sl.reply) // the slot may be used again before it is sent
		}
		res.Highest = uint32(s.limit - 1)
		return res, nil
	default:
		return res, nfs4.ErrSeqMisordered
	}
	sl.seq, sl.inUse, sl.cached, sl.reply, sl.print = args.Seq, true, false, sl.reply[:0], print
	s.used++
	if int(args.Slot) == s.limit-1 && s.used > s.limit/2 { // the client keeps them busy
		s.grow()
	}
	res.Highest = uint32(s.limit - 1)
	return res, nil
}

// grow doubles the slots the client may use, up to its bounds. s.mu is held.
func (s *Session) grow() {
	more := min(s.limit, maxSlots-s.limit)
	if s.Client.reserve(int64(more) * s.Fore.slotSize()) {
		s.limit += more
	}
}

// Finish gives back a slot. reply, if not nil, is copied and kept for replays.
func (s *Session) Finish(slot uint32, reply []byte) {
	s.mu.Lock()
	sl := &s.slots[slot]
	sl.inUse = false
	s.used--
	if reply != nil {
		sl.reply = append(sl.reply[:0], reply...)
		sl.cached = true
	} else {
		sl.reply = nil
	}
	s.mu.Unlock()
}

// statusFlags is what the client should know. s.mu is held.
func (s *Session) statusFlags() (flags uint32) {
	if s.flags&nfs4.CreateSessionConnBackChan != 0 && !s.back.up(s.conns) {
		flags |= nfs4.SeqCBPathDown
	}
	return flags
}

// drain reports whether no request is under way but own of the caller's.
func (s *Session) drain(own int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used <= own
}

// kill ends the session for requests that come later.
func (s *Session) kill() {
	s.mu.Lock()
	if !s.dead {
		s.Client.reserve(-int64(s.limit) * s.Fore.slotSize())
	}
	s.dead = true
	clear(s.conns)
	for _, forget := range s.forget {
		forget()
	}
	clear(s.forget)
	s.mu.Unlock()
}

// Directions of a connection's use by a session.
const (
	Fore uint32 = nfs4.CDFSFore
	Back uint32 = nfs4.CDFSBack
)

// Bind adds a connection to the session in the directions given, besides what
// it is bound for already (RFC 8881 §2.10.3.1).
func (s *Session) Bind(conn *rpc.Conn, dirs uint32) {
	s.mu.Lock()
	old, known := s.conns[conn]
	if s.dead {
		s.mu.Unlock()
		return
	}
	s.conns[conn] = old | dirs
	s.mu.Unlock()
	if known {
		return
	}
	forget := conn.OnClose(func() { s.unbind(conn) })
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, bound := s.conns[conn]; !bound { // session or connection ended meanwhile
		forget()
		return
	}
	s.forget[conn] = forget
}

func (s *Session) unbind(conn *rpc.Conn) {
	s.mu.Lock()
	delete(s.conns, conn)
	delete(s.forget, conn)
	s.mu.Unlock()
}

// Bound reports whether the connection is bound for all of dirs.
func (s *Session) Bound(conn *rpc.Conn, dirs uint32) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[conn]&dirs == dirs
}
