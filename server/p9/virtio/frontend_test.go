package virtio

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// frontEnd is a virtual machine monitor with its machine.
type frontEnd struct {
	*driver  // while the ring runs
	t        testing.TB
	conn     *net.UnixConn
	memfd    *os.File
	mem      []byte
	features uint64
	ringSize uint16
}

// connect makes a front end and has it agree with the back end on everything.
func (s *service) connect(t testing.TB) *frontEnd {
	t.Helper()
	fe := s.dial(t)
	fe.negotiate()
	return fe
}

// dial makes a front end that has not said anything.
func (s *service) dial(t testing.TB) *frontEnd {
	t.Helper()
	conn, err := net.Dial("unix", s.socket)
	if err != nil {
		t.Fatal(err)
	}
	return newFrontEnd(t, conn.(*net.UnixConn))
}

func newFrontEnd(t testing.TB, conn *net.UnixConn) *frontEnd {
	t.Helper()
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(deadline))
	memfd := newMemory(t, memorySize)
	return &frontEnd{t: t, conn: conn, memfd: memfd, mem: mapFile(t, memfd), features: features, ringSize: 64}
}

func newMemory(t testing.TB, size int64) *os.File {
	t.Helper()
	fd, err := unix.MemfdCreate("guest", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "guest")
	t.Cleanup(func() { f.Close() })
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}

func mapFile(t testing.TB, f *os.File) []byte {
	t.Helper()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	return b
}

// sendRaw sends bytes and descriptors as they are.
func (fe *frontEnd) sendRaw(b []byte, fds ...int) error {
	var oob []byte
	if len(fds) > 0 {
		oob = unix.UnixRights(fds...)
	}
	_, _, err := fe.conn.WriteMsgUnix(b, oob, nil)
	return err
}

func encode(r request, flags uint32, payload []byte) []byte {
	b := native.AppendUint32(nil, uint32(r))
	b = native.AppendUint32(b, protocolVersion|flags)
	b = native.AppendUint32(b, uint32(len(payload)))
	return append(b, payload...)
}

// send sends a request that has no answer.
func (fe *frontEnd) send(r request, payload []byte, fds ...int) {
	fe.t.Helper()
	if err := fe.sendRaw(encode(r, 0, payload), fds...); err != nil {
		fe.t.Fatalf("%v: %v", r, err)
	}
}

// ask sends a request and returns the payload of the answer.
func (fe *frontEnd) ask(r request, flags uint32, payload []byte, fds ...int) []byte {
	fe.t.Helper()
	if err := fe.sendRaw(encode(r, flags, payload), fds...); err != nil {
		fe.t.Fatalf("%v: %v", r, err)
	}
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(fe.conn, header); err != nil {
		fe.t.Fatalf("answer to %v: %v", r, err)
	}
	if got := request(native.Uint32(header)); got != r {
		fe.t.Fatalf("answer to %v instead of %v", got, r)
	}
	if got := native.Uint32(header[4:]); got != protocolVersion|flagReply {
		fe.t.Fatalf("answer to %v has the flags %#x", r, got)
	}
	answer := make([]byte, native.Uint32(header[8:]))
	if _, err := io.ReadFull(fe.conn, answer); err != nil {
		fe.t.Fatalf("answer to %v: %v", r, err)
	}
	return answer
}

// must sends a request and has it acknowledged.
func (fe *frontEnd) must(r request, payload []byte, fds ...int) {
	fe.t.Helper()
	if got := fe.acknowledged(r, payload, fds...); got != 0 {
		fe.t.Fatalf("%v is refused: %d", r, got)
	}
}

func (fe *frontEnd) acknowledged(r request, payload []byte, fds ...int) uint64 {
	fe.t.Helper()
	return native.Uint64(fe.ask(r, flagNeedReply, payload, fds...))
}

// disconnected waits until the back end has closed the connection.
func (fe *frontEnd) disconnected() {
	fe.t.Helper()
	_, err := io.ReadFull(fe.conn, make([]byte, 1))
	if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) {
		fe.t.Fatalf("the connection is not closed: %v", err)
	}
}

// negotiate does what comes before the guest's driver.
func (fe *frontEnd) negotiate() {
	fe.t.Helper()
	if got := native.Uint64(fe.ask(reqGetFeatures, 0, nil)); got != features {
		fe.t.Fatalf("features %#x", got)
	}
	if got := native.Uint64(fe.ask(reqGetProtocolFeatures, 0, nil)); got != protocolFeatures {
		fe.t.Fatalf("protocol features %#x", got)
	}
	fe.send(reqSetProtocolFeatures, u64Payload(protocolFeatures))
	if got := native.Uint64(fe.ask(reqGetQueueNum, 0, nil)); got != queues {
		fe.t.Fatalf("%d queues", got)
	}
	fe.send(reqSetOwner, nil)
}

// memTable is the table of the two halves, the upper one first.
func (fe *frontEnd) memTable() []byte {
	return memTablePayload(
		regionInfo{guest: guestBase + halfSize, size: halfSize, user: userHigh, offset: halfSize},
		regionInfo{guest: guestBase, size: halfSize, user: userBase},
	)
}

func memTablePayload(infos ...regionInfo) []byte {
	b := vringStatePayload(uint32(len(infos)), 0)
	for _, r := range infos {
		for _, v := range []uint64{r.guest, r.size, r.user, r.offset} {
			b = native.AppendUint64(b, v)
		}
	}
	return b
}

func (fe *frontEnd) setMemTable() {
	fe.t.Helper()
	fd := int(fe.memfd.Fd())
	fe.must(reqSetMemTable, fe.memTable(), fd, fd)
}

// start starts the ring for a driver that begins anew.
func (fe *frontEnd) start() {
	fe.t.Helper()
	fe.driver = newDriver(fe.t, fe.mem, fe.ringSize, fe.features)
	fe.resume(0)
}

// resume starts the ring where it was stopped.
func (fe *frontEnd) resume(base uint32) {
	fe.t.Helper()
	fe.prepareRing(base)
	fe.must(reqSetVringEnable, vringStatePayload(0, 1))
}

// prepareRing does all but enabling it.
func (fe *frontEnd) prepareRing(base uint32) {
	fe.t.Helper()
	fe.send(reqSetFeatures, u64Payload(fe.features))
	fe.setMemTable()
	fe.send(reqSetVringNum, vringStatePayload(0, uint32(fe.size)))
	fe.send(reqSetVringBase, vringStatePayload(0, base))
	fe.send(reqSetVringAddr, fe.vringAddr())
	fe.must(reqSetVringKick, u64Payload(0), int(fe.kick.Fd()))
	fe.must(reqSetVringCall, u64Payload(0), int(fe.call.Fd()))
}

func (fe *frontEnd) vringAddr() []byte {
	b := vringStatePayload(0, 0)
	for _, part := range [][]byte{fe.desc, fe.used, fe.avail, nil} {
		var addr uint64
		if part != nil {
			addr = userAddr(part, fe.mem)
		}
		b = native.AppendUint64(b, addr)
	}
	return b
}

// stop stops the ring and returns its base.
func (fe *frontEnd) stop() uint32 {
	fe.t.Helper()
	fe.must(reqSetVringEnable, vringStatePayload(0, 0))
	return native.Uint32(fe.ask(reqGetVringBase, 0, vringStatePayload(0, 0))[4:])
}
