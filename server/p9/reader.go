package p9

import (
	"encoding/binary"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/server/rpc"
)

// readAhead is the number of bytes read at once where no longer message is
// known to come.
const readAhead = 16 << 10

// reader takes messages from a connection.
type reader struct {
	nc   net.Conn
	raw  syscall.RawConn // nil if nc has no descriptor
	buf  *rpc.Buffer
	r, w int // data is buf.B[r:w]
}

func newReader(nc net.Conn, raw syscall.RawConn) *reader {
	return &reader{nc: nc, raw: raw, buf: rpc.GetBuffer(readAhead)}
}

// next returns the next message, of at most limit bytes. It aliases a buffer
// of the reader and is valid until the next call, or it is big, which the
// caller releases.
func (r *reader) next(limit int) (msg []byte, big *rpc.Buffer, err error) {
	if r.r == r.w {
		r.r, r.w = 0, 0
	}
	if err := r.need(headerSize); err != nil {
		return nil, nil, err
	}
	size := int(binary.LittleEndian.Uint32(r.buf.B[r.r:]))
	if size < headerSize || size > limit {
		return nil, nil, errBroken
	}
	if size <= len(r.buf.B) {
		if err := r.need(size); err != nil {
			return nil, nil, noEOF(err)
		}
		msg = r.buf.B[r.r : r.r+size]
		r.r += size
		return msg, nil, nil
	}
	big = rpc.GetBuffer(size)
	have := copy(big.B, r.buf.B[r.r:r.w])
	r.r, r.w = 0, 0
	if _, err := io.ReadFull(r.nc, big.B[have:]); err != nil {
		big.Release()
		return nil, nil, noEOF(err)
	}
	return big.B, big, nil
}

// need waits until n bytes are in the buffer; n is at most its size.
func (r *reader) need(n int) error {
	for r.w-r.r < n {
		if len(r.buf.B)-r.r < n {
			copy(r.buf.B, r.buf.B[r.r:r.w])
			r.r, r.w = 0, r.w-r.r
		}
		got, err := r.nc.Read(r.buf.B[r.w:])
		r.w += got
		if got == 0 && err != nil {
			if r.w > r.r {
				err = noEOF(err)
			}
			return err
		}
	}
	return nil
}

// complete reports whether the next message is here already, so that taking it
// does not wait.
func (r *reader) complete() bool {
	have := r.w - r.r
	return have >= headerSize && uint64(binary.LittleEndian.Uint32(r.buf.B[r.r:])) <= uint64(have)
}

// ahead reports whether something of the next message is here.
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

// split gives what was read ahead to a reader of its own. r keeps the buffer,
// in which the message last taken lies, and reads no more.
func (r *reader) split() *reader {
	next := newReader(r.nc, r.raw)
	next.w = copy(next.buf.B, r.buf.B[r.r:r.w])
	return next
}

// drop gives the buffer back.
func (r *reader) drop() { r.buf.Release() }

// noEOF makes the end of the connection inside a message an error.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
