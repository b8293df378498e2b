package rpc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// reader takes records (RFC 5531 §11) from a connection. It holds memory only
// while there is data: a connection that is idle costs none.
type reader struct {
	nc      net.Conn
	raw     syscall.RawConn // nil if nc has no descriptor
	stop    *atomic.Bool    // set when nothing more is to be read
	max     int             // bytes of a record
	timeout time.Duration   // for the rest of a record that has begun

	buf  *Buffer // nil while there is no data
	r, w int     // data is buf.B[r:w]

	// Arguments and results of readReady, which is made once.
	into    []byte
	n       int
	err     error
	ready   func(fd uintptr) bool
	waiting bool // a read deadline is set
	begun   bool // a record is under way, of which buf may hold nothing
}

const (
	readAhead    = 16 << 10 // bytes read at once where no large record is known to come
	maxFragments = 1024     // of a record
)

var errRecordTooLong = errors.New("record is too long")

func newReader(nc net.Conn, stop *atomic.Bool, max int, timeout time.Duration) *reader {
	r := &reader{nc: nc, stop: stop, max: max, timeout: timeout}
	if sc, ok := nc.(syscall.Conn); ok {
		r.raw, _ = sc.SyscallConn()
	}
	r.ready = r.readReady
	return r
}

// next returns the next record. It aliases a buffer of the reader, or is one
// of its own (big), that the caller releases. Of the former the bytes stay
// valid until the next call.
func (r *reader) next() (record []byte, big *Buffer, err error) {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if err := r.need(4); err != nil {
		return nil, nil, err
	}
	mark := binary.BigEndian.Uint32(r.buf.B[r.r:])
	n := int(mark &^ lastFragment)
	if n > r.max {
		return nil, nil, fmt.Errorf("%w: a fragment of %d bytes", errRecordTooLong, n)
	}
	if mark&lastFragment != 0 && n+4 <= readAhead {
		if err := r.need(4 + n); err != nil {
			return nil, nil, noEOF(err)
		}
		record = r.buf.B[r.r+4 : r.r+4+n]
		r.r += 4 + n
		return record, nil, r.relax()
	}
	big, err = r.assemble()
	if err != nil {
		return nil, nil, noEOF(err)
	}
	return big.B, big, r.relax()
}

// complete reports whether the next record is here already, so that taking it
// does not wait.
func (r *reader) complete() bool {
	if r.w-r.r < 4 {
		return false
	}
	mark := binary.BigEndian.Uint32(r.buf.B[r.r:])
	return mark&lastFragment != 0 && int(mark&^lastFragment) <= r.w-r.r-4
}

// ahead reports whether something of the next record is here.
func (r *reader) ahead() bool {
	if r.w > r.r {
		return true
	}
	waiting := 0
	if r.raw != nil {
		r.raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) })
	}
	return waiting > 0
}

// assemble reads a record that is large or in fragments into a buffer of its
// own.
func (r *reader) assemble() (*Buffer, error) {
	r.begun = true
	var rec *Buffer
	fail := func(err error) (*Buffer, error) {
		if rec != nil {
			rec.Release()
		}
		return nil, err
	}
	for range maxFragments {
		if err := r.need(4); err != nil {
			return fail(err)
		}
		mark := binary.BigEndian.Uint32(r.buf.B[r.r:])
		r.r += 4
		have, n := 0, int(mark&^lastFragment)
		if rec != nil {
			have = len(rec.B)
		}
		if n > r.max-have {
			return fail(fmt.Errorf("%w: more than %d bytes", errRecordTooLong, r.max))
		}
		rec = grow(rec, have+n)
		if err := r.full(rec.B[have:]); err != nil {
			return fail(err)
		}
		if mark&lastFragment != 0 {
			return rec, nil
		}
	}
	return fail(fmt.Errorf("%w: more than %d fragments", errRecordTooLong, maxFragments))
}

