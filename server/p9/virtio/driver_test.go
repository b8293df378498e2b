package virtio

import (
	"encoding/binary"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The machine's memory: one file, of which each half is a region. They follow
// each other in the guest, but not in the front end, nor in the message.
const (
	memorySize = 8 << 20
	halfSize   = memorySize / 2
	guestBase  = 0x4000_0000
	userBase   = 0x7f00_0000_0000
	userHigh   = 0x7e00_0000_0000
)

// Where things are in it.
const (
	ringPlace    = 0
	tablePlace   = 1 << 20 // indirect tables, one for each head
	tableSize    = maxChain * descriptorSize
	requestPlace = 2 << 20 // buffers, two for each head
	bufferSize   = 1 << 10
	replyPlace   = requestPlace + 64*bufferSize
)

// driver is a guest's driver of the ring.
type driver struct {
	t                 testing.TB
	size              uint16
	mem               []byte
	desc, avail, used []byte
	eventIndex        bool

	availIndex uint16
	usedIndex  uint16
	kick, call *os.File

	kicks, calls int
}

// newDriver lays out an empty ring.
func newDriver(t testing.TB, mem []byte, size uint16, features uint64) *driver {
	d := &driver{t: t, size: size, mem: mem, eventIndex: features&featureEventIndex != 0}
	n := int(size)
	at := ringPlace
	part := func(length int) []byte {
		b := mem[at:][:length]
		at = (at + length + 4095) &^ 4095
		clear(b)
		return b
	}
	d.desc = part(descriptorSize * n)
	d.avail = part(ringHeader + availEntry*n + ringTrailer)
	d.used = part(ringHeader + usedEntry*n + ringTrailer)
	d.kick, d.call = newEventfd(t), newEventfd(t)
	return d
}

func newEventfd(t testing.TB) *os.File {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "eventfd")
	t.Cleanup(func() { f.Close() })
	return f
}

// guestAddr is the guest-physical address of a place in memory.
func guestAddr(place int) uint64 { return guestBase + uint64(place) }

// userAddr is its address in the front end.
func userAddr(b, mem []byte) uint64 {
	at := uint64(cap(mem) - cap(b))
	if at >= halfSize {
		return userHigh + at - halfSize
	}
	return userBase + at
}

// put writes a descriptor into a table.
func put(t []byte, i int, d descriptor) {
	e := t[i*descriptorSize:][:descriptorSize]
	binary.LittleEndian.PutUint64(e, d.addr)
	binary.LittleEndian.PutUint32(e[8:], d.len)
	binary.LittleEndian.PutUint16(e[12:], d.flags)
	binary.LittleEndian.PutUint16(e[14:], d.next)
}

// request and reply are the buffers of a head.
func (d *driver) request(head int) []byte { return d.mem[requestPlace+head*bufferSize:][:bufferSize] }
func (d *driver) reply(head int) []byte   { return d.mem[replyPlace+head*bufferSize:][:bufferSize] }

// prepare makes head and head+1 a chain: a request, and room for a reply.
func (d *driver) prepare(head int, request string) {
	copy(d.request(head), request)
	clear(d.reply(head))
	put(d.desc, head, descriptor{guestAddr(requestPlace + head*bufferSize), uint32(len(request)), flagNext, uint16(head) + 1})
	put(d.desc, head+1, descriptor{guestAddr(replyPlace + head*bufferSize), bufferSize, flagWrite, 0})
}

// offer makes the chain at head available, and notifies the device if it asks
// for that.
func (d *driver) offer(head int) {
	d.offerQuietly(head)
	need := d.load16(d.used, 0)&flagNoNotify == 0
	if d.eventIndex {
		need = d.load16(d.used, ringHeader+usedEntry*int(d.size)) == d.availIndex-1
	}
	if need {
		d.notify()
	}
}

func (d *driver) offerQuietly(head int) {
	slot := int(d.availIndex & (d.size - 1))
	binary.LittleEndian.PutUint16(d.avail[ringHeader+availEntry*slot:], uint16(head))
	d.availIndex++
	d.storeAvail()
}

func (d *driver) notify() {
	d.kicks++
	if _, err := d.kick.Write(one); err != nil {
		d.t.Fatal(err)
	}
}

// storeAvail publishes the available index. No flags are set.
func (d *driver) storeAvail() {
	atomic.StoreUint32(word(d.avail, 0), littleEndian(uint32(d.availIndex)<<16))
}

func (d *driver) load16(b []byte, offset int) uint16 { return new(ring).load16(b, offset) }

// reap takes a used chain, if there is one.
func (d *driver) reap() (head int, n uint32, ok bool) {
	if d.load16(d.used, 2) == d.usedIndex {
		return 0, 0, false
	}
	e := d.used[ringHeader+usedEntry*int(d.usedIndex&(d.size-1)):]
	d.usedIndex++
	return int(binary.LittleEndian.Uint32(e)), binary.LittleEndian.Uint32(e[4:]), true
}

// wait waits for the next used chain, by interrupts alone.
func (d *driver) wait() (head int, n uint32) {
	d.t.Helper()
	var counter [8]byte
	for {
		if head, n, ok := d.reap(); ok {
			return head, n
		}
		if d.eventIndex {
			atomic.StoreUint32(word(d.avail, ringHeader+availEntry*int(d.size)), littleEndian(uint32(d.usedIndex)))
			if head, n, ok := d.reap(); ok {
				return head, n
			}
		}
		d.call.SetReadDeadline(time.Now().Add(deadline))
		if _, err := d.call.Read(counter[:]); err != nil {
			d.t.Fatalf("wait for an interrupt: %v", err)
		}
		d.calls++
	}
}

// roundTrip has the device answer a request in the chain at head.
func (d *driver) roundTrip(head int, request string) string {
	d.t.Helper()
	d.prepare(head, request)
	d.offer(head)
	got, n := d.wait()
	if got != head {
		d.t.Fatalf("chain %d came back instead of %d", got, head)
	}
	return string(d.reply(head)[:n])
}
