package rpc

import (
	"runtime/debug"

	"github.com/fsva/fsva/server/xdr"
)

// The words of RFC 5531 §9 and §11.
const (
	msgCall     = 0
	msgReply    = 1
	msgAccepted = 0
	msgDenied   = 1

	rpcMismatch = 0
	authError   = 1
	rpcVersion  = 2

	lastFragment = 1 << 31
)

// answer runs the call in record and leaves its reply in call.Reply. It
// returns false if the record is no call and nothing can be replied.
func (s *Server) answer(call *Call, record []byte) bool {
	d := xdr.NewDecoder(record)
	call.XID = d.Uint32()
	if d.Uint32() != msgCall || d.Err() != nil {
		return false
	}
	r := &call.Reply
	r.begin(call.XID)
	if d.Uint32() != rpcVersion || d.Err() != nil {
		r.deny(rpcMismatch, rpcVersion, rpcVersion)
		return true
	}
	call.Program, call.Version, call.Procedure = d.Uint32(), d.Uint32(), d.Uint32()
	if stat := call.decodeAuth(&d); stat != authOK {
		r.deny(authError, uint32(stat))
		return true
	}
	call.HeaderSize = d.Offset()
	call.Args = d
	s.dispatch(call)
	r.end()
	return true
}

// deny makes the record the reply to a call that is not accepted.
func (r *Reply) deny(why ...uint32) {
	r.Uint32(msgDenied)
	for _, w := range why {
		r.Uint32(w)
	}
	r.end()
}

// dispatch has the handler of the call's program and version answer it.
func (s *Server) dispatch(call *Call) {
	r := &call.Reply
	p := s.programs[call.Program]
	if p == nil {
		r.accept(ProgUnavail)
		return
	}
	h := p.versions[call.Version]
	if h == nil {
		r.accept(ProgMismatch)
		r.Uint32(p.low)
		r.Uint32(p.high)
		return
	}
	r.accept(Success)
	if stat := s.serve(h, call); stat != Success {
		r.restart()
		r.accept(stat)
	}
}

// serve runs a handler. One that panics fails its call and nothing else.
func (s *Server) serve(h Handler, call *Call) (stat AcceptStat) {
	defer func() {
		if p := recover(); p != nil {
			s.opt.Log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("client", call.Conn.Peer()).
				Uint32("program", call.Program).Uint32("procedure", call.Procedure).Msg("a call failed by a mistake in this program")
			stat = SystemErr
		}
	}()
	return h.ServeRPC(call)
}
