package xen

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// machine is Xen with two domains on it: the appliance's, whose number is 1, and
// the front ends' of all others. Each grant is a page of one file.
type machine struct {
	t      testing.TB
	daemon *daemon
	memory *os.File

	mu     sync.Mutex // guards what follows
	grants uint32     // that were given out, from 1 on
	mapped int        // that the back end has mapped
	bound  int
	ports  map[uint32]*eventPair
}

const machinePages = 4 << maxOrder

func newMachine(t testing.TB) *machine {
	t.Helper()
	fd, err := unix.MemfdCreate("machine", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	memory := os.NewFile(uintptr(fd), "machine")
	t.Cleanup(func() { memory.Close() })
	if err := memory.Truncate(machinePages * pageSize); err != nil {
		t.Fatal(err)
	}
	return &machine{t: t, daemon: newDaemon(), memory: memory, ports: make(map[uint32]*eventPair)}
}

func (m *machine) mmap(page uint32, n int) ([]byte, error) {
	return unix.Mmap(int(m.memory.Fd()), int64(page)*pageSize, n*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
}

// mapGrants implements hypervisor. The pages of a ring follow each other.
func (m *machine) mapGrants(domain uint32, refs []uint32) ([]byte, func(), error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, ref := range refs {
		if ref == 0 || ref > m.grants || ref != refs[0]+uint32(i) {
			return nil, nil, fmt.Errorf("domain %d has no grant %d: %w", domain, ref, unix.EINVAL)
		}
	}
	pages, err := m.mmap(refs[0]-1, len(refs))
	if err != nil {
		return nil, nil, err
	}
	m.mapped += len(refs)
	return pages, func() {
		unix.Munmap(pages)
		m.mu.Lock()
		m.mapped -= len(refs)
		m.mu.Unlock()
	}, nil
}

func (m *machine) bind(domain, port uint32) (eventChannel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	pair := m.ports[port]
	if pair == nil {
		return nil, fmt.Errorf("domain %d has no event channel %d: %w", domain, port, unix.EINVAL)
	}
	m.bound++
	return &backPort{pair: pair, closed: make(chan struct{}), unbind: func() {
		m.mu.Lock()
		m.bound--
		m.mu.Unlock()
	}}, nil
}

func (m *machine) close() {}

// free fails the test if the back end has kept something.
func (m *machine) free() {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mapped != 0 || m.bound != 0 {
		m.t.Errorf("%d pages are still mapped, %d event channels bound", m.mapped, m.bound)
	}
}

// eventPair is an event channel.
type eventPair struct {
	toBack, toFront chan struct{}
}

// backPort is the back end's end of it.
type backPort struct {
	pair   *eventPair
	once   sync.Once
	closed chan struct{}
	unbind func()
}

func (p *backPort) wait() error {
	select {
	case <-p.pair.toBack:
		return nil
	case <-p.closed:
		return os.ErrClosed
	}
}

func (p *backPort) notify() error { kick(p.pair.toFront); return nil }

func (p *backPort) Close() error {
	p.once.Do(func() {
		close(p.closed)
		p.unbind()
	})
	return nil
}

// frontEnd is another domain's driver, with its device as the toolstack made it.
type frontEnd struct {
	t         testing.TB
	m         *machine
	dir, back string // of front and back end in xenstore
	order     uint32
	rings     []*frontRing
	changed   chan struct{} // the back end's state
}

// frontRing is one ring as the front end sees it.
type frontRing struct {
	*eventPair
	page, in, out   []byte
	ref, port       uint32
	outProd, inCons uint32
}

// attach has the toolstack give a domain its device number 0.
func (m *machine) attach(domain int, path string) *frontEnd {
	fe := &frontEnd{
		t: m.t, m: m, order: 3, changed: make(chan struct{}, 1),
		dir: fmt.Sprintf("/local/domain/%d/device/9pfs/0", domain), back: fmt.Sprintf("/local/domain/1/backend/9pfs/%d/0", domain),
	}
	m.daemon.set(fe.dir, "backend", fe.back, "backend-id", "1", "state", "1", "tag", "share")
	m.daemon.set(fe.back, "frontend", fe.dir, "frontend-id", strconv.Itoa(domain), "online", "1", "state", "1", "path", path, "security_model", "none")
	s := newStore(m.daemon.connect(m.t, domain))
	m.t.Cleanup(s.close)
	if _, err := s.watch(fe.back+"/state", fe.changed); err != nil {
		m.t.Fatal(err)
	}
	return fe
}

// await waits for a state of the back end.
func (fe *frontEnd) await(want state) {
	fe.t.Helper()
	for {
		got := state(fe.m.daemon.get(fe.back + "/state"))
		if got == want {
			return
		}
		wait(fe.t, fe.changed, fmt.Sprintf("back end in state %q, not %q", got, want))
	}
}

// awaitRemoval waits until the back end has left nothing of the domain's only
// device.
func (fe *frontEnd) awaitRemoval() {
	fe.t.Helper()
	for !fe.m.daemon.gone(path.Dir(fe.back)) {
		wait(fe.t, fe.changed, "the removal of "+fe.back)
	}
}

func (fe *frontEnd) set(s state) { fe.m.daemon.set(fe.dir, "state", string(s)) }

// connect makes rings and waits until they are served.
func (fe *frontEnd) connect() {
	fe.t.Helper()
	fe.await(stateInitWait)
	fe.publish(2)
	fe.await(stateConnected)
	fe.set(stateConnected)
}

// publish makes rings and tells the back end.
func (fe *frontEnd) publish(n int) {
	fe.t.Helper()
	fe.makeRings(n)
	fe.announce()
}

func (fe *frontEnd) makeRings(n int) {
	fe.t.Helper()
	fe.rings = nil
	for range n {
		fe.rings = append(fe.rings, fe.newRing())
	}
}

// announce writes what the back end asks for.
func (fe *frontEnd) announce() {
	fe.m.daemon.set(fe.dir, "version", "1", "num-rings", strconv.Itoa(len(fe.rings)))
	for i, r := range fe.rings {
		fe.m.daemon.set(fe.dir, fmt.Sprint("ring-ref", i), fmt.Sprint(r.ref), fmt.Sprint("event-channel-", i), fmt.Sprint(r.port))
	}
	fe.set(stateInitialised)
}

// newRing makes a ring in pages of its own.
func (fe *frontEnd) newRing() *frontRing {
	fe.t.Helper()
	m := fe.m
	m.mu.Lock()
	defer m.mu.Unlock()
	first, n := m.grants, 1<<fe.order
	m.grants += uint32(1 + n)
	r := &frontRing{ref: first + 1, port: 1000 + first, eventPair: &eventPair{make(chan struct{}, 1), make(chan struct{}, 1)}}
	m.ports[r.port] = r.eventPair
	pages, err := m.mmap(first, 1+n)
	if err != nil {
		fe.t.Fatal(err)
	}
	fe.t.Cleanup(func() { unix.Munmap(pages) })
	clear(pages)
	r.page = pages[:pageSize]
	half := n * pageSize / 2
	r.in, r.out = pages[pageSize:][:half], pages[pageSize+half:]
	r.word(placeOrder, fe.order)
	for i := range n {
		r.word(placeRefs+4*i, first+2+uint32(i))
	}
	return r
}

func (r *frontRing) word(place int, v uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&r.page[place])), v)
}

