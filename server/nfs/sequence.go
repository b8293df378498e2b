package nfs

import (
	"github.com/fsva/fsva/server/nfs/clients"
	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
)

// sequence is SEQUENCE (RFC 8881 §18.46).
func (c *compound) sequence() nfs4.Status {
	id := nfs4.SessionID(fixed16(c.args))
	args := clients.SequenceArgs{Seq: c.args.Uint32(), Slot: c.args.Uint32(), Highest: c.args.Uint32(), Cache: c.args.Bool()}
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if c.index != 0 {
		return nfs4.ErrSequencePos
	}
	s := c.srv.clients.Session(id)
	if s == nil {
		return nfs4.ErrBadsession
	}
	size := c.args.Offset() + c.args.Remaining()
	switch {
	case size+c.call.HeaderSize > s.Fore.MaxRequest:
		return nfs4.ErrReqTooBig
	case c.nops > s.Fore.MaxOps:
		return nfs4.ErrTooManyOps
	}
	args.Size, args.Ops, args.UID = size, c.nops, c.call.Auth.UID
	// The client counts as busy from before its slot is taken, so that its
	// lease cannot run out in between.
	s.Client.Begin(c.now)
	res, err := s.Sequence(args)
	if err != nil || res.Replay {
		s.Client.End()
	}
	if err != nil {
		return statusOf(err)
	}
	if !s.Bound(c.call.Conn, clients.Fore) {
		s.Bind(c.call.Conn, clients.Fore)
	}
	if res.Replay {
		return c.replay(id, &args, &res)
	}
	c.session, c.client = s, s.Client
	c.slot, c.slotUsed = args.Slot, true
	c.cacheThis = args.Cache
	c.replyMax = s.Fore.MaxResponse - replyHeaderSize
	if args.Cache {
		c.replyMax = min(c.replyMax, s.Fore.MaxCached-replyHeaderSize)
	}
	c.sequenceResult(id, &args, &res)
	return nfs4.OK
}

// replyHeaderSize is the RPC header of an accepted reply in bytes, which
// counts in a session's limits (RFC 8881 §18.36.3, ca_maxresponsesize).
const replyHeaderSize = 24

func (c *compound) sequenceResult(id nfs4.SessionID, args *clients.SequenceArgs, res *clients.SequenceResult) {
	c.reply.Fixed(id[:])
	c.reply.Uint32(args.Seq)
	c.reply.Uint32(args.Slot)
	c.reply.Uint32(res.Highest)
	c.reply.Uint32(res.Highest) // target: the server never asks for fewer
	c.reply.Uint32(res.Flags)
}

// replay answers a request that was executed before: with what was answered
// then, or, if that was not kept, with NFS4ERR_RETRY_UNCACHED_REP in the place
// of the second operation (RFC 8881 §2.10.6.1.3).
func (c *compound) replay(id nfs4.SessionID, args *clients.SequenceArgs, res *clients.SequenceResult) nfs4.Status {
	if res.Reply != nil {
		c.reply.Truncate(c.start)
		c.reply.Buf = append(c.reply.Buf, res.Reply...)
		c.replayed = true
		return nfs4.OK
	}
	c.uncached = true
	c.sequenceResult(id, args, res)
	return nfs4.OK
}

// finishSlot gives back the slot and keeps the reply if the client asked for
// that. The reply to a lone SEQUENCE is kept always: it costs little and its
// replay could say nothing else.
func (c *compound) finishSlot() {
	var keep []byte
	if c.cacheThis || c.nops == 1 {
		keep, _ = c.reply.Flatten(c.start) // if it cannot be read, neither can it be sent
	}
	c.session.Finish(c.slot, keep)
	c.client.End()
}

