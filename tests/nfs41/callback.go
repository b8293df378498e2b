package nfs41

import "github.com/fsva/fsva/server/xdr"

// CallbackProgram is the RPC program number that CreateSession gives the
// server for its calls (transient range, RFC 5531 section 8.2).
const CallbackProgram = 0x40000041

// A CBOp is an operation that the server sent in a CB_COMPOUND: one of
// *CBSequence, *CBRecall, *CBRecallAny, *CBRecallSlot, *CBNotifyLock,
// *CBOffload.
type CBOp interface {
	decode(d *xdr.Decoder)
	num() uint32
}

// Callback operations (RFC 8881 section 20, RFC 7862 section 16).
type (
	// CBSequence leads every CB_COMPOUND.
	CBSequence struct {
		Session            SessionID
		Seq, Slot, Highest uint32
		CacheThis          bool
		Referring          []ReferringCall
	}
	// A ReferringCall names a request that the callback is about.
	ReferringCall struct {
		Session   SessionID
		Seq, Slot uint32
	}
	// CBRecall asks for a delegation back.
	CBRecall struct {
		Stateid  Stateid
		Truncate bool
		FH       FH
	}
	// CBRecallAny asks for some of what the client holds.
	CBRecallAny struct {
		Keep uint32
		Mask Bitmap
	}
	// CBRecallSlot asks the client to use fewer slots.
	CBRecallSlot struct{ TargetHighest uint32 }
	// CBNotifyLock says that a lock that was denied may be free.
	CBNotifyLock struct {
		FH       FH
		ClientID uint64
		Owner    []byte
	}
	// CBOffload ends an asynchronous copy.
	CBOffload struct {
		FH       FH
		Stateid  Stateid
		Status   Status
		Count    uint64 // bytes written, or those before the failure
		Callback []Stateid
		Stable   StableHow
		Verifier Verifier
	}
)

func (*CBSequence) num() uint32   { return 11 }
func (*CBRecall) num() uint32     { return 4 }
func (*CBRecallAny) num() uint32  { return 8 }
func (*CBRecallSlot) num() uint32 { return 10 }
func (*CBNotifyLock) num() uint32 { return 13 }
func (*CBOffload) num() uint32    { return 15 }

func (o *CBSequence) decode(d *xdr.Decoder) {
	copy(o.Session[:], d.Fixed(16))
	o.Seq, o.Slot, o.Highest, o.CacheThis = d.Uint32(), d.Uint32(), d.Uint32(), d.Bool()
	for range d.Count(1024, 20) {
		var r ReferringCall
		copy(r.Session[:], d.Fixed(16))
		for range d.Count(1024, 8) {
			r.Seq, r.Slot = d.Uint32(), d.Uint32()
			o.Referring = append(o.Referring, r)
		}
	}
}

func (o *CBRecall) decode(d *xdr.Decoder) {
	o.Stateid.decode(d)
	o.Truncate = d.Bool()
	o.FH = append(FH(nil), d.Opaque(maxFH)...)
}

func (o *CBRecallAny) decode(d *xdr.Decoder) {
	o.Keep = d.Uint32()
	o.Mask.decode(d)
}

func (o *CBRecallSlot) decode(d *xdr.Decoder) { o.TargetHighest = d.Uint32() }

func (o *CBNotifyLock) decode(d *xdr.Decoder) {
	o.FH = append(FH(nil), d.Opaque(maxFH)...)
	o.ClientID = d.Uint64()
	o.Owner = append([]byte(nil), d.Opaque(maxName)...)
}

func (o *CBOffload) decode(d *xdr.Decoder) {
	o.FH = append(FH(nil), d.Opaque(maxFH)...)
	o.Stateid.decode(d)
	if o.Status = Status(d.Uint32()); o.Status != NFS4_OK {
		o.Count = d.Uint64()
		return
	}
	var w WriteResponse
	w.decode(d)
	o.Count, o.Callback, o.Stable, o.Verifier = w.Count, w.Callback, w.Committed, w.Verifier
}

func newCBOp(num uint32) CBOp {
	for _, op := range []CBOp{&CBSequence{}, &CBRecall{}, &CBRecallAny{}, &CBRecallSlot{}, &CBNotifyLock{}, &CBOffload{}} {
		if op.num() == num {
			return op
		}
	}
	return nil
}

// HandleCallbacks has f called for every operation the server sends on this
// connection, in order and from the goroutine that reads replies: f must not
// make calls itself. It returns the operation's status. Without a handler, or
// when f is nil, the answer is NFS4_OK.
func (c *Conn) HandleCallbacks(f func(CBOp) Status) {
	if f == nil {
		f = func(CBOp) Status { return NFS4_OK }
	}
	c.callbacks.Store(&f)
}

// answer runs one call of the server and sends the reply.
func (c *Conn) answer(call []byte) error {
	d := xdr.NewDecoder(call)
	var e xdr.Encoder
	mark := e.Reserve()
	e.Uint32(d.Uint32()) // xid
	e.Uint32(msgReply)
	e.Uint32(0) // accepted
	e.Uint32(authNone)
	e.Uint32(0)
	d.Uint32() // CALL
	d.Uint32() // RPC version
	prog, vers, proc := d.Uint32(), d.Uint32(), d.Uint32()
	for range 2 { // credential and verifier
		d.Uint32()
		d.Opaque(400)
	}
	switch {
	case d.Err() != nil:
		e.Uint32(uint32(GarbageArgs))
	case prog != CallbackProgram:
		e.Uint32(uint32(ProgUnavail))
	case vers != 1:
		e.Uint32(uint32(ProgMismatch))
		e.Uint32(1)
		e.Uint32(1)
	case proc == ProcNull:
		e.Uint32(uint32(Success))
	case proc == ProcCompound:
		e.Uint32(uint32(Success))
		c.cbCompound(&d, &e)
	default:
		e.Uint32(uint32(ProcUnavail))
	}
	e.Put(mark, lastFragment|uint32(e.Len()-4))
	return c.send(e.Buf)
}

// cbCompound runs a CB_COMPOUND (RFC 8881 section 20).
func (c *Conn) cbCompound(d *xdr.Decoder, e *xdr.Encoder) {
	tag := d.Opaque(maxName)
	d.Uint32() // minor version
	d.Uint32() // callback_ident, unused since 4.1
	n := d.Count(64, 4)
	status := e.Reserve()
	e.Opaque(tag)
	count := e.Reserve()
	st := NFS4_OK
	for i := 0; i < n && st == NFS4_OK; i++ {
		num := d.Uint32()
		st = c.cbOp(num, d, e)
		e.Put(count, uint32(i+1))
	}
	e.Put(status, uint32(st))
}

func (c *Conn) cbOp(num uint32, d *xdr.Decoder, e *xdr.Encoder) Status {
	e.Uint32(num)
	st := NFS4ERR_NOTSUPP
	op := newCBOp(num)
	if op != nil {
		if op.decode(d); d.Err() != nil {
			st = NFS4ERR_BADXDR
		} else if st = NFS4_OK; c.callbacks.Load() != nil {
			st = (*c.callbacks.Load())(op)
		}
	}
	e.Uint32(uint32(st))
	if s, ok := op.(*CBSequence); ok && st == NFS4_OK {
		e.Fixed(s.Session[:])
		e.Uint32(s.Seq)
		e.Uint32(s.Slot)
		e.Uint32(s.Slot) // highest slot used
		e.Uint32(s.Slot) // highest slot wanted
	}
	return st
}
