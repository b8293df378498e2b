package virtio

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/hostbridge/virtio9p"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/server/p9/p9test"
)

const msize = 1 << 20

func message9P(typ uint8, tag uint16, fields ...any) string {
	return string(p9test.Message(typ, tag, fields...))
}

// serve9P serves a device of an export in memory.
func serve9P(t *testing.T) *service {
	t.Helper()
	srv := p9test.NewServer(t)
	return serveConfig(t, Config{NewChannel: func() Channel { return srv.NewChannel("guest", p9.ChannelOptions{}) }}, nil)
}

// must9P has the device answer a message, which must be done.
func (d *driver) must9P(message string) {
	d.t.Helper()
	if reply := d.roundTrip(0, message); reply[4] != message[4]+1 {
		d.t.Fatalf("message of type %d is answered by % x", message[4], reply)
	}
}

// mount makes fid 0 an open file.
func (d *driver) mount() {
	d.t.Helper()
	d.must9P(message9P(p9test.Tversion, p9test.NoTag, uint32(msize), "9P2000.L"))
	d.must9P(message9P(p9test.Tattach, 0, uint32(0), p9test.NoFID, "root", "data", uint32(0)))
	d.must9P(message9P(p9test.Tlcreate, 0, uint32(0), "file", uint32(2), uint32(0o644), uint32(0)))
}

// prepareLong makes head a chain of pages, and of room for the reply.
func (d *driver) prepareLong(head int, message string) {
	const place, page = 3 << 20, 4096
	copy(d.mem[place:], message)
	t, n := table(d.mem[tablePlace:]), 0
	for at := 0; at < len(message); at += page {
		t.put(n, descriptor{guestAddr(place + at), uint32(min(page, len(message)-at)), flagNext, uint16(n) + 1})
		n++
	}
	t.put(n, descriptor{guestAddr(replyPlace + head*bufferSize), bufferSize, flagWrite, 0})
	put(d.desc, head, descriptor{guestAddr(tablePlace), uint32(n+1) * descriptorSize, flagIndirect, 0})
}

// flushes offers a request and its Tflush at once, and has the request come back
// first: with its Rflush, a guest takes its memory for free (flush(5)).
func (fe *frontEnd) flushes(message string) {
	fe.t.Helper()
	const request, flush = 0, 4
	fe.prepareLong(request, message)
	fe.prepare(flush, message9P(p9test.Tflush, 6, uint16(5)))
	fe.offerQuietly(request)
	fe.offerQuietly(flush)
	fe.notify()
	first, _ := fe.wait()
	second, _ := fe.wait()
	if first != request || second != flush || fe.reply(flush)[4] != p9test.Tflush+1 {
		fe.t.Fatalf("chain %d comes back before chain %d, with types %d and %d", first, second, fe.reply(first)[4], fe.reply(second)[4])
	}
}

func TestRflushComesAfterTheReplyToWhatItFlushes(t *testing.T) {
	fe := serve9P(t).connect(t)
	fe.start()
	fe.mount()
	const size = 512 << 10
	for range 300 {
		fe.flushes(message9P(p9test.Twrite, 5, uint32(0), uint64(0), uint32(size), make([]byte, size)))
	}
}

// serveRelayed serves a device whose server is far away: it answers each Tflush
// together with what it flushes, which must have come before.
func serveRelayed(t *testing.T) *service {
	t.Helper()
	path := filepath.Join(t.TempDir(), "9p")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		answerFlushed(t, nc)
	}()
	return serveConfig(t, Config{NewChannel: func() Channel {
		return virtio9p.NewChannel(virtio9p.Config{Log: zerolog.Nop(), Dial: func(ctx context.Context) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		}})
	}}, nil)
}

func answerFlushed(t *testing.T, nc net.Conn) {
	r := bufio.NewReader(nc)
	var flushed string // the reply to a request that waits
	for {
		header, err := r.Peek(7)
		if err != nil {
			return
		}
		m := make([]byte, binary.LittleEndian.Uint32(header))
		if _, err := io.ReadFull(r, m); err != nil {
			return
		}
		tag := binary.LittleEndian.Uint16(m[5:])
		switch typ := m[4]; {
		case typ == p9test.Tversion:
			io.WriteString(nc, message9P(p9test.Tversion+1, tag, uint32(msize), "9P2000.L"))
		case typ != p9test.Tflush:
			flushed = message9P(p9test.Rlerror, tag, uint32(4))
		case flushed == "":
			t.Error("a Tflush comes before what it flushes")
			fallthrough
		default:
			io.WriteString(nc, flushed+message9P(p9test.Tflush+1, tag))
			flushed = ""
		}
	}
}

func TestRelayedRflushComesAfterTheReplyToWhatItFlushes(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for _, threads := range []int{1, runtime.GOMAXPROCS(0)} {
		runtime.GOMAXPROCS(threads)
		s := serveRelayed(t)
		fe := s.connect(t)
		fe.start()
		fe.must9P(message9P(p9test.Tversion, p9test.NoTag, uint32(msize), "9P2000.L"))
		const size = 64 << 10
		for range 300 {
			fe.flushes(message9P(p9test.Tlock, 5, make([]byte, 40)))
			fe.flushes(message9P(p9test.Twrite, 5, uint32(0), uint64(0), uint32(size), make([]byte, size)))
		}
		s.stop()
	}
}
