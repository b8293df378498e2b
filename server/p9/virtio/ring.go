package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"
)

// The parts of a split virtqueue (virtio 1.2, 2.7).
const (
	descriptorSize = 16
	ringHeader     = 4 // flags and index, 16 bits each
	availEntry     = 2
	usedEntry      = 8
	ringTrailer    = 4 // used_event or avail_event, and padding: see word

	flagNoInterrupt = 1 // of the available ring
	flagNoNotify    = 1 // of the used ring

	// maxQueueSize bounds a ring, and maxChain a chain with its indirect
	// descriptors: Linux makes these longer than the ring is. It is QEMU's
	// bound and also the most pieces that preadv(2) takes.
	maxQueueSize = 1024
	maxChain     = 1024
)

// ringInfo is what the front end says about a ring.
type ringInfo struct {
	size              uint32
	desc, avail, used uint64 // addresses of the front end
	features          uint64
}

// ring is a split virtqueue in the guest's memory. The guest may write to it at
// any time, also in hostile ways: what is read is read once and checked before
// it is used.
//
// The field next belongs to the goroutine that takes chains. The used ring has
// several writers, which take turns: the caller sees to that.
//
// Go has no 16-bit atomic operations, so an index is loaded and stored together
// with its neighbour, by the word. The operations of sync/atomic are
// sequentially consistent. That orders what is read of a chain after the index
// that announces it, and what is written to the used ring before the index that
// publishes it. It is also the full barrier that is needed between asking for
// notifications and looking again.
type ring struct {
	mem               *memory
	size              uint16
	desc, avail, used []byte
	eventIndex        bool
	indirect          bool

	next uint16 // index of the next available chain

	usedNext  uint16 // index of the next used one
	usedFlags uint16
}

// newRing finds the ring in memory. It takes no reference.
func newRing(mem *memory, info ringInfo, next uint16) (*ring, error) {
	if info.size == 0 || info.size > maxQueueSize || info.size&(info.size-1) != 0 {
		return nil, fmt.Errorf("ring has %d entries: not a power of two up to %d", info.size, maxQueueSize)
	}
	r := &ring{
		size:       uint16(info.size),
		eventIndex: info.features&featureEventIndex != 0,
		indirect:   info.features&featureIndirect != 0,
		next:       next,
	}
	if err := r.place(mem, info); err != nil {
		return nil, err
	}
	// A guest that was only stopped goes on where its used ring ends.
	r.usedNext = r.load16(r.used, 2)
	return r, nil
}

// place finds the ring's parts, at the start and again in another memory table.
func (r *ring) place(mem *memory, info ringInfo) error {
	if mem == nil {
		return errors.New("ring starts without a memory table")
	}
	n := uint64(r.size)
	part := func(name string, addr, size, align uint64) (b []byte, err error) {
		if b, err = mem.user(addr, size); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if uintptr(unsafe.Pointer(&b[0]))%uintptr(align) != 0 {
			return nil, fmt.Errorf("%s is not aligned to %d bytes: %#x", name, align, addr)
		}
		return b, nil
	}
	desc, err := part("descriptor table", info.desc, descriptorSize*n, 16)
	if err != nil {
		return err
	}
	// The specification is content with two bytes here. Drivers put this ring
	// behind the descriptors, or on a page.
	avail, err := part("available ring", info.avail, ringHeader+availEntry*n+ringTrailer, 4)
	if err != nil {
		return err
	}
	used, err := part("used ring", info.used, ringHeader+usedEntry*n+ringTrailer, 4)
	if err != nil {
		return err
	}
	r.mem, r.desc, r.avail, r.used = mem, desc, avail, used
	return nil
}

// pop takes the next available chain into c, and says if there was one. An
// error is the guest's breach of the rules. It does not wait.
func (r *ring) pop(c *chain) (bool, error) {
	ready := r.load16(r.avail, 2) - r.next
	switch {
	case ready == 0:
		return false, nil
	case ready > r.size:
		return false, fmt.Errorf("available index is %d ahead in a ring of %d", ready, r.size)
	}
	slot := int(r.next & (r.size - 1))
	head := binary.LittleEndian.Uint16(r.avail[ringHeader+availEntry*slot:])
	if err := r.walk(c, head); err != nil {
		return false, err
	}
	r.next++
	return true, nil
}

// ready says if there is a chain to take.
func (r *ring) ready() bool { return r.load16(r.avail, 2) != r.next }

// unpop puts the chain that was taken last back.
func (r *ring) unpop() { r.next-- }

// push gives a chain back to the guest with n bytes written, and says if the
// guest wants to be interrupted for it (2.7.7, 2.7.8).
func (r *ring) push(head uint16, n uint32) (interrupt bool) {
	old := r.usedNext
	e := r.used[ringHeader+usedEntry*int(old&(r.size-1)):][:usedEntry]
	binary.LittleEndian.PutUint32(e, uint32(head))
	binary.LittleEndian.PutUint32(e[4:], n)
	r.usedNext++
	r.storeUsed()
	if r.eventIndex {
		// The rule's window (old, new] has the length one, as each chain is
		// pushed alone.
		return r.load16(r.avail, ringHeader+availEntry*int(r.size)) == old
	}
	return r.load16(r.avail, 0)&flagNoInterrupt == 0
}

// listen asks the guest for a notification of the next available chain, and
// says if one came in between (2.7.10).
func (r *ring) listen() (ready bool) {
	if r.eventIndex {
		r.storeAvailEvent(r.next)
	} else {
		r.usedFlags = 0
		r.storeUsed()
	}
	return r.ready()
}

// ignore tells the guest that notifications are not needed for now. With event
// indexes that is so until the next listen.
func (r *ring) ignore() {
	if !r.eventIndex {
		r.usedFlags = flagNoNotify
		r.storeUsed()
	}
}

// storeUsed publishes the used ring's flags and index. Nobody else writes them.
func (r *ring) storeUsed() {
	atomic.StoreUint32(word(r.used, 0), littleEndian(uint32(r.usedFlags)|uint32(r.usedNext)<<16))
}

// storeAvailEvent keeps the other half of the word, which is not the ring's.
func (r *ring) storeAvailEvent(index uint16) {
	w := word(r.used, ringHeader+usedEntry*int(r.size))
	for {
		old := atomic.LoadUint32(w)
		now := littleEndian(littleEndian(old)&^0xffff | uint32(index))
		if atomic.CompareAndSwapUint32(w, old, now) {
			return
		}
	}
}

// load16 loads 16 bits at an even offset.
func (r *ring) load16(b []byte, offset int) uint16 {
	return uint16(littleEndian(atomic.LoadUint32(word(b, offset&^3))) >> (8 * (offset & 2)))
}

// word is four bytes of b as an atomic word. The offset is a multiple of four,
// and so is the address of b: place checks it.
func word(b []byte, offset int) *uint32 {
	return (*uint32)(unsafe.Pointer((*[4]byte)(b[offset:])))
}

// littleEndian turns the machine's byte order into the ring's, and back.
func littleEndian(v uint32) uint32 {
	return binary.LittleEndian.Uint32((*[4]byte)(unsafe.Pointer(&v))[:])
}
