package p9

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fsva/fsva/adapters/mem"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a server with one export, "data", of a file system in memory.
type bench struct {
	*Server
	exp   *export.Export
	locks *lock.Table
}

// serving starts a server; options change the export's.
func serving(t testing.TB, options string, change ...func(*Config)) *bench {
	t.Helper()
	if !strings.Contains(options, "squash=") {
		options += ",squash=none"
	}
	spec, err := export.Parse("data=mem:" + options)
	if err != nil {
		t.Fatal(err)
	}
	return servingFS(t, spec, mem.New(mem.Options{}), change...)
}

func servingFS(t testing.TB, spec export.Spec, fs vfs.FS, change ...func(*Config)) *bench {
	t.Helper()
	b := &bench{exp: export.New(1, spec, fs), locks: lock.NewTable()}
	table, err := export.NewTable([]*export.Export{b.exp})
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Exports: table, Locks: b.locks, Log: zerolog.Nop()}
	for _, f := range change {
		f(&cfg)
	}
	b.Server = New(cfg)
	t.Cleanup(func() {
		if err := b.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		fs.Close()
	})
	return b
}

// client speaks raw 9P. Errors of the server are returned, others end the test.
type client struct {
	t    testing.TB
	nc   net.Conn
	tag  uint16
	next uint32 // fid
}

// connect makes a client over a pair of sockets, that has no session yet.
func (b *bench) connect(t testing.TB) *client {
	t.Helper()
	here, there := socketPair(t)
	b.serve1(there)
	t.Cleanup(func() { here.Close() })
	return &client{t: t, nc: here, next: 100}
}

// attached makes a client that has attached as uid with the fid 0.
func (b *bench) attached(t testing.TB, uid uint32) *client {
	t.Helper()
	c := b.connect(t)
	c.hello(maxMsize)
	c.must(tattach, uint32(0), uint32(noFID), "", "data", uid)
	return c
}

func (c *client) hello(msize uint32) {
	c.t.Helper()
	d := c.must(tversion, msize, dialect)
	if d.uint32(); string(d.bytes()) != dialect {
		c.t.Fatal("the dialect was refused")
	}
}

func socketPair(t testing.TB) (a, b net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	return fdConn(t, fds[0]), fdConn(t, fds[1])
}

// message encodes a message: numbers by their size, strings, and bytes as they
// are.
func message(typ msgType, tag uint16, fields ...any) []byte {
	var e encoder
	start := e.begin(typ, tag)
	for _, f := range fields {
		switch v := f.(type) {
		case uint8:
			e.uint8(v)
		case uint16:
			e.uint16(v)
		case uint32:
			e.uint32(v)
		case uint64:
			e.uint64(v)
		case string:
			e.string(v)
		case []byte:
			e.buf = append(e.buf, v...)
		default:
			panic(fmt.Sprintf("%T in a message", f))
		}
	}
	e.end(start, 0)
	return e.buf
}

// send sends a request without waiting, and returns its tag.
func (c *client) send(typ msgType, fields ...any) uint16 {
	c.t.Helper()
	c.tag++
	if _, err := c.nc.Write(message(typ, c.tag, fields...)); err != nil {
		c.t.Fatal(err)
	}
	return c.tag
}

// receive returns the next reply, whichever that is.
func (c *client) receive() (typ msgType, tag uint16, body decoder, err error) {
	var size [4]byte
	if _, err := io.ReadFull(c.nc, size[:]); err != nil {
		return 0, 0, body, err
	}
	msg := make([]byte, binary.LittleEndian.Uint32(size[:])-4)
	if _, err := io.ReadFull(c.nc, msg); err != nil {
		return 0, 0, body, err
	}
	body = decoder{buf: msg}
	return msgType(body.uint8()), body.uint16(), body, nil
}

