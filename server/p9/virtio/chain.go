package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/fsva/fsva/server/p9/transport"
)

// Flags of a descriptor (virtio 1.2, 2.7.5).
const (
	flagNext     = 1
	flagWrite    = 2
	flagIndirect = 4
)

// chain is a request: what the guest has to say, and the room for the answer.
type chain struct {
	head uint16   // of the descriptor that starts it
	in   [][]byte // what the device reads
	out  [][]byte // what it may write
	room uint64   // bytes of out
	mem  *memory  // keeps in and out mapped while the request is answered

	accepted transport.Request // by the channel
}

func (c *chain) reset(head uint16) {
	c.head, c.in, c.out, c.room = head, c.in[:0], c.out[:0], 0
}

// descriptor is an entry of a descriptor table.
type descriptor struct {
	addr  uint64
	len   uint32
	flags uint16
	next  uint16
}

// table is a descriptor table in the guest's memory.
type table []byte

func (t table) entries() int { return len(t) / descriptorSize }

// entry reads an entry once: the guest may change it behind our back.
func (t table) entry(i int) descriptor {
	e := t[i*descriptorSize:][:descriptorSize]
	return descriptor{
		addr:  binary.LittleEndian.Uint64(e),
		len:   binary.LittleEndian.Uint32(e[8:]),
		flags: binary.LittleEndian.Uint16(e[12:]),
		next:  binary.LittleEndian.Uint16(e[14:]),
	}
}

var (
	errLoop         = errors.New("chain has a loop, or is too long")
	errOrder        = errors.New("readable descriptor after a writable one")
	errIndirect     = errors.New("indirect descriptors were not negotiated")
	errNested       = errors.New("indirect descriptor in an indirect table")
	errIndirectNext = errors.New("indirect descriptor has a next one")
)

// walk reads the chain that starts at head into c: direct descriptors, the last
// of which may refer to a table of further ones (2.7.5.3). A chain that visits
// more entries than its table has must have a loop.
func (r *ring) walk(c *chain, head uint16) error {
	c.reset(head)
	t, direct := table(r.desc), true
	for i, left := int(head), t.entries(); ; left-- {
		if i >= t.entries() {
			return fmt.Errorf("descriptor %d in a table of %d", i, t.entries())
		}
		if left == 0 {
			return errLoop
		}
		d := t.entry(i)
		if d.flags&flagIndirect != 0 {
			if !direct {
				return errNested
			}
			var err error
			if t, err = r.indirectTable(d); err != nil {
				return err
			}
			// The loop takes one off before the table's first entry.
			direct, i, left = false, 0, t.entries()+1
			continue
		}
		if err := c.add(r.mem, d); err != nil {
			return err
		}
		if d.flags&flagNext == 0 {
			return nil
		}
		i = int(d.next)
	}
}

// indirectTable finds the table that d refers to. That it lies in one region of
// memory is asked by QEMU's own devices as well.
func (r *ring) indirectTable(d descriptor) (table, error) {
	switch {
	case !r.indirect:
		return nil, errIndirect
	case d.flags&flagNext != 0:
		return nil, errIndirectNext
	case d.len == 0 || d.len%descriptorSize != 0 || d.len > maxChain*descriptorSize:
		return nil, fmt.Errorf("indirect table of %d bytes", d.len)
	}
	b, err := r.mem.guest(d.addr, uint64(d.len))
	return table(b), err
}

// add appends a buffer. One of no bytes is allowed and adds nothing.
func (c *chain) add(mem *memory, d descriptor) (err error) {
	if d.flags&flagWrite != 0 {
		c.out, err = mem.appendGuest(c.out, d.addr, uint64(d.len))
		c.room += uint64(d.len)
	} else {
		if len(c.out) > 0 {
			return errOrder
		}
		c.in, err = mem.appendGuest(c.in, d.addr, uint64(d.len))
	}
	if err == nil && (len(c.in) > maxChain || len(c.out) > maxChain) {
		return errLoop
	}
	return err
}
