package rpc

import (
	"context"

	"github.com/fsva/fsva/server/xdr"
)

// A Handler answers the calls of one version of one program. ServeRPC decodes
// call.Args, appends the results to call.Reply and returns the accept status:
// Success, ProcUnavail or GarbageArgs (then nothing of Reply is sent). It runs
// on the goroutine that reads the connection; see [Call.MayBlock].
type Handler interface {
	ServeRPC(call *Call) AcceptStat
}

// AcceptStat is the status of an accepted call (RFC 5531 §9).
type AcceptStat uint32

const (
	Success      AcceptStat = 0
	ProgUnavail  AcceptStat = 1
	ProgMismatch AcceptStat = 2
	ProcUnavail  AcceptStat = 3
	GarbageArgs  AcceptStat = 4
	SystemErr    AcceptStat = 5
)

// Auth flavors (RFC 5531 §8.2).
const (
	AuthNone uint32 = 0
	AuthSys  uint32 = 1
)

// Auth is who the caller says it is.
type Auth struct {
	Flavor   uint32
	Machine  string   // AUTH_SYS machine name
	UID, GID uint32   // AUTH_SYS
	GIDs     []uint32 // AUTH_SYS, at most 16
}

// Call is one call that came in. It and what it points to are valid until
// ServeRPC returns.
type Call struct {
	Ctx       context.Context // ends when the connection or the server does
	Conn      *Conn
	XID       uint32
	Program   uint32
	Version   uint32
	Procedure uint32
	Auth      Auth
	Args      xdr.Decoder // aliases the record's buffer
	Reply     Reply
}

// Reply collects the results of a call.
type Reply struct {
	xdr.Encoder
}