func (r *frontRing) load(place int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.page[place])))
}

func (r *frontRing) notify() { kick(r.toBack) }

// put writes bytes to the ring, which there is room for.
func (r *frontRing) put(p []byte) {
	n := copy(r.out[r.outProd%uint32(len(r.out)):], p)
	copy(r.out, p[n:])
	r.outProd += uint32(len(p))
	r.word(placeOutProd, r.outProd)
}

// send writes a message to the ring, when there is room.
func (r *frontRing) send(t testing.TB, p []byte) {
	t.Helper()
	for len(r.out)-int(r.outProd-r.load(placeOutCons)) < len(p) {
		wait(t, r.toFront, "room for a request")
	}
	r.put(p)
	r.notify()
}

// receive waits for a message, which as in Linux must be there as a whole when
// its beginning is.
func (r *frontRing) receive(t testing.TB) []byte {
	t.Helper()
	for r.load(placeInProd)-r.inCons < messageHeader {
		wait(t, r.toFront, "a reply")
	}
	n := binary.LittleEndian.Uint32(r.peek(4))
	if queued := r.load(placeInProd) - r.inCons; n > queued {
		t.Fatalf("of a reply of %d bytes there are %d", n, queued)
	}
	p := r.peek(int(n))
	r.inCons += n
	r.word(placeInCons, r.inCons)
	r.notify()
	return p
}

func (r *frontRing) peek(n int) []byte {
	p := make([]byte, n)
	at := r.inCons % uint32(len(r.in))
	copy(p[copy(p, r.in[at:]):], r.in)
	return p
}

// message makes a message whose type is none of 9P's.
func message(tag uint16, body string) []byte {
	b := binary.LittleEndian.AppendUint32(nil, uint32(messageHeader+len(body)))
	b = binary.LittleEndian.AppendUint16(append(b, 200), tag)
	return append(b, body...)
}

// roundTrip has the back end answer.
func (r *frontRing) roundTrip(t testing.TB, body string) string {
	t.Helper()
	r.send(t, message(1, body))
	return string(r.receive(t)[messageHeader:])
}

// echo answers with the request.
func echo(_ context.Context, in, out [][]byte) (int, error) {
	if len(in) != 1 || len(out) != 1 {
		return 0, errors.New("more than one slice")
	}
	return copy(out[0], in[0]), nil
}

// gateEcho is echo, but requests that say "wait" wait for the gate, or the end.
func gateEcho(gate chan struct{}) func(ctx context.Context, in, out [][]byte) (int, error) {
	return func(ctx context.Context, in, out [][]byte) (int, error) {
		if strings.HasPrefix(string(in[0][messageHeader:]), "wait") {
			select {
			case <-gate:
			case <-ctx.Done():
			}
		}
		return echo(ctx, in, out)
	}
}
