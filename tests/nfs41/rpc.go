package nfs41

import (
	"fmt"

	"github.com/fsva/fsva/server/xdr"
)

// RPC (RFC 5531) numbers of the calls this client makes and answers.
const (
	ProgramNFS  = 100003
	VersionNFS4 = 4

	ProcNull     = 0
	ProcCompound = 1

	msgCall  = 0
	msgReply = 1

	authNone = 0
	authSys  = 1
)

// AcceptStat is how a server that accepted a call's header ended it.
type AcceptStat uint32

// RFC 5531 section 9.
const (
	Success AcceptStat = iota
	ProgUnavail
	ProgMismatch
	ProcUnavail
	GarbageArgs
	SystemErr
)

// An RPCError is a reply that carries no result: the server did not run the
// procedure.
type RPCError struct {
	// Denied is true for MSG_DENIED: Reject and Auth tell why.
	Denied       bool
	Accept       AcceptStat
	Reject, Auth uint32
	// Low and High are the versions of PROG_MISMATCH and RPC_MISMATCH.
	Low, High uint32
}

func (e *RPCError) Error() string {
	if e.Denied {
		return fmt.Sprintf("nfs41: call denied: reject_stat %d, auth_stat %d, versions %d-%d", e.Reject, e.Auth, e.Low, e.High)
	}
	return fmt.Sprintf("nfs41: call not run: accept_stat %d, versions %d-%d", e.Accept, e.Low, e.High)
}

// A Cred is an AUTH_SYS credential. The zero value is root.
type Cred struct {
	Machine  string
	UID, GID uint32
	GIDs     []uint32
	// None sends AUTH_NONE instead.
	None bool
}

// encode appends the credential and an empty verifier.
func (c Cred) encode(e *xdr.Encoder) {
	if c.None {
		e.Uint32(authNone)
		e.Uint32(0)
	} else {
		e.Uint32(authSys)
		size := e.Reserve()
		start := e.Len()
		c.encodeBody(e)
		e.Put(size, uint32(e.Len()-start))
	}
	e.Uint32(authNone)
	e.Uint32(0)
}

// encodeBody appends authsys_parms (RFC 5531 appendix A).
func (c Cred) encodeBody(e *xdr.Encoder) {
	e.Uint32(0) // stamp
	e.String(c.Machine)
	e.Uint32(c.UID)
	e.Uint32(c.GID)
	e.Uint32(uint32(len(c.GIDs)))
	for _, g := range c.GIDs {
		e.Uint32(g)
	}
}

// encodeCall appends the header of a call.
func encodeCall(e *xdr.Encoder, xid, prog, vers, proc uint32, cred Cred) {
	e.Uint32(xid)
	e.Uint32(msgCall)
	e.Uint32(2) // RPC version
	e.Uint32(prog)
	e.Uint32(vers)
	e.Uint32(proc)
	cred.encode(e)
}

// decodeReply takes the header of a reply and leaves d at the results.
func decodeReply(d *xdr.Decoder) error {
	d.Uint32() // xid: it brought the reply here
	if d.Uint32() != msgReply {
		d.Fail()
	}
	if d.Uint32() == 1 {
		return decodeDenied(d)
	}
	d.Uint32() // verifier
	d.Opaque(400)
	e := RPCError{Accept: AcceptStat(d.Uint32())}
	if e.Accept == ProgMismatch {
		e.Low, e.High = d.Uint32(), d.Uint32()
	}
	if err := d.Err(); err != nil {
		return err
	}
	if e.Accept != Success {
		return &e
	}
	return nil
}

func decodeDenied(d *xdr.Decoder) error {
	e := RPCError{Denied: true, Reject: d.Uint32()}
	if e.Reject == 0 { // RPC_MISMATCH
		e.Low, e.High = d.Uint32(), d.Uint32()
	} else {
		e.Auth = d.Uint32()
	}
	if err := d.Err(); err != nil {
		return err
	}
	return &e
}
