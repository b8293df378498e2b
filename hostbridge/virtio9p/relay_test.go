package virtio9p

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fsva/fsva/server/p9/p9test"
	"github.com/fsva/fsva/server/p9/virtio"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var _ virtio.Channel = (*Channel)(nil)

// appliance serves an export "data" on a Unix socket.
func appliance(t testing.TB) (path string) {
	t.Helper()
	srv := p9test.NewServer(t)
	path = filepath.Join(t.TempDir(), "9p")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		<-served
	})
	return path
}

// guest has requests relayed, in buffers of pages as a driver lays them out.
type guest struct {
	*Channel
	t   testing.TB
	log bytes.Buffer
}

func newGuest(t testing.TB, path, export string) *guest {
	g := &guest{t: t}
	g.Channel = NewChannel(Config{
		Tag: "share", Address: "unix://" + path, Export: export, Log: zerolog.New(&g.log),
		Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	})
	t.Cleanup(g.Close)
	return g
}

// pages cuts b into pieces as a guest's memory has them.
func pages(b []byte) (pieces [][]byte) {
	const page = 4096
	for len(b) > page {
		pieces = append(pieces, b[:page:page])
		b = b[page:]
	}
	return append(pieces, b)
}

const (
	testMsize = 512000
	noFID     = ^uint32(0)

	tlopen, tlcreate, tlock, twalk, tread, tclunk = 12, 14, 52, 110, 116, 120
)

// do relays a message as a device does.
func (g *guest) do(ctx context.Context, in, out [][]byte) (int, error) {
	q, err := g.Accept(in)
	if err != nil {
		return 0, err
	}
	defer q.Done()
	return q.Answer(ctx, out)
}

// try relays a message and returns the answer.
func (g *guest) try(ctx context.Context, m []byte) ([]byte, error) {
	out := make([]byte, testMsize)
	n, err := g.do(ctx, pages(m), pages(out))
	return out[:n], err
}

// ask relays a message and returns the fields of the answer, which must be of
// the right type.
func (g *guest) ask(typ uint8, tag uint16, fields ...any) []byte {
	g.t.Helper()
	b, err := g.try(context.Background(), p9test.Message(typ, tag, fields...))
	if err != nil {
		g.t.Fatalf("request %d: %v", typ, err)
	}
	if b[4] != typ+1 || binary.LittleEndian.Uint16(b[5:]) != tag || int(binary.LittleEndian.Uint32(b)) != len(b) {
		g.t.Fatalf("request %d is answered by % x", typ, b[:min(len(b), 32)])
	}
	return b[headerSize:]
}

// errno returns what the answer to a message is, if it is an error.
func (g *guest) errno(m []byte) syscall.Errno {
	g.t.Helper()
	b, err := g.try(context.Background(), m)
	if err != nil {
		g.t.Fatal(err)
	}
	return errnoOf(b)
}

func errnoOf(b []byte) syscall.Errno {
	if b[4] != typeRlerror {
		return 0
	}
	return syscall.Errno(binary.LittleEndian.Uint32(b[headerSize:]))
}

func (g *guest) version() { g.ask(tversion, 0xffff, uint32(testMsize), "9P2000.L") }

// mount makes fid 0 the root and fid 1 a new file, which is open.
func (g *guest) mount() {
	g.t.Helper()
	g.version()
	g.ask(tattach, 0, uint32(0), noFID, "root", "data", uint32(0))
	g.ask(twalk, 0, uint32(0), uint32(1), uint16(0))
	g.ask(tlcreate, 0, uint32(1), "file", uint32(syscall.O_RDWR), uint32(0o644), uint32(0))
}

func TestGuestReadsWhatItWrote(t *testing.T) {
	g := newGuest(t, appliance(t), "data")
	g.mount()
	for _, size := range []int{1, 4000, directWrite - 1, directWrite, 100_000, testMsize - 24} {
		data := make([]byte, size)
		for i := range data {
			data[i] = byte(i * i >> 5)
		}
		if n := binary.LittleEndian.Uint32(g.ask(twrite, 3, uint32(1), uint64(0), uint32(size), data)); int(n) != size {
			t.Errorf("%d bytes of %d are written", n, size)
		}
		got := g.ask(tread, 4, uint32(1), uint64(0), uint32(size))
		if !bytes.Equal(got[4:], data) {
			t.Errorf("%d bytes come back as %d others", size, len(got)-4)
		}
	}
}

func TestRequestsOfManyCallsGoOverOneConnection(t *testing.T) {
	g := newGuest(t, appliance(t), "")
	g.mount()
	const size = 60_000
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			data := bytes.Repeat([]byte{byte(i)}, size)
			for range 20 {
				g.ask(twrite, uint16(i), uint32(1), uint64(i*size), uint32(size), data)
				if got := g.ask(tread, uint16(i), uint32(1), uint64(i*size), uint32(size)); !bytes.Equal(got[4:], data) {
					t.Errorf("call %d reads what is not its own", i)
				}
			}
		})
	}
	wg.Wait()
}

