package virtio9p

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/fsva/fsva/server/p9/p9test"
)

// wire is a server's end of a connection.
type wire struct {
	net.Conn
	t testing.TB
}

// take reads a request and returns its tag.
func (c *wire) take() (typ uint8, tag uint16, body []byte) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(c, header); err != nil {
		return 0, 0, nil
	}
	body = make([]byte, binary.LittleEndian.Uint32(header)-headerSize)
	if _, err := io.ReadFull(c, body); err != nil {
		c.t.Errorf("a request that is cut off: %v", err)
	}
	return header[4], binary.LittleEndian.Uint16(header[5:]), body
}

func (c *wire) greet(msize uint32) {
	c.take()
	c.Write(p9test.Message(tversion+1, 0xffff, msize, "9P2000.L"))
}

// rubbish runs a server of which each connection is served by one of the
// functions. The channel is closed when all are.
func rubbish(t testing.TB, path string, serve ...func(c *wire)) <-chan struct{} {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		for _, f := range serve {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			f(&wire{nc, t})
			defer nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return done
}

// against greets a server and leaves the connection to serve.
func against(t *testing.T, serve func(c *wire)) *guest {
	t.Helper()
	path := t.TempDir() + "/9p"
	rubbish(t, path, func(c *wire) { c.greet(testMsize); serve(c); io.Copy(io.Discard, c) })
	g := newGuest(t, path, "")
	g.version()
	return g
}

func TestServerThatSendsRubbishEndsTheGuestsMount(t *testing.T) {
	for _, c := range []struct {
		name, want string
		answer     []byte
	}{
		{"unknown tag", "tag 9, which no request has", p9test.Message(tread+1, 9)},
		{"other type", "an answer of type 121 to a request of type 116", p9test.Message(tclunk+1, 5)},
		{"short size", "an answer of 6 bytes", append([]byte{6}, p9test.Message(tread+1, 5)[1:]...)},
		{"more than msize", "where at most 512000 are agreed", appendHeader(nil, testMsize+1, tread+1, 5)},
		{"huge", "an answer of 4294967295 bytes", appendHeader(nil, 1<<32-1, tread+1, 5)},
		{"end inside a message", "unexpected EOF", appendHeader(nil, 100, tread+1, 5)},
		{"end inside a long message", "unexpected EOF", appendHeader(nil, 100_000, tread+1, 5)},
		{"end inside a header", "unexpected EOF", []byte{100, 0}},
		{"end", "it closed the connection", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := against(t, func(w *wire) {
				w.take()
				w.Write(c.answer)
				w.Close()
			})
			for range 2 {
				_, err := g.try(context.Background(), p9test.Message(tread, 5, uint32(1), uint64(0), uint32(testMsize-11)))
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "9P server unix:///") {
					t.Errorf("%v instead of %q", err, c.want)
				}
			}
		})
	}
}

func TestAnswerFitsTheGuestsRoom(t *testing.T) {
	g := against(t, func(w *wire) {
		w.take()
		w.Write(p9test.Message(tread+1, 5, make([]byte, 100)))
	})
	_, err := g.do(context.Background(), [][]byte{p9test.Message(tread, 5)}, [][]byte{make([]byte, 106)})
	if err == nil || !strings.Contains(err.Error(), "room of 106") {
		t.Error(err)
	}
}

func TestRversionCannotRaiseMsize(t *testing.T) {
	for _, msize := range []uint32{testMsize + 1, 0} {
		path := t.TempDir() + "/9p"
		rubbish(t, path, func(c *wire) { c.greet(msize) })
		g := newGuest(t, path, "")
		if _, err := g.try(context.Background(), p9test.Message(tversion, 0xffff, uint32(testMsize), "9P2000.L")); err == nil {
			t.Errorf("msize %d is agreed on", msize)
		}
	}
}

