// Package xdr reads and writes External Data Representation (RFC 4506): the
// wire form of ONC RPC and NFS. Decoding takes values from a byte slice with a
// sticky error and an explicit bound on everything of variable length, so that
// a caller decodes a whole structure and checks once. Encoding appends to a
// byte slice. Neither uses reflection nor, for opaque data, copies on input.
package xdr

import (
	"encoding/binary"
	"errors"
)

// ErrDecode is what Decoder.Err returns when the bytes are not what the
// protocol says: too few of them, a length beyond its bound, a boolean that is
// neither 0 nor 1, padding that is not zero.
var ErrDecode = errors.New("xdr: malformed data")

// Pad returns the number of zero bytes that follow n bytes of opaque data.
func Pad(n int) int { return -n & 3 }

// A Decoder takes values from the front of a byte slice. After the first
// failure every method returns a zero value and Err tells.
type Decoder struct {
	buf []byte
	off int
	bad bool
}

// NewDecoder returns a Decoder of b, which stays the caller's and must not
// change while values that alias it are in use.
func NewDecoder(b []byte) Decoder { return Decoder{buf: b} }

// Err returns ErrDecode if anything so far could not be decoded.
func (d *Decoder) Err() error {
	if d.bad {
		return ErrDecode
	}
	return nil
}

// Fail makes the decoder fail: for values that decode but are out of the
// range that the protocol's XDR gives them.
func (d *Decoder) Fail() { d.bad = true }

// Offset returns the number of bytes taken.
func (d *Decoder) Offset() int { return d.off }

// Remaining returns the number of bytes not yet taken.
func (d *Decoder) Remaining() int { return len(d.buf) - d.off }

// Since returns the bytes taken since off, an earlier Offset.
func (d *Decoder) Since(off int) []byte { return d.buf[off:d.off:d.off] }

// take returns the next n bytes, or nil after a failure.
func (d *Decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.buf)-d.off {
		d.bad = true
		return nil
	}
	b := d.buf[d.off : d.off+n : d.off+n]
	d.off += n
	return b
}

// Uint32 takes an unsigned integer or an enum.
func (d *Decoder) Uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Int32 takes a signed integer.
func (d *Decoder) Int32() int32 { return int32(d.Uint32()) }

// Uint64 takes an unsigned hyper integer.
func (d *Decoder) Uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Int64 takes a hyper integer.
func (d *Decoder) Int64() int64 { return int64(d.Uint64()) }

// Bool takes a boolean.
func (d *Decoder) Bool() bool {
	v := d.Uint32()
	if v > 1 {
		d.bad = true
		return false
	}
	return v == 1
}

// Fixed takes n bytes of fixed-length opaque data and its padding. The result
// aliases the input.
func (d *Decoder) Fixed(n int) []byte {
	b := d.take(n)
	for _, z := range d.take(Pad(n)) {
		if z != 0 {
			d.bad = true
		}
	}
	if d.bad {
		return nil
	}
	return b
}

// Opaque takes variable-length opaque data of at most max bytes. The result
// aliases the input; it is nil only after a failure.
func (d *Decoder) Opaque(max int) []byte {
	n := d.Uint32()
	if d.bad || uint64(n) > uint64(max) {
		d.bad = true
		return nil
	}
	return d.Fixed(int(n))
}

// String takes a string of at most max bytes.
func (d *Decoder) String(max int) string { return string(d.Opaque(max)) }

// Count takes the length of an array of at most max elements, each of at
// least elemSize bytes on the wire: a count that the rest of the input cannot
// hold fails here, before anything is allocated for it.
func (d *Decoder) Count(max, elemSize int) int {
	n := d.Uint32()
	if d.bad || uint64(n) > uint64(max) || uint64(n)*uint64(elemSize) > uint64(d.Remaining()) {
		d.bad = true
		return 0
	}
	return int(n)
}

// An Encoder appends values to Buf.
type Encoder struct {
	Buf []byte
}

// Len returns the number of bytes encoded.
func (e *Encoder) Len() int { return len(e.Buf) }

// Truncate takes back everything past the first n bytes.
func (e *Encoder) Truncate(n int) { e.Buf = e.Buf[:n] }

// Uint32 appends an unsigned integer or an enum.
func (e *Encoder) Uint32(v uint32) { e.Buf = binary.BigEndian.AppendUint32(e.Buf, v) }

// Int32 appends a signed integer.
func (e *Encoder) Int32(v int32) { e.Uint32(uint32(v)) }

// Uint64 appends an unsigned hyper integer.
func (e *Encoder) Uint64(v uint64) { e.Buf = binary.BigEndian.AppendUint64(e.Buf, v) }

// Int64 appends a hyper integer.
func (e *Encoder) Int64(v int64) { e.Uint64(uint64(v)) }

// Bool appends a boolean.
func (e *Encoder) Bool(v bool) {
	var n uint32
	if v {
		n = 1
	}
	e.Uint32(n)
}

var zeroes [3]byte

// Fixed appends fixed-length opaque data and its padding.
func (e *Encoder) Fixed(b []byte) {
	e.Buf = append(e.Buf, b...)
	e.Buf = append(e.Buf, zeroes[:Pad(len(b))]...)
}

// Opaque appends variable-length opaque data.
func (e *Encoder) Opaque(b []byte) {
	e.Uint32(uint32(len(b)))
	e.Fixed(b)
}

// String appends a string.
func (e *Encoder) String(s string) {
	e.Uint32(uint32(len(s)))
	e.Buf = append(e.Buf, s...)
	e.Buf = append(e.Buf, zeroes[:Pad(len(s))]...)
}

// Reserve appends room for an integer that is known only later, and returns
// its place for Put.
func (e *Encoder) Reserve() int {
	e.Uint32(0)
	return len(e.Buf) - 4
}

// Put writes v at a place that Reserve returned.
func (e *Encoder) Put(at int, v uint32) { binary.BigEndian.PutUint32(e.Buf[at:], v) }
