package nfs41

import "github.com/fsva/fsva/server/xdr"

// WriteResponse is what COPY and CB_OFFLOAD tell about data written.
type WriteResponse struct {
	Callback  []Stateid // of an asynchronous copy: one
	Count     uint64
	Committed StableHow
	Verifier  Verifier
}

func (w *WriteResponse) decode(d *xdr.Decoder) {
	w.Callback = nil
	for range d.Count(1, 16) {
		var s Stateid
		s.decode(d)
		w.Callback = append(w.Callback, s)
	}
	w.Count = d.Uint64()
	w.Committed = StableHow(d.Uint32())
	w.Verifier.decode(d)
}

type (
	// Allocate is ALLOCATE (RFC 7862 section 15.1).
	Allocate struct {
		Stateid        Stateid
		Offset, Length uint64
	}
	// Deallocate is DEALLOCATE (section 15.4).
	Deallocate struct {
		Stateid        Stateid
		Offset, Length uint64
	}
)

func (*Allocate) Num() OpNum   { return OpAllocate }
func (*Deallocate) Num() OpNum { return OpDeallocate }

func (o *Allocate) Encode(e *xdr.Encoder)   { encodeRange(e, o.Stateid, o.Offset, o.Length) }
func (o *Deallocate) Encode(e *xdr.Encoder) { encodeRange(e, o.Stateid, o.Offset, o.Length) }

func (*Allocate) Decode(*xdr.Decoder, Status)   {}
func (*Deallocate) Decode(*xdr.Decoder, Status) {}

func encodeRange(e *xdr.Encoder, s Stateid, off, n uint64) {
	s.encode(e)
	e.Uint64(off)
	e.Uint64(n)
}

// Content types of a file's parts (data_content4).
const (
	ContentData uint32 = iota
	ContentHole
)

// Seek is SEEK (section 15.11).
type Seek struct {
	Stateid Stateid
	Offset  uint64
	What    uint32

	EOF   bool
	Found uint64
}

func (*Seek) Num() OpNum { return OpSeek }

func (o *Seek) Encode(e *xdr.Encoder) {
	o.Stateid.encode(e)
	e.Uint64(o.Offset)
	e.Uint32(o.What)
}

func (o *Seek) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.EOF, o.Found = d.Bool(), d.Uint64()
	}
}

// ReadPlus is READ_PLUS (section 15.10).
type ReadPlus struct {
	Stateid Stateid
	Offset  uint64
	Count   uint32

	EOF      bool
	Segments []Segment
}

// A Segment is one part of a READ_PLUS result; a hole has no Data.
type Segment struct {
	Hole   bool
	Offset uint64
	Length uint64
	Data   []byte
}

func (*ReadPlus) Num() OpNum { return OpReadPlus }

func (o *ReadPlus) Encode(e *xdr.Encoder) {
	o.Stateid.encode(e)
	e.Uint64(o.Offset)
	e.Uint32(o.Count)
}

func (o *ReadPlus) Decode(d *xdr.Decoder, st Status) {
	o.Segments = nil
	if st != NFS4_OK {
		return
	}
	o.EOF = d.Bool()
	for range d.Count(1<<16, 16) {
		var s Segment
		switch d.Uint32() {
		case ContentData:
			s.Offset = d.Uint64()
			s.Data = append([]byte(nil), d.Opaque(maxRecord)...)
			s.Length = uint64(len(s.Data))
		case ContentHole:
			s = Segment{Hole: true, Offset: d.Uint64(), Length: d.Uint64()}
		default:
			d.Fail()
		}
		o.Segments = append(o.Segments, s)
	}
}

// Copy is COPY within one server, from the saved to the current file (section
// 15.2). Count 0 copies to the end.
type Copy struct {
	Src, Dst             Stateid
	SrcOffset, DstOffset uint64
	Count                uint64
	Consecutive, Sync    bool

	Response WriteResponse
	// ReplyConsecutive and ReplySync are the server's; after
	// NFS4ERR_OFFLOAD_NO_REQS what it would support.
	ReplyConsecutive, ReplySync bool
}

func (*Copy) Num() OpNum { return OpCopy }

func (o *Copy) Encode(e *xdr.Encoder) {
	o.Src.encode(e)
	o.Dst.encode(e)
	e.Uint64(o.SrcOffset)
	e.Uint64(o.DstOffset)
	e.Uint64(o.Count)
	e.Bool(o.Consecutive)
	e.Bool(o.Sync)
	e.Uint32(0) // no source server
}

func (o *Copy) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Response.decode(d)
	}
	if st == NFS4_OK || st == NFS4ERR_OFFLOAD_NO_REQS {
		o.ReplyConsecutive, o.ReplySync = d.Bool(), d.Bool()
	}
}

// Clone is CLONE from the saved to the current file (section 15.13). Count 0
// clones to the end.
type Clone struct {
	Src, Dst             Stateid
	SrcOffset, DstOffset uint64
	Count                uint64
}

func (*Clone) Num() OpNum { return OpClone }

func (o *Clone) Encode(e *xdr.Encoder) {
	o.Src.encode(e)
	o.Dst.encode(e)
	e.Uint64(o.SrcOffset)
	e.Uint64(o.DstOffset)
	e.Uint64(o.Count)
}

func (*Clone) Decode(*xdr.Decoder, Status) {}

// IOAdvise is IO_ADVISE (section 15.5).
type IOAdvise struct {
	Stateid       Stateid
	Offset, Count uint64
	Hints         Bitmap // replaced by the result
}

func (*IOAdvise) Num() OpNum { return OpIOAdvise }

func (o *IOAdvise) Encode(e *xdr.Encoder) {
	encodeRange(e, o.Stateid, o.Offset, o.Count)
	o.Hints.encode(e)
}

func (o *IOAdvise) Decode(d *xdr.Decoder, st Status) {
	if st == NFS4_OK {
		o.Hints.decode(d)
	}
}