func TestServerThatStallsInAMessageIsNotWaitedForForever(t *testing.T) {
	for _, size := range []uint32{100, 100_000} {
		path := t.TempDir() + "/9p"
		rubbish(t, path, func(c *wire) {
			c.greet(testMsize)
			c.take()
			c.Write(appendHeader(nil, size, tread+1, 5))
			io.Copy(io.Discard, c)
		})
		g := newGuest(t, path, "")
		g.limits.message = 300 * time.Millisecond
		g.version()
		if _, err := g.try(context.Background(), p9test.Message(tread, 5)); err == nil || !strings.Contains(err.Error(), "timeout") {
			t.Errorf("answer of %d bytes: %v", size, err)
		}
	}
}

// beyondBuffers is more Twrites than a connection has in its buffers.
const beyondBuffers = 16

func longWrite(tag int) []byte {
	return p9test.Message(twrite, uint16(tag), uint32(1), uint64(0), uint32(400_000), make([]byte, 400_000))
}

// Its machine may only be paused, and the guest's mount does not come back.
func TestServerThatStallsIsWaitedForWhileTheDeviceRuns(t *testing.T) {
	path := t.TempDir() + "/9p"
	const limit = 50 * time.Millisecond
	rubbish(t, path, func(c *wire) {
		c.greet(testMsize)
		time.Sleep(5 * limit)
		for range beyondBuffers {
			typ, tag, _ := c.take()
			c.Write(p9test.Message(typ+1, tag, uint32(400_000)))
		}
	})
	g := newGuest(t, path, "")
	g.limits.message, g.limits.flush = limit, limit
	g.version()
	var writes sync.WaitGroup
	for tag := range beyondBuffers {
		writes.Go(func() {
			if b, err := g.try(context.Background(), longWrite(tag)); err != nil || b[4] != twrite+1 {
				t.Errorf("% x, %v", b, err)
			}
		})
	}
	writes.Wait()
}

func TestServerThatStallsDoesNotKeepTheDeviceFromStopping(t *testing.T) {
	for name, test := range map[string]struct {
		requests int
		serve    func(c *wire)
	}{
		"in requests": {beyondBuffers, func(c *wire) {}},
		"in an answer": {1, func(c *wire) {
			_, tag, _ := c.take()
			c.Write(appendHeader(nil, 100_000, twrite+1, tag))
			c.Write(make([]byte, 50_000))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := t.TempDir() + "/9p"
			stalled, stopped := make(chan struct{}), make(chan struct{})
			rubbish(t, path, func(c *wire) { c.greet(testMsize); test.serve(c); close(stalled); <-stopped })
			g := newGuest(t, path, "")
			g.limits.settle, g.limits.flush = time.Millisecond, time.Millisecond
			g.version()
			ctx, stop := context.WithCancel(context.Background())
			var writes sync.WaitGroup
			for tag := range test.requests {
				writes.Go(func() {
					if _, err := g.try(ctx, longWrite(tag)); err == nil {
						t.Error("a request is answered")
					}
				})
			}
			<-stalled
			stop()
			writes.Wait()
			close(stopped)
		})
	}
}

func TestAllCallsEndWithTheConnection(t *testing.T) {
	const calls = 8
	g := against(t, func(w *wire) {
		for range calls {
			w.take()
		}
		w.Close()
	})
	failed := make(chan error, calls)
	for i := range calls {
		go func() {
			_, err := g.try(context.Background(), p9test.Message(tread, uint16(i)))
			failed <- err
		}()
	}
	for range calls {
		if err := <-failed; err == nil {
			t.Error("a call is answered")
		}
	}
}

func TestAnswersComeInAnyOrder(t *testing.T) {
	g := against(t, func(w *wire) {
		_, first, _ := w.take()
		_, second, _ := w.take()
		w.Write(p9test.Message(tread+1, second, uint32(second)))
		w.Write(p9test.Message(tread+1, first, uint32(first)))
	})
	done := make(chan struct{}, 2)
	for _, tag := range []uint16{5, 6} {
		go func() {
			defer func() { done <- struct{}{} }()
			if b, err := g.try(context.Background(), p9test.Message(tread, tag)); err != nil || binary.LittleEndian.Uint32(b[headerSize:]) != uint32(tag) {
				t.Errorf("tag %d: % x, %v", tag, b, err)
			}
		}()
	}
	<-done
	<-done
}

