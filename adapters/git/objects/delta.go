package objects

import (
	"context"
	"fmt"
	"io"
)

// maxChain is the longest chain of deltas that git makes (pack.depth).
const maxChain = 4095

// stored inflates what an entry holds.
func (p *pack) stored(e *entry) (*inflater, error) {
	return inflate(io.NewSectionReader(p.data, e.data, p.length-packTrailer-e.data))
}

func (p *pack) storedBytes(e *entry, limit int64) ([]byte, error) {
	if e.size > limit {
		return nil, ErrTooLarge
	}
	z, err := p.stored(e)
	if err != nil {
		return nil, err
	}
	defer z.close()
	return z.readAll(e.size)
}

// size returns the size of the object at off.
func (p *pack) size(off int64) (int64, error) {
	e, err := p.entryAt(off)
	if err != nil || !e.delta() {
		return e.size, err
	}
	z, err := p.stored(&e)
	if err != nil {
		return 0, err
	}
	defer z.close()
	var head [2 * 8]byte // a size has eight bytes at most
	n, err := io.ReadFull(z, head[:min(e.size, int64(len(head)))])
	if err != nil {
		return 0, corrupt(err)
	}
	c := cursor{rest: head[:n]}
	c.varint()
	size := c.varint()
	if c.bad {
		return 0, fmt.Errorf("%w: a delta without sizes", ErrCorrupt)
	}
	return size, nil
}

// chain is how an object is stored: as something whole and the deltas that
// lead to it.
type chain struct {
	whole  place
	entry  entry // of whole
	deltas []entry
	places []place // of what the deltas make
}

// chainOf follows deltas from at to something whole, or to something that stop
// wants to start from.
func chainOf(at place, stop func(place) bool) (c chain, err error) {
	for {
		c.whole = at
		if stop(at) {
			return c, nil
		}
		e, err := at.pack.entryAt(at.off)
		if err != nil {
			return c, err
		}
		if !e.delta() {
			c.entry = e
			return c, nil
		}
		if len(c.deltas) == maxChain { // also what goes in circles
			return c, fmt.Errorf("%w: too long a chain of deltas", ErrCorrupt)
		}
		c.deltas = append(c.deltas, e)
		c.places = append(c.places, at)
		at = place{at.pack, e.base}
	}
}

// unpack returns the object at a place, made in memory.
func (d *DB) unpack(ctx context.Context, at place, limit int64) (object, error) {
	var o object
	cached := false
	c, err := chainOf(at, func(p place) bool {
		o, cached = d.bases.Get(p)
		return cached
	})
	if err != nil {
		return o, err
	}
	if !cached {
		o.typ = c.entry.typ
		if o.data, err = at.pack.storedBytes(&c.entry, limit); err != nil {
			return o, err
		}
		if len(c.deltas) > 0 {
			d.bases.Add(c.whole, o)
		}
	}
	for i := len(c.deltas) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return o, err
		}
		delta, err := at.pack.storedBytes(&c.deltas[i], limit)
		if err != nil {
			return o, err
		}
		if o.data, err = patch(o.data, delta, limit); err != nil {
			return o, err
		}
		d.bases.Add(c.places[i], o)
	}
	if int64(len(o.data)) > limit { // from the cache
		return o, ErrTooLarge
	}
	return o, nil
}

// patch applies a delta.
func patch(base, delta []byte, limit int64) ([]byte, error) {
	c := cursor{rest: delta}
	from, size := c.varint(), c.varint()
	if c.bad || from != int64(len(base)) {
		return nil, errDelta
	}
	if size > limit {
		return nil, ErrTooLarge
	}
	out := make([]byte, 0, size)
	for len(c.rest) > 0 {
		i := c.instruction()
		var piece []byte
		if i.copies {
			if i.off+i.n > from {
				return nil, errDelta
			}
			piece = base[i.off : i.off+i.n]
		} else {
			piece = c.take(int(i.n))
		}
		if c.bad || int64(len(out)+len(piece)) > size {
			return nil, errDelta
		}
		out = append(out, piece...)
	}
	if int64(len(out)) != size {
		return nil, errDelta
	}
	return out, nil
}

var errDelta = fmt.Errorf("%w: a delta does not fit", ErrCorrupt)

// instruction is one step of a delta: to copy n bytes at off of the base, or to
// insert the n bytes that follow.
type instruction struct {
	copies bool
	off, n int64
}

func (c *cursor) instruction() instruction {
	op := c.byte()
	if op&0x80 == 0 {
		if op == 0 { // reserved
			c.bad = true
		}
		return instruction{n: int64(op)}
	}
	i := instruction{copies: true}
	for bit := range 4 {
		if op&(1<<bit) != 0 {
			i.off |= int64(c.byte()) << (8 * bit)
		}
	}
	for bit := range 3 {
		if op&(0x10<<bit) != 0 {
			i.n |= int64(c.byte()) << (8 * bit)
		}
	}
	if i.n == 0 {
		i.n = 0x10000
	}
	return i
}

// instructionLen is the length of an instruction that begins with op.
func instructionLen(op byte) int {
	n := 1
	if op&0x80 != 0 {
		for ; op != 0; op &= op - 1 {
			n++
		}
		n-- // the 0x80 itself
	}
	return n
}
