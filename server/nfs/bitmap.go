package nfs

import (
	"math/bits"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/xdr"
)

// bitmap is a set of attributes: bitmap4 (RFC 8881 §3.3.7) with room for
// every attribute that has been defined, and some.
type bitmap [4]uint32

// unknownAttr is the last bit of a bitmap. It stands for whatever a client
// asks for beyond: attributes that no server of today knows.
const unknownAttr = nfs4.Attr(32*len(bitmap{}) - 1)

func bitmapOf(attrs ...nfs4.Attr) (b bitmap) {
	for _, a := range attrs {
		b.set(a)
	}
	return b
}

func (b *bitmap) set(a nfs4.Attr)      { b[a/32] |= 1 << (a % 32) }
func (b *bitmap) clear(a nfs4.Attr)    { b[a/32] &^= 1 << (a % 32) }
func (b *bitmap) has(a nfs4.Attr) bool { return b[a/32]&(1<<(a%32)) != 0 }

// and returns what is in both.
func (b *bitmap) and(o *bitmap) (r bitmap) {
	for i := range b {
		r[i] = b[i] & o[i]
	}
	return r
}

// without returns what is in b and not in o.
func (b *bitmap) without(o *bitmap) (r bitmap) {
	for i := range b {
		r[i] = b[i] &^ o[i]
	}
	return r
}

func (b *bitmap) empty() bool { return *b == bitmap{} }

func (b *bitmap) intersects(o *bitmap) bool {
	common := b.and(o)
	return !common.empty()
}

// within reports whether o holds all of b.
func (b *bitmap) within(o *bitmap) bool {
	rest := b.without(o)
	return rest.empty()
}

// next takes the lowest attribute out. The set must not be empty.
func (b *bitmap) next() nfs4.Attr {
	i := 0
	for b[i] == 0 {
		i++
	}
	a := nfs4.Attr(32*i + bits.TrailingZeros32(b[i]))
	b.clear(a)
	return a
}

// decodeBitmap takes a bitmap4 of any length: clients may be newer than this
// server.
func decodeBitmap(d *xdr.Decoder) (b bitmap) {
	for i := range d.Count(d.Remaining()/4, 4) {
		w := d.Uint32()
		switch {
		case i < len(b):
			b[i] = w
		case w != 0:
			b.set(unknownAttr)
		}
	}
	return b
}

// encode appends a bitmap4 without zero words at its end.
func (b *bitmap) encode(e *xdr.Encoder) {
	n := len(b)
	for n > 0 && b[n-1] == 0 {
		n--
	}
	e.Uint32(uint32(n))
	for _, w := range b[:n] {
		e.Uint32(w)
	}
}