// A server need not answer what is flushed; the device has to.
func TestRflushEndsWhatItFlushes(t *testing.T) {
	waiting := make(chan struct{})
	g := against(t, func(w *wire) {
		w.take()
		close(waiting)
		typ, tag, body := w.take()
		if typ != tflush || binary.LittleEndian.Uint16(body) != 5 {
			t.Errorf("request %d with % x instead of a Tflush", typ, body)
		}
		w.Write(p9test.Message(tflush+1, tag))
	})
	flushed := make(chan syscall.Errno)
	go func() { flushed <- g.errno(p9test.Message(tlock, 5)) }()
	<-waiting
	g.ask(tflush, 6, uint16(5))
	if got := <-flushed; got != syscall.EINTR {
		t.Error(got)
	}
}

func TestRversionEndsWhatWasUnderWay(t *testing.T) {
	waiting := make(chan struct{})
	g := against(t, func(w *wire) {
		w.take()
		close(waiting)
		w.greet(testMsize)
	})
	ended := make(chan syscall.Errno)
	go func() { ended <- g.errno(p9test.Message(tlock, 5)) }()
	<-waiting
	g.version()
	if got := <-ended; got != syscall.EINTR {
		t.Error(got)
	}
}

func TestGuestThatUsesATagTwiceIsNotServed(t *testing.T) {
	waiting := make(chan struct{})
	g := against(t, func(w *wire) {
		w.take()
		close(waiting)
		_, tag, _ := w.take()
		w.Write(p9test.Message(tflush+1, tag))
	})
	ctx, stop := context.WithCancel(context.Background())
	first := make(chan struct{})
	go func() {
		defer close(first)
		if b, err := g.try(ctx, p9test.Message(tlock, 5)); err != nil || errnoOf(b) != syscall.EINTR {
			t.Errorf("% x, %v", b, err)
		}
	}()
	<-waiting
	if _, err := g.try(context.Background(), p9test.Message(tread, 5)); err == nil || !strings.Contains(err.Error(), "tag 5 twice") {
		t.Error(err)
	}
	stop() // as the device does then
	<-first
}

func TestServerThatIgnoresTflushDoesNotKeepTheDeviceFromStopping(t *testing.T) {
	path := t.TempDir() + "/9p"
	waiting := make(chan struct{})
	rubbish(t, path, func(c *wire) {
		c.greet(testMsize)
		c.take()
		close(waiting)
		io.Copy(io.Discard, c)
	})
	g := newGuest(t, path, "")
	g.limits.settle, g.limits.flush = time.Millisecond, time.Millisecond
	g.version()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-waiting; cancel() }()
	if _, err := g.try(ctx, p9test.Message(tlock, 5)); err == nil {
		t.Error("the request is answered")
	}
}

// What the guest does to a message while it is read does not move its end.
func TestDataIsSentFromTheGuestsMemoryAndTheRestIsNot(t *testing.T) {
	small := p9test.Message(twrite, 1, make([]byte, 100))
	large := p9test.Message(twrite, 1, make([]byte, 50_000))
	other := p9test.Message(tread, 1, make([]byte, 50_000))
	for _, c := range []struct {
		m     []byte
		front int
	}{{small, len(small)}, {large, twriteSize}, {other, len(other)}} {
		var p prefix
		collect(p[:], pages(c.m))
		m, err := gather(&p, pages(c.m), testMsize)
		if err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(c.m, 1<<31)
		if len(m.buf.B) != c.front || len(m.buf.B)+total(m.data) != int(binary.LittleEndian.Uint32(m.buf.B)) {
			t.Errorf("%d bytes are copied and %d are not, of a message of %d", len(m.buf.B), total(m.data), binary.LittleEndian.Uint32(m.buf.B))
		}
		m.release()
	}
}
