package xen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/fsva/fsva/server/p9/transport"
	"github.com/fsva/fsva/server/rpc"
)

// The interface page (xen/include/public/io/9pfs.h). The front end produces
// requests at out_prod, which we consume, and we produce replies at in_prod.
// All are u32.
const (
	placeInCons  = 0
	placeInProd  = 4
	placeOutCons = 64
	placeOutProd = 68
	placeOrder   = 128
	placeRefs    = 132
)

// maxOrder is the binary logarithm of the pages that a ring has at most.
const maxOrder = 9

const (
	messageHeader = 7 // size[4] type[1] tag[2]
	typePlace     = 4
	tagPlace      = 5

	// smallReply is room for every reply but those that carry as much data as
	// the request asks for: the longest is that of Treadlink.
	smallReply = 8 << 10

	tread    = 116
	treaddir = 40
	tflush   = 108

	countPlace = 19 // of both: fid[4] offset[8] count[4]
	dataHeader = 11 // of their replies: count[4]
)

// ring is one of a device's rings: two byte streams in the front end's memory.
// Both are as long. Indexes run freely, and are taken modulo that length.
//
// The front end may write anywhere in it at any time, so that each index is read
// once and checked, and messages are copied before they are looked at.
type ring struct {
	events  eventChannel
	release []func()
	accept  func(in [][]byte) (transport.Request, error)

	page    []byte // the interface
	in, out []byte // replies and requests; a power of two

	arrived chan struct{} // an event came, and requests may be there
	cleared chan struct{} // an event came, and there may be room for replies

	taking sync.Mutex   // of requests, one after the other; before moving
	takers int          // guarded by taking: goroutines that take requests
	idle   atomic.Int32 // those that wait for taking, or hold it

	moving  sync.Mutex    // keeps the front end from writing over what was not taken; a leaf
	outCons uint32        // guarded by moving, and changed only by who has taking
	moved   chan struct{} // guarded by moving: closed when outCons changes; nil if nobody waits for that

	replying sync.Mutex // of replies, whole ones
	inProd   uint32     // guarded by replying
}

// openRing maps the ring whose interface page is ref, and binds the event
// channel. The memory is that of domain, and touching it may panic.
func openRing(hv hypervisor, domain, ref, port uint32) (_ *ring, err error) {
	r := &ring{arrived: make(chan struct{}, 1), cleared: make(chan struct{}, 1)}
	opened := false
	defer func() {
		if !opened { // also by a panic
			r.close()
		}
	}()
	if r.page, err = r.mapGrants(hv, domain, []uint32{ref}); err != nil {
		return nil, err
	}
	order := binary.NativeEndian.Uint32(r.page[placeOrder:])
	if order > maxOrder {
		return nil, fmt.Errorf("ring of 2^%d pages", order)
	}
	refs := make([]uint32, 1<<order)
	for i := range refs {
		refs[i] = binary.NativeEndian.Uint32(r.page[placeRefs+4*i:])
	}
	data, err := r.mapGrants(hv, domain, refs)
	if err != nil {
		return nil, err
	}
	r.place(data)
	if r.events, err = hv.bind(domain, port); err != nil {
		return nil, err
	}
	opened = true
	return r, nil
}

func (r *ring) mapGrants(hv hypervisor, domain uint32, refs []uint32) ([]byte, error) {
	pages, unmap, err := hv.mapGrants(domain, refs)
	if err == nil {
		r.release = append(r.release, unmap)
	}
	return pages, err
}

// place finds the streams in the data pages. Where they were left, if the ring
// has been served before, the page tells.
func (r *ring) place(data []byte) {
	half := len(data) / 2
	r.in, r.out = data[:half], data[half:]
	r.outCons, r.inProd = r.load(placeOutCons), r.load(placeInProd)
}

// close gives back what is not ours. Nobody uses the ring any more.
func (r *ring) close() {
	if r.events != nil {
		_ = r.events.Close() // it may be closed to end who waits
	}
	for _, unmap := range r.release {
		unmap()
	}
}

func (r *ring) word(place int) *uint32 { return (*uint32)(unsafe.Pointer(&r.page[place])) }

// load reads an index before the data that it tells of, and store writes one
// after the data (sync/atomic is sequentially consistent).
func (r *ring) load(place int) uint32     { return atomic.LoadUint32(r.word(place)) }
func (r *ring) store(place int, v uint32) { atomic.StoreUint32(r.word(place), v) }

func (r *ring) size() uint32 { return uint32(len(r.out)) }

// listen receives events until the channel is closed or fails.
func (r *ring) listen() error {
	for {
		if err := r.events.wait(); err != nil {
			return fmt.Errorf("wait for the front end: %w", err)
		}
		kick(r.arrived)
		kick(r.cleared)
	}
}

// request is a request that was taken off a ring.
type request struct {
	*rpc.Buffer // a copy; nil if there is none
	accepted    transport.Request
}

func (q request) done() {
	q.accepted.Done()
	q.Release()
}

