package nfs41

import "github.com/fsva/fsva/server/xdr"

// EXCHANGE_ID flags (RFC 8881 section 18.35).
const (
	ExchgidUseNonPNFS uint32 = 0x00010000
	ExchgidUpdate     uint32 = 0x40000000
	ExchgidConfirmed  uint32 = 0x80000000
)

// State protection of EXCHANGE_ID.
const (
	SP4None uint32 = iota
	SP4MachCred
	SP4SSV
)

// ExchangeID is EXCHANGE_ID (RFC 8881 section 18.35).
type ExchangeID struct {
	Verifier Verifier
	Owner    []byte
	Flags    uint32
	// Protect is the state_protect_how4. SP4MachCred sends Enforce and Allow.
	Protect        uint32
	Enforce, Allow Bitmap
	// Impl adds a nfs_impl_id4 of that name.
	Impl string

	ClientID    uint64
	Seq         uint32 // for the first CREATE_SESSION
	ReplyFlags  uint32
	ReplyProt   uint32
	MinorID     uint64
	MajorID     []byte
	ServerScope []byte
}

func (*ExchangeID) Num() OpNum { return OpExchangeID }

func (o *ExchangeID) Encode(e *xdr.Encoder) {
	e.Fixed(o.Verifier[:])
	e.Opaque(o.Owner)
	e.Uint32(o.Flags)
	e.Uint32(o.Protect)
	if o.Protect == SP4MachCred {
		o.Enforce.encode(e)
		o.Allow.encode(e)
	}
	if o.Impl == "" {
		e.Uint32(0)
		return
	}
	e.Uint32(1)
	e.String("example.org")
	e.String(o.Impl)
	Time{}.encode(e)
}

func (o *ExchangeID) Decode(d *xdr.Decoder, st Status) {
	if st != NFS4_OK {
		return
	}
	o.ClientID, o.Seq, o.ReplyFlags = d.Uint64(), d.Uint32(), d.Uint32()
	if o.ReplyProt = d.Uint32(); o.ReplyProt == SP4MachCred {
		o.Enforce.decode(d)
		o.Allow.decode(d)
	}
	o.MinorID = d.Uint64()
	o.MajorID = append([]byte(nil), d.Opaque(1024)...)
	o.ServerScope = append([]byte(nil), d.Opaque(1024)...)
	for range d.Count(1, 8) {
		d.Opaque(maxName)
		d.Opaque(maxName)
		d.Uint64()
		d.Uint32()
	}
}

// ChannelAttrs are the properties of one channel of a session.
type ChannelAttrs struct {
	HeaderPad, MaxRequest, MaxReply, MaxReplyCached, MaxOps, MaxRequests uint32
	RDMA                                                                 []uint32
}

func (a ChannelAttrs) encode(e *xdr.Encoder) {
	for _, v := range []uint32{a.HeaderPad, a.MaxRequest, a.MaxReply, a.MaxReplyCached, a.MaxOps, a.MaxRequests} {
		e.Uint32(v)
	}
	Bitmap(a.RDMA).encode(e)
}

func (a *ChannelAttrs) decode(d *xdr.Decoder) {
	for _, p := range []*uint32{&a.HeaderPad, &a.MaxRequest, &a.MaxReply, &a.MaxReplyCached, &a.MaxOps, &a.MaxRequests} {
		*p = d.Uint32()
	}
	a.RDMA = nil
	for range d.Count(1, 4) {
		a.RDMA = append(a.RDMA, d.Uint32())
	}
}

// CREATE_SESSION flags (RFC 8881 section 18.36).
const (
	SessionPersist  uint32 = 1
	SessionBackChan uint32 = 2
	SessionRDMA     uint32 = 4
)

// CreateSession is CREATE_SESSION (RFC 8881 section 18.36). Fore and Back are
// what is asked for and then what was granted.
type CreateSession struct {
	ClientID   uint64
	Seq        uint32
	Flags      uint32
	Fore, Back ChannelAttrs
	// CBSys sends AUTH_SYS callback credentials rather than AUTH_NONE.
	CBSys bool

	Session    SessionID
	ReplySeq   uint32
	ReplyFlags uint32
}

func (*CreateSession) Num() OpNum { return OpCreateSession }

func (o *CreateSession) Encode(e *xdr.Encoder) {
	e.Uint64(o.ClientID)
	e.Uint32(o.Seq)
	e.Uint32(o.Flags)
	o.Fore.encode(e)
	o.Back.encode(e)
	e.Uint32(CallbackProgram)
	e.Uint32(1)
	if !o.CBSys {
		e.Uint32(authNone)
		return
	}
	e.Uint32(authSys)
	Cred{}.encodeBody(e)
}

func (o *CreateSession) Decode(d *xdr.Decoder, st Status) {
	if st != NFS4_OK {
		return
	}
	copy(o.Session[:], d.Fixed(16))
	o.ReplySeq, o.ReplyFlags = d.Uint32(), d.Uint32()
	o.Fore.decode(d)
	o.Back.decode(d)
}

// Sequence is SEQUENCE (RFC 8881 section 18.46).
type Sequence struct {
	Session            SessionID
	Seq, Slot, Highest uint32
	CacheThis          bool

	// Reply is what came back, if anything did.
	Reply struct {
		Session            SessionID
		Seq, Slot, Highest uint32
		TargetHighest      uint32
		Flags              uint32
		Status             Status
	}
}

