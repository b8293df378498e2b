package nfs41

import "github.com/fsva/fsva/server/xdr"

// Lock types (nfs_lock_type4); the W ones ask to be told when the lock is
// free.
const (
	ReadLT uint32 = iota + 1
	WriteLT
	ReadWLT
	WriteWLT
)

// ToEnd as a lock's length reaches to the end of the file, however it grows.
const ToEnd = ^uint64(0)

// A Denied is the lock that stands in the way.
type Denied struct {
	Offset, Length uint64
	Type           uint32
	ClientID       uint64
	Owner          []byte
}

func (l *Denied) decode(d *xdr.Decoder) {
	l.Offset, l.Length, l.Type, l.ClientID = d.Uint64(), d.Uint64(), d.Uint32(), d.Uint64()
	l.Owner = append([]byte(nil), d.Opaque(1024)...)
}

// Lock is LOCK (RFC 8881 section 18.10). With an Owner it is the first of
// that lock owner on the open Stateid, else Stateid is the lock's own.
type Lock struct {
	Type           uint32
	Reclaim        bool
	Offset, Length uint64
	Stateid        Stateid
	Owner          []byte

	// LockStateid is the result, Denied that of NFS4ERR_DENIED.
	LockStateid Stateid
	Denied      Denied
}

func (*Lock) Num() OpNum { return OpLock }

func (o *Lock) Encode(e *xdr.Encoder) {
	e.Uint32(o.Type)
	e.Bool(o.Reclaim)
	e.Uint64(o.Offset)
	e.Uint64(o.Length)
	e.Bool(o.Owner != nil)
	if o.Owner != nil {
		e.Uint32(0) // open_seqid, unused in 4.1
		o.Stateid.encode(e)
		e.Uint32(0) // lock_seqid
		e.Uint64(0) // clientid: the session's counts
		e.Opaque(o.Owner)
		return
	}
	o.Stateid.encode(e)
	e.Uint32(0)
}

func (o *Lock) Decode(d *xdr.Decoder, st Status) {
	switch st {
	case NFS4_OK:
		o.LockStateid.decode(d)
	case NFS4ERR_DENIED:
		o.Denied.decode(d)
	}
}

// LockT is LOCKT (section 18.11).
type LockT struct {
	Type           uint32
	Offset, Length uint64
	Owner          []byte

	Denied Denied
}

func (*LockT) Num() OpNum { return OpLockT }

func (o *LockT) Encode(e *xdr.Encoder) {
	e.Uint32(o.Type)
	e.Uint64(o.Offset)
	e.Uint64(o.Length)
	e.Uint64(0)
	e.Opaque(o.Owner)
}

func (o *LockT) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4ERR_DENIED {
		o.Denied.decode(d)
	}
}

// LockU is LOCKU (section 18.12). Stateid is replaced by the result.
type LockU struct {
	Type           uint32
	Stateid        Stateid
	Offset, Length uint64
}

func (*LockU) Num() OpNum { return OpLockU }

func (o *LockU) Encode(e *xdr.Encoder) {
	e.Uint32(o.Type)
	e.Uint32(0)
	o.Stateid.encode(e)
	e.Uint64(o.Offset)
	e.Uint64(o.Length)
}

func (o *LockU) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Stateid.decode(d)
	}
}