// exchangeID is EXCHANGE_ID (RFC 8881 §18.35).
func (c *compound) exchangeID() nfs4.Status {
	var id clients.Identity
	copy(id.Verifier[:], c.args.Fixed(nfs4.VerifierLen))
	id.Owner = c.args.String(nfs4.OpaqueLimit)
	flags := c.args.Uint32()
	how := c.args.Uint32()
	if how == nfs4.SP4None {
		for range c.args.Count(1, 8) {
			c.args.Opaque(nfs4.OpaqueLimit) // domain
			id.Impl = c.args.String(nfs4.OpaqueLimit)
			c.args.Int64()
			c.args.Uint32()
		}
	}
	switch {
	case c.badXDR() || how > nfs4.SP4SSV:
		return nfs4.ErrBadxdr
	case flags&^nfs4.ExchgidFlags != 0:
		return nfs4.ErrInval
	case how == nfs4.SP4MachCred:
		// Needs a request with RPCSEC_GSS integrity (§18.35.3), which
		// this server does not have: AUTH_SYS proves nothing.
		return nfs4.ErrInval
	case how == nfs4.SP4SSV:
		return nfs4.ErrEncrAlgUnsupp
	}
	id.Principal = c.principal()
	id.Addr = c.call.Conn.RemoteAddr().String()
	id.Minor = c.minor
	res, err := c.srv.clients.Exchange(id, flags&nfs4.ExchgidUpdConfirmedRecA != 0)
	if err != nil {
		return statusOf(err)
	}
	c.reply.Uint64(uint64(res.ID))
	c.reply.Uint32(res.Sequence)
	rflags := uint32(nfs4.ExchgidUseNonPNFS)
	if res.Confirmed {
		rflags |= nfs4.ExchgidConfirmedR
	}
	c.reply.Uint32(rflags)
	c.reply.Uint32(nfs4.SP4None)
	c.reply.Uint64(0) // so_minor_id
	c.reply.Opaque(c.srv.owner[:])
	c.reply.Opaque(c.srv.owner[:]) // scope
	c.reply.Uint32(1)
	c.reply.String("fsva.org")
	c.reply.String(c.srv.implName)
	c.reply.Int64(0)
	c.reply.Uint32(0)
	return nfs4.OK
}

func (c *compound) principal() clients.Principal {
	return clients.Principal{Flavor: c.call.Auth.Flavor, UID: c.call.Auth.UID}
}

// createSession is CREATE_SESSION (RFC 8881 §18.36).
func (c *compound) createSession() nfs4.Status {
	args := clients.CreateArgs{ClientID: nfs4.ClientID(c.args.Uint64()), Sequence: c.args.Uint32(), Flags: c.args.Uint32()}
	args.Fore = c.decodeChannel()
	args.Back = c.decodeChannel()
	args.Callback.Program = c.args.Uint32()
	args.Callback.Auth = c.decodeCallbackSec()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if args.Flags&^(nfs4.CreateSessionPersist|nfs4.CreateSessionConnBackChan|nfs4.CreateSessionConnRDMA) != 0 {
		return nfs4.ErrInval
	}
	args.Principal = c.principal()
	res, err := c.srv.clients.CreateSession(args)
	if err != nil {
		return statusOf(err)
	}
	if res.Session != nil {
		dirs := clients.Fore
		if res.Flags&nfs4.CreateSessionConnBackChan != 0 {
			dirs |= clients.Back
		}
		res.Session.Bind(c.call.Conn, dirs)
	}
	c.reply.Fixed(res.ID[:])
	c.reply.Uint32(res.Sequence)
	c.reply.Uint32(res.Flags)
	c.encodeChannel(&res.Fore)
	c.encodeChannel(&res.Back)
	return nfs4.OK
}

func (c *compound) decodeChannel() clients.Channel {
	ch := clients.Channel{
		HeaderPad:   c.args.Uint32(),
		MaxRequest:  int(c.args.Uint32()),
		MaxResponse: int(c.args.Uint32()),
		MaxCached:   int(c.args.Uint32()),
		MaxOps:      int(c.args.Uint32()),
		MaxRequests: int(c.args.Uint32()),
	}
	for range c.args.Count(1, 4) { // ca_rdma_ird
		c.args.Uint32()
	}
	return ch
}