// grow returns a buffer of n bytes that begins with those of b.
func grow(b *Buffer, n int) *Buffer {
	if b != nil && n <= cap(b.B) {
		b.B = b.B[:n]
		return b
	}
	bigger := GetBuffer(n)
	if b != nil {
		copy(bigger.B, b.B)
		b.Release()
	}
	return bigger
}

// need waits until n bytes are in the buffer; n is at most its size.
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		if r.buf != nil && len(r.buf.B)-r.r < n {
			copy(r.buf.B, r.buf.B[r.r:r.w])
			r.r, r.w = 0, r.w-r.r
		}
		if err := r.read(nil); err != nil {
			return err
		}
	}
	return nil
}

// full fills p, first with what is in the buffer.
func (r *reader) full(p []byte) error {
	n := copy(p, r.buf.B[r.r:r.w])
	r.r += n
	for p = p[n:]; len(p) > 0; p = p[r.n:] {
		if err := r.read(p); err != nil {
			return err
		}
	}
	return nil
}

// read reads once: into p, or if it is nil into the free part of the buffer.
func (r *reader) read(p []byte) error {
	r.into, r.n, r.err = p, 0, nil
	if r.raw != nil {
		if err := r.raw.Read(r.ready); err != nil {
			return err
		}
	} else {
		r.readAnyConn()
	}
	if r.err == nil && r.n == 0 {
		r.err = io.EOF
	}
	if p == nil {
		r.w += r.n
	}
	return r.err
}

// readReady is called when there may be something to read. It returns false
// to wait until there is, and then holds no memory unless a record has begun.
func (r *reader) readReady(fd uintptr) bool {
	p := r.into
	if p == nil {
		p = r.space()
	}
	for {
		n, err := recv(int(fd), p)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			r.beforeWaiting()
			return false
		case err != nil:
			r.err = err
		default:
			r.n = n
		}
		return true
	}
}

// readAnyConn is read for connections without a descriptor.
func (r *reader) readAnyConn() {
	p := r.into
	if p == nil {
		p = r.space()
	}
	r.beforeWaiting()
	if r.buf == nil && r.into == nil {
		p = r.space()
	}
	r.n, r.err = r.nc.Read(p)
	if r.n > 0 {
		r.err = nil
	}
}

func (r *reader) space() []byte {
	if r.buf == nil {
		r.buf = GetBuffer(readAhead)
		r.r, r.w = 0, 0
	}
	return r.buf.B[r.w:]
}

// beforeWaiting limits the wait if a record has begun, and lets go of the
// buffer if not.
func (r *reader) beforeWaiting() {
	if r.into == nil && r.r == r.w && !r.begun {
		r.drop()
		return
	}
	if !r.waiting && r.timeout > 0 {
		r.waiting = true
		r.limit(time.Now().Add(r.timeout))
	}
}

// relax takes the limit away when the record is here.
func (r *reader) relax() error {
	r.begun = false
	if !r.waiting {
		return nil
	}
	r.waiting = false
	return r.limit(time.Time{})
}

// limit sets the read deadline, unless another goroutine has set the last one.
func (r *reader) limit(t time.Time) error {
	err := r.nc.SetReadDeadline(t)
	if r.stop.Load() {
		err = r.nc.SetReadDeadline(longAgo)
	}
	return err
}

// drop gives the buffer back.
func (r *reader) drop() {
	if r.buf != nil {
		r.buf.Release()
		r.buf = nil
	}
	r.r, r.w = 0, 0
}

// split gives what was read ahead to a reader of its own. r keeps the buffer,
// in which the record last taken lies, and reads no more.
func (r *reader) split() *reader {
	next := &reader{nc: r.nc, raw: r.raw, stop: r.stop, max: r.max, timeout: r.timeout}
	next.ready = next.readReady
	if r.w > r.r {
		next.w = copy(next.space(), r.buf.B[r.r:r.w])
	}
	return next
}

// noEOF makes the end of the connection inside a record an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
