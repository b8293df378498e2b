package nfs

import (
	"runtime/debug"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// object is a filehandle in use: the current or the saved one. With exp nil
// there is none.
type object struct {
	exp  *export.Export
	node vfs.Node
}

// compound is one COMPOUND being answered. Operations are its methods: each
// decodes its arguments from args, does its work, appends its result body
// (what follows the status) to reply and returns the status.
type compound struct {
	srv   *Server
	call  *rpc.Call
	args  *xdr.Decoder
	reply *rpc.Reply
	minor uint32
	nops  int // operations in the request
	index int // of the operation under way

	cur, saved       object
	curSID, savedSID currentStateID

	// cred is the caller as credFor sees it; made when first asked for.
	cred    *vfs.Cred
	credFor *export.Export
	// entered are the exports in use: see enter.
	entered []*export.Export

	// What SEQUENCE brought; nil outside a session.
	client    *clients.Client
	session   *clients.Session
	slot      uint32
	slotUsed  bool // slot is to be given back
	cacheThis bool
	replyMax  int  // most bytes of the COMPOUND's results
	replayed  bool // reply is the one of an earlier execution
	uncached  bool // executed earlier, and the reply was not kept
	start     int  // where the COMPOUND's results begin in reply

	// keepBody is set by an operation whose failure has a result body.
	keepBody bool
	now      time.Time // when the operation under way began
}

// currentStateID is the stateid that operations leave for later ones of the
// same COMPOUND (RFC 8881 §16.2.3.1.2).
type currentStateID struct {
	id    nfs4.StateID
	valid bool
}

var compounds = sync.Pool{New: func() any { return new(compound) }}

// serveCompound answers COMPOUND (RFC 8881 §16.2).
func (s *Server) serveCompound(call *rpc.Call) rpc.AcceptStat {
	c := compounds.Get().(*compound)
	*c = compound{
		srv: s, call: call, args: &call.Args, reply: &call.Reply, replyMax: maxReplyNoSession, start: call.Reply.Len(),
		entered: c.entered,
	}
	ok := c.run()
	if c.slotUsed {
		c.finishSlot()
	}
	c.leave()
	*c = compound{entered: c.entered}
	compounds.Put(c)
	if !ok {
		return rpc.GarbageArgs
	}
	return rpc.Success
}

// maxReplyNoSession bounds the reply to a COMPOUND outside a session, which
// is EXCHANGE_ID, CREATE_SESSION and their like: all small.
const maxReplyNoSession = 64 << 10

// run executes the operations. It returns false if the arguments cannot be
// decoded up to the first operation.
func (c *compound) run() bool {
	tag := c.args.Opaque(nfs4.OpaqueLimit)
	c.minor = c.args.Uint32()
	c.nops = int(c.args.Uint32())
	if c.args.Err() != nil {
		return false
	}
	statusAt := c.reply.Reserve()
	c.reply.Opaque(tag)
	countAt := c.reply.Reserve()

	status, done := c.refuse(tag), 0
	c.now = c.srv.clock()
	for status == nfs4.OK && done < c.nops {
		c.index = done
		status = c.step()
		done++
		if c.replayed {
			return true // the cached reply stands where this one began
		}
	}
	c.reply.Put(statusAt, uint32(status))
	c.reply.Put(countAt, uint32(done))
	return true
}

// refuse checks what can be wrong with a COMPOUND as a whole.
func (c *compound) refuse(tag []byte) nfs4.Status {
	if c.minor < minMinor || c.minor > maxMinor {
		return nfs4.ErrMinorVersMismatch
	}
	if !utf8.Valid(tag) {
		return nfs4.ErrInval
	}
	return nfs4.OK
}

// step executes one operation and appends its result.
func (c *compound) step() nfs4.Status {
	num := nfs4.Op(c.args.Uint32())
	if c.args.Err() != nil {
		num = nfs4.OpIllegal
	}
	op := lookupOp(num, c.minor)
	if op == nil {
		c.reply.Uint32(uint32(nfs4.OpIllegal))
		status := nfs4.ErrOpIllegal
		if c.args.Err() != nil {
			status = nfs4.ErrBadxdr
		}
		c.reply.Uint32(uint32(status))
		return status
	}
	c.reply.Uint32(uint32(num))
	statusAt := c.reply.Reserve()
	body := c.reply.Mark()
	c.keepBody = false
	status := c.admit(num, op)
	if status == nfs4.OK {
		status = c.execute(num, op)
		if c.replayed {
			return status
		}
		if status == nfs4.OK && c.reply.Size() > c.replyMax {
			status = c.tooBig()
		}
	}
	if status != nfs4.OK && !c.keepBody {
		c.reply.Rewind(body)
		if op.flags&tellsNone != 0 {
			c.reply.Uint32(0)
		}
	}
	c.reply.Put(statusAt, uint32(status))
	now := c.srv.clock()
	c.srv.stats.Observe(uint32(num), uint32(status), now.Sub(c.now))
	c.now = now
	return status
}

// execute runs an operation. One that panics fails, and nothing else does: its
// slot, its client and its exports are given back as ever, and a request sent
// again is answered from the slot.
func (c *compound) execute(num nfs4.Op, op *operation) (st nfs4.Status) {
	defer func() {
		if p := recover(); p != nil {
			c.srv.log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("client", c.call.Conn.Peer()).
				Stringer("operation", num).Msg("an operation failed by a mistake in this program")
			c.keepBody = false
			st = nfs4.ErrServerfault
		}
	}()
	return op.run(c)
}

// admit checks what the table says an operation needs before it runs.
func (c *compound) admit(num nfs4.Op, op *operation) nfs4.Status {
	if c.uncached {
		return nfs4.ErrRetryUncachedRep
	}
	if c.index == 0 {
		switch {
		case op.flags&sessionless == 0:
			return nfs4.ErrOpNotInSession
		case num != nfs4.OpSequence && c.nops != 1:
			return nfs4.ErrNotOnlyOp
		}
	}
	if op.flags&needsFH != 0 && c.cur.exp == nil {
		return nfs4.ErrNofilehandle
	}
	if op.flags&modifies != 0 && c.cur.exp.ReadOnly {
		return nfs4.ErrRofs
	}
	// An operation that changes something must not run when its reply
	// cannot be sent or kept for a replay (RFC 8881 §2.10.6.4).
	if op.reply > 0 && c.reply.Size()+op.reply > c.replyMax {
		return c.tooBig()
	}
	return nfs4.OK
}

// tooBig says which limit the reply has run into.
func (c *compound) tooBig() nfs4.Status {
	if c.cacheThis && c.reply.Size() <= c.session.Fore.MaxResponse-replyHeaderSize {
		return nfs4.ErrRepTooBigToCache
	}
	return nfs4.ErrRepTooBig
}

// room returns the bytes left for the result under way.
func (c *compound) room() int { return max(0, c.replyMax-c.reply.Size()) }

// badXDR reports whether the arguments taken so far were malformed. Every
// operation asks before it does anything.
func (c *compound) badXDR() bool { return c.args.Err() != nil }

// caller returns who calls, as the current filehandle's export sees it.
func (c *compound) caller() *vfs.Cred { return c.callerOn(c.cur.exp) }

func (c *compound) callerOn(exp *export.Export) *vfs.Cred {
	if c.credFor != exp {
		a := &c.call.Auth
		c.cred, c.credFor = exp.Cred(a.Flavor, a.UID, a.GID, a.GIDs, c.call.Conn.Peer()), exp
	}
	return c.cred
}