// SEQUENCE status flags (RFC 8881 section 18.46.3).
const (
	SeqCBPathDown           uint32 = 1 << 0
	SeqExpiredAllRevoked    uint32 = 1 << 3
	SeqExpiredSomeRevoked   uint32 = 1 << 4
	SeqAdminRevoked         uint32 = 1 << 5
	SeqRecallableRevoked    uint32 = 1 << 6
	SeqLeaseMoved           uint32 = 1 << 7
	SeqRestartReclaimNeeded uint32 = 1 << 8
	SeqCBPathDownSession    uint32 = 1 << 9
	SeqBackchannelFault     uint32 = 1 << 10
	SeqDevidChanged         uint32 = 1 << 11
	SeqDevidDeleted         uint32 = 1 << 12
)

func (*Sequence) Num() OpNum { return OpSequence }

func (o *Sequence) Encode(e *xdr.Encoder) {
	e.Fixed(o.Session[:])
	e.Uint32(o.Seq)
	e.Uint32(o.Slot)
	e.Uint32(o.Highest)
	e.Bool(o.CacheThis)
}

func (o *Sequence) Decode(d *xdr.Decoder, st Status) {
	r := &o.Reply
	if r.Status = st; st != NFS4_OK {
		return
	}
	copy(r.Session[:], d.Fixed(16))
	r.Seq, r.Slot, r.Highest, r.TargetHighest, r.Flags = d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32(), d.Uint32()
}

// Channel directions of BIND_CONN_TO_SESSION.
const (
	BindFore       uint32 = 1
	BindBack       uint32 = 2
	BindForeOrBoth uint32 = 3
	BindBackOrBoth uint32 = 7
)

// BindConnToSession is BIND_CONN_TO_SESSION (RFC 8881 section 18.34).
type BindConnToSession struct {
	Session SessionID
	Dir     uint32
	RDMA    bool

	ReplyDir uint32
}

func (*BindConnToSession) Num() OpNum { return OpBindConnToSession }

func (o *BindConnToSession) Encode(e *xdr.Encoder) {
	e.Fixed(o.Session[:])
	e.Uint32(o.Dir)
	e.Bool(o.RDMA)
}

func (o *BindConnToSession) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		copy(o.Session[:], d.Fixed(16))
		o.ReplyDir = d.Uint32()
		o.RDMA = d.Bool()
	}
}

// BackchannelCtl is BACKCHANNEL_CTL (RFC 8881 section 18.33).
type BackchannelCtl struct {
	Program uint32
	Sys     bool
}

func (BackchannelCtl) Num() OpNum { return OpBackchannelCtl }

func (o BackchannelCtl) Encode(e *xdr.Encoder) {
	e.Uint32(o.Program)
	e.Uint32(1)
	if o.Sys {
		e.Uint32(authSys)
		Cred{}.encodeBody(e)
	} else {
		e.Uint32(authNone)
	}
}

func (BackchannelCtl) Decode(*xdr.Decoder, Status) {}

// DestroySession is DESTROY_SESSION (RFC 8881 section 18.37).
type DestroySession SessionID

func (DestroySession) Num() OpNum                  { return OpDestroySession }
func (o DestroySession) Encode(e *xdr.Encoder)     { e.Fixed(o[:]) }
func (DestroySession) Decode(*xdr.Decoder, Status) {}

// DestroyClientID is DESTROY_CLIENTID (RFC 8881 section 18.50).
type DestroyClientID uint64

func (DestroyClientID) Num() OpNum                  { return OpDestroyClientID }
func (o DestroyClientID) Encode(e *xdr.Encoder)     { e.Uint64(uint64(o)) }
func (DestroyClientID) Decode(*xdr.Decoder, Status) {}

// ReclaimComplete is RECLAIM_COMPLETE (RFC 8881 section 18.51).
type ReclaimComplete struct{ OneFS bool }

func (ReclaimComplete) Num() OpNum                  { return OpReclaimComplete }
func (o ReclaimComplete) Encode(e *xdr.Encoder)     { e.Bool(o.OneFS) }
func (ReclaimComplete) Decode(*xdr.Decoder, Status) {}

// FreeStateid is FREE_STATEID (RFC 8881 section 18.38).
type FreeStateid Stateid

func (FreeStateid) Num() OpNum                  { return OpFreeStateid }
func (o FreeStateid) Encode(e *xdr.Encoder)     { Stateid(o).encode(e) }
func (FreeStateid) Decode(*xdr.Decoder, Status) {}

// TestStateid is TEST_STATEID (RFC 8881 section 18.48).
type TestStateid struct {
	Stateids []Stateid

	Statuses []Status
}

func (*TestStateid) Num() OpNum { return OpTestStateid }

func (o *TestStateid) Encode(e *xdr.Encoder) {
	e.Uint32(uint32(len(o.Stateids)))
	for _, s := range o.Stateids {
		s.encode(e)
	}
}

func (o *TestStateid) Decode(d *xdr.Decoder, st Status) {
	o.Statuses = o.Statuses[:0]
	if st != NFS4_OK {
		return
	}
	for range d.Count(len(o.Stateids), 4) {
		o.Statuses = append(o.Statuses, Status(d.Uint32()))
	}
}