func TestGuestIsKeptToItsExport(t *testing.T) {
	path := appliance(t)
	for aname, want := range map[string]syscall.Errno{"data": 0, "/data": 0, "": 0, "/": 0, "dat": syscall.EACCES, "other": syscall.EACCES} {
		g := newGuest(t, path, "data")
		g.version()
		if got := g.errno(p9test.Message(tattach, 0, uint32(0), noFID, "root", aname, uint32(0))); got != want {
			t.Errorf("%q: %v instead of %v", aname, got, want)
		}
	}
	g := newGuest(t, path, "data")
	g.version()
	for _, m := range [][]byte{p9test.Message(tattach, 0), p9test.Message(tattach, 0, uint32(0), noFID, uint16(9)), p9test.Message(tattach, 0, uint32(0), noFID, "root", uint16(9))} {
		if got := g.errno(m); got != syscall.EINVAL {
			t.Errorf("% x: %v", m, got)
		}
	}
}

func TestOtherExportsAreTheServersToRefuse(t *testing.T) {
	g := newGuest(t, appliance(t), "")
	g.version()
	if got := g.errno(p9test.Message(tattach, 0, uint32(0), noFID, "root", "other", uint32(0))); got != syscall.ENOENT {
		t.Error(got)
	}
}

func TestMountFailsWhileTheServerIsAwayAndWorksLater(t *testing.T) {
	path := filepath.Join(t.TempDir(), "9p")
	g := newGuest(t, path, "")
	g.limits.dial = 0
	greeting := p9test.Message(tversion, 0xffff, uint32(testMsize), "9P2000.L")
	if got := g.errno(greeting); got != syscall.EIO {
		t.Errorf("Tversion: %v", got)
	}
	if got := g.errno(p9test.Message(tclunk, 1, uint32(0))); got != syscall.EPROTO {
		t.Errorf("before Tversion: %v", got)
	}
	if lines := strings.Split(strings.TrimSpace(g.log.String()), "\n"); len(lines) != 1 ||
		!strings.Contains(lines[0], `"tag":"share"`) || !strings.Contains(lines[0], path) {
		t.Errorf("log: %q", lines)
	}
	s := rubbish(t, path, func(c *wire) { c.greet(testMsize) })
	g.limits.dial = defaultLimits.dial
	if got := g.errno(greeting); got != 0 {
		t.Errorf("Tversion, when the server is there: %v", got)
	}
	<-s
}

func TestTversionConnectsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "9p")
	served := make(chan struct{}, 2)
	s := rubbish(t, path, func(c *wire) { c.greet(testMsize); c.Close(); served <- struct{}{} }, func(c *wire) { c.greet(testMsize) })
	g := newGuest(t, path, "")
	g.version()
	<-served
	if _, err := g.try(context.Background(), p9test.Message(tclunk, 1, uint32(0))); err == nil {
		t.Error("a request of a mount that is gone is answered")
	}
	g.version()
	<-s
}

func TestRequestsThatBreakTheRulesReachNobody(t *testing.T) {
	g := newGuest(t, appliance(t), "")
	for _, m := range [][]byte{nil, {7, 0, 0}, p9test.Message(tversion, 1, make([]byte, firstMsize)), append([]byte{200}, p9test.Message(tclunk, 1)[1:]...), append([]byte{6}, p9test.Message(tclunk, 1)[1:]...)} {
		if _, err := g.try(context.Background(), m); err == nil {
			t.Errorf("%d bytes are answered", len(m))
		}
	}
	if _, err := g.do(context.Background(), [][]byte{p9test.Message(tversion, 1, uint32(testMsize), "9P2000.L")}, [][]byte{make([]byte, rlerrorSize-1)}); err == nil {
		t.Error("a request without room for an answer is answered")
	}
}

func TestLockIsGivenUpWhenTheDeviceStops(t *testing.T) {
	path := appliance(t)
	a, b := newGuest(t, path, ""), newGuest(t, path, "")
	b.limits.settle = time.Millisecond
	a.mount()
	lock := func(client string) []byte {
		return p9test.Message(tlock, 7, uint32(1), uint8(1), uint32(1), uint64(0), uint64(0), uint32(1), client)
	}
	if got := a.errno(lock("a")); got != 0 {
		t.Fatal(got)
	}
	b.version()
	b.ask(tattach, 0, uint32(0), noFID, "root", "data", uint32(0))
	b.ask(twalk, 0, uint32(0), uint32(1), uint16(1), "file")
	b.ask(tlopen, 0, uint32(1), uint32(syscall.O_RDWR))
	ctx, cancel := context.WithCancel(context.Background())
	answered := make(chan error, 1)
	go func() {
		m, err := b.try(ctx, lock("b"))
		if err == nil && errnoOf(m) == 0 {
			err = fmt.Errorf("answer % x", m)
		}
		answered <- err
	}()
	cancel()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	b.ask(tread, 7, uint32(1), uint64(0), uint32(10)) // the guest was only paused
}
