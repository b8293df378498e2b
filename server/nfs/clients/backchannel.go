package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"

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
	turn sync.Mutex // held during a callback; taken before Session.mu
	seq  uint32     // guarded by turn
	to   Callback   // guarded by Session.mu
}

func (b *backchannel) init(to Callback) { b.to = to }

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

// path returns a connection for callbacks.
func (s *Session) path() (*rpc.Conn, Callback, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for conn, dirs := range s.conns {
		if dirs&Back != 0 {
			return conn, s.back.to, nil
		}
	}
	return nil, Callback{}, ErrNoBackchannel
}

// CallBack sends one callback operation, CB_SEQUENCE before it, and returns
// the status of the operation (RFC 8881 §20).
func (s *Session) CallBack(ctx context.Context, op uint32, args func(*xdr.Encoder)) (nfs4.Status, error) {
	s.back.turn.Lock()
	defer s.back.turn.Unlock()
	conn, to, err := s.path()
	if err != nil {
		return 0, err
	}
	s.back.seq++
	var e xdr.Encoder
	e.Opaque(nil)            // tag
	e.Uint32(s.Client.Minor) // minorversion
	e.Uint32(0)              // callback_ident: 4.0 only
	e.Uint32(2)              // operations
	e.Uint32(nfs4.OpCBSequence)
	e.Fixed(s.ID[:])
	e.Uint32(s.back.seq)
	e.Uint32(0) // slot
	e.Uint32(0) // highest slot
	e.Bool(false)
	e.Uint32(0) // referring calls
	e.Uint32(op)
	args(&e)
	if e.Len() > s.Back.MaxRequest-callHeaderMax {
		return 0, fmt.Errorf("callback to %v: %d bytes are more than its backchannel takes", s.Client, e.Len())
	}
	body, err := conn.Call(ctx, to.Program, 1, nfs4.CBProcCompound, to.Auth, e.Buf)
	if err != nil {
		return 0, fmt.Errorf("callback to %v: %w", s.Client, err)
	}
	return decodeCallback(body)
}

// decodeCallback takes the status of the last operation from CB_COMPOUND's
// reply.
func decodeCallback(body []byte) (nfs4.Status, error) {
	d := xdr.NewDecoder(body)
	status := nfs4.Status(d.Uint32())
	if d.Err() != nil {
		return 0, fmt.Errorf("callback reply: %w", d.Err())
	}
	return status, nil
}

// CallBack sends a callback over any session of the client that can.
func (c *Client) CallBack(ctx context.Context, op uint32, args func(*xdr.Encoder)) (nfs4.Status, error) {
	c.reg.mu.RLock()
	sessions := append([]*Session(nil), c.sessions...)
	c.reg.mu.RUnlock()
	for _, s := range sessions {
		st, err := s.CallBack(ctx, op, args)
		if err == nil || !errors.Is(err, ErrNoBackchannel) {
			return st, err
		}
	}
	return 0, ErrNoBackchannel
}
