package p9

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Types of requests.
const (
	tversion = 100
	tattach  = 104
	twalk    = 110
	tlopen   = 12
	tgetattr = 24
	tread    = 116
	twrite   = 118
	rlerror  = 7
	noFID    = 1<<32 - 1
)

// client sends requests one after the other and looks at no more of the
// replies than it must: what is measured is the server.
type client struct {
	nc    net.Conn
	buf   []byte
	msize int // that the server agreed to
}

func dial(t testing.TB, s *server) *client {
	nc, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &client{nc: nc, buf: make([]byte, 2<<20)}
	c.msize = int(binary.LittleEndian.Uint32(c.call(tversion, uint32(1<<20), "9P2000.L")))
	c.call(tattach, uint32(0), uint32(noFID), "root", s.aname, uint32(0))
	return c
}

// open makes fid stand for an open file of the top directory.
func (c *client) open(fid uint32, name string, flags uint32) {
	c.call(twalk, uint32(0), fid, uint16(1), name)
	c.call(tlopen, fid, flags)
}

func (c *client) call(typ uint8, fields ...any) []byte {
	msg := []byte{0, 0, 0, 0, typ, 1, 0}
	for _, f := range fields {
		switch v := f.(type) {
		case string:
			msg = append(binary.LittleEndian.AppendUint16(msg, uint16(len(v))), v...)
		default:
			msg, _ = binary.Append(msg, binary.LittleEndian, f)
		}
	}
	binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
	return c.exchange(msg)
}

// exchange sends a whole message and returns the body of the reply, which the
// next call overwrites.
func (c *client) exchange(msg []byte) []byte {
	if _, err := c.nc.Write(msg); err != nil {
		panic(err) // not Fatal, which only the test's own goroutine may call
	}
	have := 0
	for have < 7 || have < int(binary.LittleEndian.Uint32(c.buf)) {
		n, err := c.nc.Read(c.buf[have:])
		if err != nil {
			panic(err)
		}
		have += n
	}
	if c.buf[4] == rlerror {
		panic(fmt.Sprintf("request of type %d: errno %d", msg[4], binary.LittleEndian.Uint32(c.buf[7:])))
	}
	return c.buf[7:have]
}

// request makes the bytes of a request of numbers.
func request(typ uint8, fields ...any) []byte {
	msg := []byte{0, 0, 0, 0, typ, 1, 0}
	for _, f := range fields {
		msg, _ = binary.Append(msg, binary.LittleEndian, f)
	}
	binary.LittleEndian.PutUint32(msg, uint32(len(msg)))
	return msg
}

// exchangeAll sends requests at once and reads as many replies, in any order.
func (c *client) exchangeAll(msgs []byte, n int) {
	if _, err := c.nc.Write(msgs); err != nil {
		panic(err)
	}
	have := 0
	for n > 0 {
		got, err := c.nc.Read(c.buf[have:])
		if err != nil {
			panic(err)
		}
		have += got
		at := 0
		for have-at >= 7 {
			size := int(binary.LittleEndian.Uint32(c.buf[at:]))
			if have-at < size {
				break
			}
			if c.buf[at+4] == rlerror {
				panic(fmt.Sprintf("errno %d", binary.LittleEndian.Uint32(c.buf[at+7:])))
			}
			at += size
			n--
		}
		have = copy(c.buf, c.buf[at:have])
	}
}

const fileSize = 16 << 20

// ioHeader is what the Linux client leaves of a message for other than data.
const ioHeader = 24

// measure runs one request over and over against each server, from so many
// clients at the same time. make makes it, with as much data as the server
// takes but at most size bytes, which are next to each other in the file.
func measure(b *testing.B, clients, size int, flags uint32, make func(n int) []byte) {
	dir := b.TempDir()
	for name, start := range servers {
		b.Run(name, func(b *testing.B) {
			if err := os.WriteFile(filepath.Join(dir, "file"), bytes.Repeat([]byte("x"), fileSize), 0o644); err != nil {
				b.Fatal(err)
			}
			s := start(b, dir)
			var all []*client
			for range clients {
				c := dial(b, s)
				c.open(1, "file", flags)
				all = append(all, c)
			}
			n := min(size, all[0].msize-ioHeader)
			before := s.cpu(b)
			b.ResetTimer()
			var running sync.WaitGroup
			var next atomic.Int64
			for _, c := range all {
				running.Go(func() {
					msg := make(n)
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if n > 0 {
							binary.LittleEndian.PutUint64(msg[11:], uint64(int(i)%(fileSize/n)*n))
						}
						c.exchange(msg)
					}
				})
			}
			running.Wait()
			b.StopTimer()
			used := s.cpu(b) - before
			record(strings.TrimPrefix(strings.TrimSuffix(b.Name(), "/"+name), "Benchmark"), name, b.N, b.Elapsed(), used)
			b.ReportMetric(float64(used.Microseconds())/float64(b.N), "server-µs/op")
			if n > 0 && used > 0 {
				b.ReportMetric(float64(n)*float64(b.N)/1e9/used.Seconds(), "GB/cpu-s")
			}
		})
	}
}

func BenchmarkGetattr(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("%dclients", clients), func(b *testing.B) {
			measure(b, clients, 0, 0, func(int) []byte { return request(tgetattr, uint32(1), uint64(0x7ff)) })
		})
	}
}

// BenchmarkGetattrAhead is what many programs of a guest make of its one
// connection: the next request is there before the last one is answered.
func BenchmarkGetattrAhead(b *testing.B) {
	const depth = 8
	dir := b.TempDir()
	for name, start := range servers {
		b.Run(name, func(b *testing.B) {
			s := start(b, dir)
			c := dial(b, s)
			var msgs []byte
			for tag := range depth {
				msg := request(tgetattr, uint32(0), uint64(0x7ff))
				binary.LittleEndian.PutUint16(msg[5:], uint16(tag))
				msgs = append(msgs, msg...)
			}
			before := s.cpu(b)
			b.ResetTimer()
			for range (b.N + depth - 1) / depth {
				c.exchangeAll(msgs, depth)
			}
			b.StopTimer()
			used := s.cpu(b) - before
			record(fmt.Sprintf("GetattrAhead/%d", depth), name, b.N, b.Elapsed(), used)
			b.ReportMetric(float64(used.Microseconds())/float64(b.N), "server-µs/op")
		})
	}
}

func BenchmarkRead(b *testing.B) {
	for _, clients := range []int{1, 4} {
		for _, size := range []int{4 << 10, 64 << 10, 512 << 10} {
			b.Run(fmt.Sprintf("%dK/%dclients", size>>10, clients), func(b *testing.B) {
				measure(b, clients, size, 0, func(n int) []byte { return request(tread, uint32(1), uint64(0), uint32(n)) })
			})
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{4 << 10, 64 << 10, 512 << 10} {
		b.Run(fmt.Sprintf("%dK", size>>10), func(b *testing.B) {
			measure(b, 1, size, 1, func(n int) []byte {
				return request(twrite, uint32(1), uint64(0), uint32(n), make([]byte, n))
			})
		})
	}
}