// call sends a request and returns the body of the reply, or the errno of an
// Rlerror.
func (c *client) call(typ msgType, fields ...any) (decoder, error) {
	c.t.Helper()
	want := c.send(typ, fields...)
	got, tag, body, err := c.receive()
	switch {
	case err != nil:
		c.t.Fatal(err)
	case tag != want:
		c.t.Fatalf("reply to %d, want %d", tag, want)
	case got == rlerror:
		return body, syscall.Errno(body.uint32())
	case got != typ+1:
		c.t.Fatalf("reply of type %d to %s", got, operations[typ].name)
	}
	return body, nil
}

func (c *client) must(typ msgType, fields ...any) decoder {
	c.t.Helper()
	body, err := c.call(typ, fields...)
	if err != nil {
		c.t.Fatalf("%s%v: %v", operations[typ].name, fields, err)
	}
	return body
}

func (c *client) mustFail(want error, typ msgType, fields ...any) {
	c.t.Helper()
	if _, err := c.call(typ, fields...); !errors.Is(err, want) {
		c.t.Fatalf("%s%.80v: %v, want %v", operations[typ].name, fields, err, want)
	}
}

// walk returns a new fid of a path below fid 0.
func (c *client) walk(path string) uint32 {
	c.t.Helper()
	num, err := c.tryWalk(path)
	if err != nil {
		c.t.Fatalf("walk to %s: %v", path, err)
	}
	return num
}

func (c *client) tryWalk(path string) (uint32, error) {
	c.t.Helper()
	c.next++
	var names []string
	if path != "" {
		names = strings.Split(path, "/")
	}
	fields := []any{uint32(0), c.next, uint16(len(names))}
	for _, n := range names {
		fields = append(fields, n)
	}
	d, err := c.call(twalk, fields...)
	if err == nil && int(d.uint16()) != len(names) {
		err = vfs.ENOENT
	}
	return c.next, err
}

// create makes a file and returns its open fid.
func (c *client) create(name string, flags, mode uint32) uint32 {
	c.t.Helper()
	num := c.walk("")
	c.must(tlcreate, num, name, flags, mode, uint32(0))
	return num
}

func (c *client) open(path string, flags uint32) uint32 {
	c.t.Helper()
	num := c.walk(path)
	c.must(tlopen, num, flags)
	return num
}

func (c *client) write(fid uint32, off uint64, data string) {
	c.t.Helper()
	d := c.must(twrite, fid, off, uint32(len(data)), []byte(data))
	if n := d.uint32(); int(n) != len(data) {
		c.t.Fatalf("wrote %d of %d bytes", n, len(data))
	}
}

func (c *client) read(fid uint32, off uint64, n uint32) string {
	c.t.Helper()
	d := c.must(tread, fid, off, n)
	return string(d.data())
}

func (c *client) clunk(fid uint32) {
	c.t.Helper()
	c.must(tclunk, fid)
}

// stat is what tests look at of an Rgetattr.
type stat struct {
	valid   getattrMask
	qid     qid
	mode    uint32
	uid     uint32
	gid     uint32
	nlink   uint64
	rdev    uint64
	size    uint64
	mtime   vfs.Timespec
	change  uint64
	atimeNS vfs.Timespec
}

func (d *decoder) qid() qid {
	return qid{qidType(d.uint8()), d.uint32(), d.uint64()}
}

func (c *client) getattr(fid uint32) (s stat) {
	c.t.Helper()
	d := c.must(tgetattr, fid, uint64(1<<14-1))
	s.valid, s.qid = getattrMask(d.uint64()), d.qid()
	s.mode, s.uid, s.gid = d.uint32(), d.uint32(), d.uint32()
	s.nlink, s.rdev, s.size = d.uint64(), d.uint64(), d.uint64()
	d.take(16)
	s.atimeNS = vfs.Timespec{Sec: int64(d.uint64()), Nsec: uint32(d.uint64())}
	s.mtime = vfs.Timespec{Sec: int64(d.uint64()), Nsec: uint32(d.uint64())}
	d.take(16 + 16 + 8)
	s.change = d.uint64()
	if d.bad || len(d.buf) != 0 {
		c.t.Fatalf("Rgetattr is too short, or %d bytes too long", len(d.buf))
	}
	return s
}
