package nfs41

import "github.com/fsva/fsva/server/xdr"

// Share access and denial of OPEN, and delegation wishes (RFC 8881 section
// 18.16).
const (
	ShareRead  uint32 = 1
	ShareWrite uint32 = 2
	ShareBoth  uint32 = 3

	DenyNone  uint32 = 0
	DenyRead  uint32 = 1
	DenyWrite uint32 = 2
	DenyBoth  uint32 = 3

	WantNoPreference uint32 = 0x0000
	WantReadDeleg    uint32 = 0x0100
	WantWriteDeleg   uint32 = 0x0200
	WantAnyDeleg     uint32 = 0x0300
	WantNoDeleg      uint32 = 0x0400
	WantCancel       uint32 = 0x0500
)

// CreateMode is whether and how OPEN creates.
type CreateMode uint32

const (
	NoCreate CreateMode = iota
	Unchecked
	Guarded
	Exclusive
	Exclusive41
)

// A Claim is what an OPEN stands on (open_claim_type4).
type Claim uint32

const (
	ClaimNull Claim = iota
	ClaimPrevious
	ClaimDelegateCur
	ClaimDelegatePrev
	ClaimFH
	ClaimDelegCurFH
	ClaimDelegPrevFH
)

// OPEN result flags.
const (
	ResultConfirm          uint32 = 0x0002
	ResultLocktypePosix    uint32 = 0x0004
	ResultPreserveUnlinked uint32 = 0x0008
	ResultMayNotifyLock    uint32 = 0x0020
)

// Open is OPEN (section 18.16).
type Open struct {
	Seqid        uint32 // a server of 4.1 ignores it
	Access, Deny uint32
	ClientID     uint64 // ignored too
	Owner        []byte

	Create   CreateMode
	Attrs    Attrs    // Unchecked, Guarded, Exclusive41
	Verifier Verifier // Exclusive, Exclusive41

	Claim        Claim
	Name         string  // ClaimNull, ClaimDelegateCur, ClaimDelegatePrev
	DelegType    uint32  // ClaimPrevious
	DelegStateid Stateid // ClaimDelegateCur, ClaimDelegCurFH

	Stateid    Stateid
	Change     ChangeInfo
	Flags      uint32
	Set        Bitmap
	Delegation Delegation
}

// Delegation types (open_delegation_type4).
const (
	DelegNone uint32 = iota
	DelegRead
	DelegWrite
	DelegNoneExt
)

// A Delegation is what OPEN granted, or why it did not.
type Delegation struct {
	Type    uint32
	Stateid Stateid
	Recall  bool
	// Why is the why_no_delegation4 of DelegNoneExt.
	Why uint32
}

func (*Open) Num() OpNum { return OpOpen }

func (o *Open) Encode(e *xdr.Encoder) {
	e.Uint32(o.Seqid)
	e.Uint32(o.Access)
	e.Uint32(o.Deny)
	e.Uint64(o.ClientID)
	e.Opaque(o.Owner)
	o.encodeHow(e)
	o.encodeClaim(e)
}

func (o *Open) encodeHow(e *xdr.Encoder) {
	if o.Create == NoCreate {
		e.Uint32(0)
		return
	}
	e.Uint32(1)
	e.Uint32(uint32(o.Create) - 1)
	if o.Create == Exclusive || o.Create == Exclusive41 {
		e.Fixed(o.Verifier[:])
	}
	if o.Create != Exclusive {
		o.Attrs.encode(e)
	}
}

func (o *Open) encodeClaim(e *xdr.Encoder) {
	e.Uint32(uint32(o.Claim))
	switch o.Claim {
	case ClaimNull, ClaimDelegatePrev:
		e.String(o.Name)
	case ClaimPrevious:
		e.Uint32(o.DelegType)
	case ClaimDelegateCur:
		o.DelegStateid.encode(e)
		e.String(o.Name)
	case ClaimDelegCurFH:
		o.DelegStateid.encode(e)
	}
}

func (o *Open) Decode(d *xdr.Decoder, st Status) {
	if st != NFS4_OK {
		return
	}
	o.Stateid.decode(d)
	o.Change.decode(d)
	o.Flags = d.Uint32()
	o.Set.decode(d)
	o.Delegation.decode(d)
}

func (g *Delegation) decode(d *xdr.Decoder) {
	*g = Delegation{Type: d.Uint32()}
	switch g.Type {
	case DelegNone:
	case DelegRead, DelegWrite:
		g.Stateid.decode(d)
		g.Recall = d.Bool()
		if g.Type == DelegWrite { // nfs_space_limit4: a size, or blocks and their size
			d.Uint32()
			d.Uint64()
		}
		for range 3 { // permissions: one nfsace4
			d.Uint32()
		}
		d.Opaque(maxName)
	case DelegNoneExt:
		g.Why = d.Uint32()
		if g.Why == 1 || g.Why == 2 { // WND4_CONTENTION, WND4_RESOURCE
			d.Bool()
		}
	default:
		d.Fail()
	}
}

// Close is CLOSE (section 18.2). Stateid is replaced by the result.
type Close struct {
	Seqid   uint32
	Stateid Stateid
}

func (*Close) Num() OpNum { return OpClose }

func (o *Close) Encode(e *xdr.Encoder) {
	e.Uint32(o.Seqid)
	o.Stateid.encode(e)
}

func (o *Close) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Stateid.decode(d)
	}
}

// OpenDowngrade is OPEN_DOWNGRADE (section 18.18). Stateid is replaced by the
// result.
type OpenDowngrade struct {
	Stateid      Stateid
	Seqid        uint32
	Access, Deny uint32
}

func (*OpenDowngrade) Num() OpNum { return OpOpenDowngrade }

func (o *OpenDowngrade) Encode(e *xdr.Encoder) {
	o.Stateid.encode(e)
	e.Uint32(o.Seqid)
	e.Uint32(o.Access)
	e.Uint32(o.Deny)
}

func (o *OpenDowngrade) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Stateid.decode(d)
	}
}

// DelegReturn is DELEGRETURN (section 18.6).
type DelegReturn Stateid

func (DelegReturn) Num() OpNum                  { return OpDelegReturn }
func (o DelegReturn) Encode(e *xdr.Encoder)     { Stateid(o).encode(e) }
func (DelegReturn) Decode(*xdr.Decoder, Status) {}
