package clients

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/server/xdr"
)

// Callback is how a client wants to be called (RFC 8881 §18.36,
// callback_sec_parms4).
type Callback struct {
	Program uint32
	Auth    rpc.Auth
}

// callHeaderMax is the RPC header of a callback in bytes.
const callHeaderMax = 100

// backchannel is a session's way to the client: one slot, so one callback at
// a time.
type backchannel struct {
	turn chan struct{} // full during a callback; taken before Session.mu
	seq  uint32        // the last that the client has taken; guarded by turn
	to   Callback      // guarded by Session.mu
}

func (b *backchannel) init(to Callback) { b.turn, b.to = make(chan struct{}, 1), to }

// up reports whether a connection is bound for callbacks.
func (b *backchannel) up(conns map[*rpc.Conn]uint32) bool {
	for _, dirs := range conns {
		if dirs&Back != 0 {
			return true
		}
	}
	return false
}

// SetCallback changes how the client is called (BACKCHANNEL_CTL, RFC 8881
// §18.33).
func (s *Session) SetCallback(to Callback) {
	s.mu.Lock()
	s.back.to = to
	s.mu.Unlock()
}

// ErrNoBackchannel means that no connection is bound for callbacks.
var ErrNoBackchannel = errors.New("no connection is bound for callbacks")

// path returns a connection for callbacks other than those that failed.
func (s *Session) path(failed []*rpc.Conn) (*rpc.Conn, Callback, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, dirs := range s.conns {
		if dirs&Back != 0 && !slices.Contains(failed, conn) {
			return conn, s.back.to, nil
		}
	}
	return nil, Callback{}, ErrNoBackchannel
}

// CallBack sends one callback operation, CB_SEQUENCE before it, and returns
// the status of the operation (RFC 8881 §20). If a connection fails under it,
// the next is tried.
//
// The sequence id moves on only when the client is known to have taken it: one
// that it never saw would make it refuse all that follow (§2.10.6.1).
func (s *Session) CallBack(ctx context.Context, op uint32, args func(*xdr.Encoder)) (nfs4.Status, error) {
	select {
	case s.back.turn <- struct{}{}:
		defer func() { <-s.back.turn }()
	case <-ctx.Done():
		return 0, fmt.Errorf("callback to %v waited for those before it: %w", s.Client, ctx.Err())
	}
	var failed []*rpc.Conn
	var broken error
	for behind := false; ; {
		conn, to, err := s.path(failed)
		if err != nil {
			return 0, cmp.Or(broken, err)
		}
		taken, status, err := s.callOver(ctx, conn, &to, s.back.seq+1, op, args)
		switch {
		case err != nil:
			broken = fmt.Errorf("callback to %v: %w", s.Client, err)
			failed = append(failed, conn)
			if ctx.Err() != nil {
				return 0, broken
			}
			continue
		case taken == nfs4.OK:
			s.back.seq++
			return status, nil
		case !behind && (taken == nfs4.ErrRetryUncachedRep || taken == nfs4.ErrSeqFalseRetry):
			behind = true
			s.back.seq++ // of a callback whose reply was lost: this one is the next
			continue
		}
		return 0, fmt.Errorf("callback to %v: CB_SEQUENCE is refused: %w", s.Client, taken)
	}
}

// callOver sends a callback over a connection and returns the status of its
// CB_SEQUENCE and of the whole.
func (s *Session) callOver(ctx context.Context, conn *rpc.Conn, to *Callback, seq, op uint32, args func(*xdr.Encoder)) (taken, status nfs4.Status, err error) {
	var e xdr.Encoder
	e.Opaque(nil)            // tag
	e.Uint32(s.Client.Minor) // minorversion
	e.Uint32(0)              // callback_ident: 4.0 only
	e.Uint32(2)              // operations
	e.Uint32(nfs4.OpCBSequence)
	e.Fixed(s.ID[:])
	e.Uint32(seq)
	e.Uint32(0) // slot
	e.Uint32(0) // highest slot
	e.Bool(false)
	e.Uint32(0) // referring calls
	e.Uint32(op)
	args(&e)
	if e.Len() > s.Back.MaxRequest-callHeaderMax {
		return 0, 0, fmt.Errorf("%d bytes are more than its backchannel takes", e.Len())
	}
	body, err := conn.Call(ctx, to.Program, 1, nfs4.CBProcCompound, to.Auth, e.Buf)
	if err != nil {
		return 0, 0, err
	}
	return decodeCallback(body)
}

// decodeCallback takes the status of CB_SEQUENCE and of the whole from
// CB_COMPOUND's reply.
func decodeCallback(body []byte) (taken, status nfs4.Status, err error) {
	d := xdr.NewDecoder(body)
	status = nfs4.Status(d.Uint32())
	d.Opaque(nfs4.OpaqueLimit) // tag
	switch n := d.Uint32(); {
	case n == 0 && status != nfs4.OK: // refused as a whole
		taken = status
	case n == 0 || d.Uint32() != nfs4.OpCBSequence:
		d.Fail()
	default:
		taken = nfs4.Status(d.Uint32())
	}
	if d.Err() != nil {
		return 0, 0, fmt.Errorf("reply: %w", d.Err())
	}
	return taken, status, nil
}

// maxHints bounds the callbacks of a client that are sent as hints: it may take
// its time to answer each, and others can cause as many as they like.
const maxHints = 128

// Hint has call made, in a goroutine of its own by way of start, unless so many
// calls are under way that the client has to do without.
func (c *Client) Hint(start func(func(context.Context)), call func(context.Context)) {
	if c.hints.Add(1) > maxHints {
		c.hints.Add(-1)
		return
	}
	start(func(ctx context.Context) {
		defer c.hints.Add(-1)
		call(ctx)
	})
}

// CallBack sends a callback over any session of the client that can.
func (c *Client) CallBack(ctx context.Context, op uint32, args func(*xdr.Encoder)) (nfs4.Status, error) {
	c.reg.mu.RLock()
	sessions := append([]*Session(nil), c.sessions...)
	c.reg.mu.RUnlock()
	err := ErrNoBackchannel
	for _, s := range sessions {
		st, e := s.CallBack(ctx, op, args)
		if e == nil {
			return st, nil
		}
		if !errors.Is(e, ErrNoBackchannel) {
			err = e
		}
	}
	return 0, err
}
