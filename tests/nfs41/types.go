package nfs41

import (
	"time"

	"github.com/fsva/fsva/server/xdr"
)

// Bounds on what this client accepts in a reply.
const (
	maxFH     = 128
	maxName   = 1 << 16
	maxOpaque = 1 << 20
)

// FH is a filehandle.
type FH []byte

// A Stateid names opens, locks and delegations (RFC 8881 section 8.2).
type Stateid struct {
	Seq   uint32
	Other [12]byte
}

// The special stateids of RFC 8881 section 8.2.3.
var (
	Anonymous      = Stateid{}
	ReadBypass     = Stateid{Seq: 0xffffffff, Other: [12]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}
	CurrentStateid = Stateid{Seq: 1}
	InvalidStateid = Stateid{Seq: 0xffffffff}
)

func (s Stateid) encode(e *xdr.Encoder) {
	e.Uint32(s.Seq)
	e.Fixed(s.Other[:])
}

func (s *Stateid) decode(d *xdr.Decoder) {
	s.Seq = d.Uint32()
	copy(s.Other[:], d.Fixed(12))
}

// A Verifier is a verifier4.
type Verifier [8]byte

func (v *Verifier) decode(d *xdr.Decoder) { copy(v[:], d.Fixed(8)) }

// SessionID names a session.
type SessionID [16]byte

// Time is an nfstime4.
type Time struct {
	Sec  int64
	Nsec uint32
}

// TimeOf converts a time.
func TimeOf(t time.Time) Time { return Time{t.Unix(), uint32(t.Nanosecond())} }

// Time converts back.
func (t Time) Time() time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

// ChangeInfo is a directory's change attribute around an operation.
type ChangeInfo struct {
	Atomic        bool
	Before, After uint64
}

func (c *ChangeInfo) decode(d *xdr.Decoder) {
	c.Atomic = d.Bool()
	c.Before = d.Uint64()
	c.After = d.Uint64()
}

// A Bitmap is a bitmap4: bit n is bit n%32 of word n/32.
type Bitmap []uint32

// Has tells whether bit n is set.
func (b Bitmap) Has(n uint32) bool {
	return int(n/32) < len(b) && b[n/32]>>(n%32)&1 != 0
}

// Set sets bit n.
func (b *Bitmap) Set(n uint32) {
	for int(n/32) >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[n/32] |= 1 << (n % 32)
}

func (b Bitmap) encode(e *xdr.Encoder) {
	e.Uint32(uint32(len(b)))
	for _, w := range b {
		e.Uint32(w)
	}
}

// decode reuses b's memory.
func (b *Bitmap) decode(d *xdr.Decoder) {
	*b = (*b)[:0]
	for range d.Count(8, 4) {
		*b = append(*b, d.Uint32())
	}
}

func encodeStrings(e *xdr.Encoder, ss []string) {
	e.Uint32(uint32(len(ss)))
	for _, s := range ss {
		e.String(s)
	}
}

func decodeStrings(d *xdr.Decoder) []string {
	var ss []string
	for range d.Count(maxOpaque, 4) {
		ss = append(ss, d.String(maxName))
	}
	return ss
}