func (c *compound) encodeChannel(ch *clients.Channel) {
	for _, v := range [...]int{0, ch.MaxRequest, ch.MaxResponse, ch.MaxCached, ch.MaxOps, ch.MaxRequests, 0} {
		c.reply.Uint32(uint32(v))
	}
}

// decodeCallbackSec takes callback_sec_parms4<> and returns the first flavor
// that callbacks can be made with, AUTH_NONE if there is none.
func (c *compound) decodeCallbackSec() (auth rpc.Auth) {
	const rpcsecGSS = 6
	chosen := false
	for range c.args.Count(16, 4) {
		switch flavor := c.args.Uint32(); flavor {
		case rpc.AuthNone:
			chosen = true
		case rpc.AuthSys:
			a := rpc.Auth{Flavor: rpc.AuthSys}
			c.args.Uint32() // stamp
			a.Machine = c.args.String(255)
			a.UID, a.GID = c.args.Uint32(), c.args.Uint32()
			for range c.args.Count(16, 4) {
				a.GIDs = append(a.GIDs, c.args.Uint32())
			}
			if !chosen {
				auth, chosen = a, true
			}
		case rpcsecGSS:
			c.args.Uint32() // service
			c.args.Opaque(nfs4.OpaqueLimit)
			c.args.Opaque(nfs4.OpaqueLimit)
		default:
			c.args.Fail()
		}
	}
	return auth
}

// destroySession is DESTROY_SESSION (RFC 8881 §18.37).
func (c *compound) destroySession() nfs4.Status {
	id := nfs4.SessionID(fixed16(c.args))
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	s := c.srv.clients.Session(id)
	if s == nil {
		return nfs4.ErrBadsession
	}
	own := 0
	if s == c.session {
		if c.index != c.nops-1 { // §18.37.3: it must be the last operation
			return nfs4.ErrNotOnlyOp
		}
		own = 1
	}
	return statusOf(c.srv.clients.DestroySession(s, own))
}

// bindConnToSession is BIND_CONN_TO_SESSION (RFC 8881 §18.34).
func (c *compound) bindConnToSession() nfs4.Status {
	id := nfs4.SessionID(fixed16(c.args))
	dir := c.args.Uint32()
	c.args.Bool() // RDMA mode: there is none
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	s := c.srv.clients.Session(id)
	if s == nil {
		return nfs4.ErrBadsession
	}
	var dirs uint32
	switch dir {
	case nfs4.CDFCFore:
		dirs = nfs4.CDFSFore
	case nfs4.CDFCBack:
		dirs = nfs4.CDFSBack
	case nfs4.CDFCForeOrBoth, nfs4.CDFCBackOrBoth:
		dirs = nfs4.CDFSBoth
	default:
		return nfs4.ErrInval
	}
	s.Bind(c.call.Conn, dirs)
	c.reply.Fixed(id[:])
	c.reply.Uint32(dirs)
	c.reply.Bool(false)
	return nfs4.OK
}

// backchannelCtl is BACKCHANNEL_CTL (RFC 8881 §18.33).
func (c *compound) backchannelCtl() nfs4.Status {
	to := clients.Callback{Program: c.args.Uint32()}
	to.Auth = c.decodeCallbackSec()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	c.session.SetCallback(to)
	return nfs4.OK
}

// destroyClientID is DESTROY_CLIENTID (RFC 8881 §18.50).
func (c *compound) destroyClientID() nfs4.Status {
	id := nfs4.ClientID(c.args.Uint64())
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	c.call.MayBlock() // the reclaim record is deleted durably
	return statusOf(c.srv.clients.DestroyClient(id))
}

// reclaimComplete is RECLAIM_COMPLETE (RFC 8881 §18.51).
func (c *compound) reclaimComplete() nfs4.Status {
	oneFS := c.args.Bool()
	switch {
	case c.badXDR():
		return nfs4.ErrBadxdr
	case oneFS && c.cur.exp == nil:
		return nfs4.ErrNofilehandle
	case oneFS: // for file systems that migrate, which none does
		return nfs4.OK
	}
	c.call.MayBlock()
	return statusOf(c.client.ReclaimComplete())
}
