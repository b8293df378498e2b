package nfs41

import "github.com/fsva/fsva/server/xdr"

// StableHow is how far data must be before WRITE returns.
type StableHow uint32

const (
	Unstable StableHow = iota
	DataSync
	FileSync
)

// Read is READ (RFC 8881 section 18.22). Data's memory is used again by the
// next call.
type Read struct {
	Stateid Stateid
	Offset  uint64
	Count   uint32

	EOF  bool
	Data []byte
}

func (*Read) Num() OpNum { return OpRead }

func (o *Read) Encode(e *xdr.Encoder) {
	o.Stateid.encode(e)
	e.Uint64(o.Offset)
	e.Uint32(o.Count)
}

func (o *Read) Decode(d *xdr.Decoder, st Status) {
	o.Data = o.Data[:0]
	if st == NFS4_OK {
		o.EOF = d.Bool()
		o.Data = append(o.Data, d.Opaque(int(o.Count))...)
	}
}

// Write is WRITE (section 18.32).
type Write struct {
	Stateid Stateid
	Offset  uint64
	Stable  StableHow
	Data    []byte

	Count     uint32
	Committed StableHow
	Verifier  Verifier
}

func (*Write) Num() OpNum { return OpWrite }

func (o *Write) Encode(e *xdr.Encoder) {
	o.Stateid.encode(e)
	e.Uint64(o.Offset)
	e.Uint32(uint32(o.Stable))
	e.Opaque(o.Data)
}

func (o *Write) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Count = d.Uint32()
		o.Committed = StableHow(d.Uint32())
		o.Verifier.decode(d)
	}
}

// Commit is COMMIT (section 18.3); Count 0 means to the end.
type Commit struct {
	Offset uint64
	Count  uint32

	Verifier Verifier
}

func (*Commit) Num() OpNum { return OpCommit }

func (o *Commit) Encode(e *xdr.Encoder) {
	e.Uint64(o.Offset)
	e.Uint32(o.Count)
}

func (o *Commit) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Verifier.decode(d)
	}
}
