package rpc

import (
	"context"

	"github.com/fsva/fsva/server/xdr"
)

// A Handler answers the calls of one version of one program. ServeRPC decodes
// call.Args, appends the results to call.Reply and returns the accept status:
// Success, ProcUnavail, GarbageArgs or SystemErr. Unless it is Success nothing
// of Reply is sent. It runs on the goroutine that reads the connection, which
// is the fastest for what is quick; what is not says so by [Call.MayBlock].
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
	// HeaderSize is the length of the call before Args, in bytes.
	HeaderSize int
	Args       xdr.Decoder // aliases the record's buffer
	Reply      Reply

	gids [maxGIDs]uint32 // what Auth.GIDs is made of
	loop *loop
}

// MayBlock says that the call may take a while: for a disk, for another
// guest, or just for much data. From now on it keeps others on its connection
// waiting for about a millisecond at most; calls that come in after that are
// answered first. Calling it again does nothing.
func (c *Call) MayBlock() { c.loop.mayBlock() }