// next waits for a request and takes it off the ring. r.taking is held.
func (r *ring) next(ctx context.Context) (request, error) {
	for {
		q, err := r.take()
		if q.Buffer != nil || err != nil {
			return q, err
		}
		select {
		case <-r.arrived:
		case <-ctx.Done():
			return request{}, ctx.Err()
		}
	}
}

var (
	errRequests = errors.New("more requests than the ring has room for")
	errReplies  = errors.New("more replies than the ring has room for")
)

// take copies a request, has it accepted, and makes its place in the ring free,
// so that one that takes long does not keep others from coming. It returns none
// while there is no whole one. r.taking is held.
func (r *ring) take() (_ request, err error) {
	queued := r.load(placeOutProd) - r.outCons
	if queued > r.size() {
		return request{}, errRequests
	}
	var size [4]byte
	if queued < messageHeader {
		return request{}, nil
	}
	r.copyOut(size[:], r.outCons)
	n := binary.LittleEndian.Uint32(size[:])
	switch {
	case n < messageHeader || n > r.size():
		return request{}, fmt.Errorf("request of %d bytes in a ring of %d", n, r.size())
	case n > queued:
		return request{}, nil
	}
	msg := rpc.GetBuffer(int(n))
	r.copyOut(msg.B, r.outCons)
	copy(msg.B, size[:]) // which may have changed
	accepted, err := r.accept([][]byte{msg.B})
	if err != nil {
		msg.Release()
		return request{}, err
	}
	q := request{msg, accepted}
	taken := false
	defer func() {
		if !taken { // also by a panic
			q.done()
		}
	}()
	r.move(n)
	// The front end may wait for room. That of the common request it cannot,
	// and the reply wakes it anyway: Linux has no messages longer than this.
	if queued > r.size()/2 {
		if err := r.events.notify(); err != nil {
			return request{}, fmt.Errorf("notify the front end: %w", err)
		}
	}
	taken = true
	return q, nil
}

// move makes the place of a request free, of n bytes.
func (r *ring) move(n uint32) {
	r.moving.Lock()
	defer r.moving.Unlock()
	r.outCons += n
	r.store(placeOutCons, r.outCons)
	if r.moved != nil {
		close(r.moved)
		r.moved = nil
	}
}

// awaitTag waits until a request with that tag has been accepted, if there is
// one in the ring now.
func (r *ring) awaitTag(ctx context.Context, tag uint16) {
	at, ok := r.find(tag)
	if !ok {
		return
	}
	for moved := r.beyond(at); moved != nil; moved = r.beyond(at) {
		select {
		case <-moved:
		case <-ctx.Done():
			return
		}
	}
}

// find returns the index of the request in the ring that has the tag.
func (r *ring) find(tag uint16) (at uint32, ok bool) {
	r.moving.Lock()
	defer r.moving.Unlock()
	end := r.load(placeOutProd)
	if end-r.outCons > r.size() {
		return 0, false // take will say so
	}
	for at = r.outCons; end-at >= messageHeader; {
		var header [messageHeader]byte
		r.copyOut(header[:], at)
		n := binary.LittleEndian.Uint32(header[:])
		switch {
		case n < messageHeader || n > end-at:
			return 0, false // this, too
		case binary.LittleEndian.Uint16(header[tagPlace:]) == tag:
			return at, true
		}
		at += n
	}
	return 0, false
}

// beyond returns a channel that closes when another request has been taken, and
// nil if that at the index has been.
func (r *ring) beyond(at uint32) <-chan struct{} {
	r.moving.Lock()
	defer r.moving.Unlock()
	if int32(r.outCons-at) > 0 {
		return nil
	}
	if r.moved == nil {
		r.moved = make(chan struct{})
	}
	return r.moved
}

// copyOut copies the bytes of requests from an index on.
func (r *ring) copyOut(p []byte, from uint32) {
	at := from & (r.size() - 1)
	n := copy(p, r.out[at:])
	copy(p[n:], r.out)
}

// room is how long the reply to a request may be.
func (r *ring) room(request []byte) int {
	n := uint64(smallReply)
	if kind := request[typePlace]; (kind == tread || kind == treaddir) && len(request) >= countPlace+4 {
		n = max(n, dataHeader+uint64(binary.LittleEndian.Uint32(request[countPlace:])))
	}
	return int(min(n, uint64(r.size())))
}

// reply puts a reply into the ring, as soon as there is room for it: Linux takes
// what it sees the beginning of to be all there. It is not longer than room
// said. If ctx ends first, the reply is dropped.
func (r *ring) reply(ctx context.Context, p []byte) error {
	r.replying.Lock()
	defer r.replying.Unlock()
	for {
		used := r.inProd - r.load(placeInCons)
		if used > r.size() {
			return errReplies
		}
		if uint32(len(p)) <= r.size()-used {
			break
		}
		select {
		case <-r.cleared:
		case <-ctx.Done():
			return nil
		}
	}
	n := copy(r.in[r.inProd&(r.size()-1):], p)
	copy(r.in, p[n:])
	r.inProd += uint32(len(p))
	r.store(placeInProd, r.inProd)
	if err := r.events.notify(); err != nil {
		return fmt.Errorf("notify the front end: %w", err)
	}
	return nil
}
