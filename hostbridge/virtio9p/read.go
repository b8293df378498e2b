package virtio9p

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/fsva/fsva/server/rpc"
)

// readAhead is the number of bytes read at once. Of longer messages, the rest
// goes from the connection into the guest's memory.
const readAhead = 16 << 10

var errClosed = errors.New("it closed the connection")

// inbox has what was read from the connection ahead.
type inbox struct {
	u    *upstream
	buf  [readAhead]byte
	r, w int // data is buf[r:w]
}

// read hands out the answers until the connection breaks.
func (u *upstream) read() error {
	in := &inbox{u: u}
	for {
		if err := in.next(); err != nil {
			return err
		}
	}
}

// next takes one answer and gives it to its call.
func (in *inbox) next() error {
	u := in.u
	if err := in.need(headerSize); err != nil {
		return err
	}
	b := in.buf[in.r:in.w]
	size, typ, tag := binary.LittleEndian.Uint32(b), b[4], binary.LittleEndian.Uint16(b[5:])
	c, err := u.expects(size, typ, tag)
	if err != nil {
		return err
	}
	if int(size) > len(b) {
		// Once begun, an answer has to come to its end.
		if err := u.nc.SetReadDeadline(time.Now().Add(u.limits.message)); err != nil {
			return err
		}
		defer u.nc.SetReadDeadline(time.Time{})
	}
	if size <= readAhead {
		if err := in.need(int(size)); err != nil {
			return err
		}
	}
	front := in.buf[in.r:min(in.w, in.r+int(size))]
	in.r += len(front)
	if typ == tversion+1 {
		if err := u.agree(c, front); err != nil {
			return err
		}
	}
	a := answer{buf: rpc.GetBuffer(len(front)), rest: int(size) - len(front)}
	copy(a.buf.B, front)
	return u.deliver(c, a)
}

// need waits until n bytes are there; n is at most readAhead.
func (in *inbox) need(n int) error {
	if in.r == in.w {
		in.r, in.w = 0, 0
	}
	if readAhead-in.r < n {
		in.w = copy(in.buf[:], in.buf[in.r:in.w])
		in.r = 0
	}
	for in.w-in.r < n {
		got, err := in.u.nc.Read(in.buf[in.w:])
		in.w += got
		switch {
		case got > 0:
		case errors.Is(err, io.EOF) && in.w == in.r:
			return errClosed
		case errors.Is(err, io.EOF):
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		}
	}
	return nil
}

// expects finds the call that an answer is for.
func (u *upstream) expects(size uint32, typ uint8, tag uint16) (*call, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	c := u.calls[tag]
	switch {
	case u.err != nil:
		return nil, u.err
	case c == nil:
		return nil, fmt.Errorf("an answer with tag %d, which no request has", tag)
	case typ != c.typ+1 && typ != typeRlerror:
		return nil, fmt.Errorf("an answer of type %d to a request of type %d", typ, c.typ)
	case size < headerSize || size > u.msize.Load():
		return nil, fmt.Errorf("an answer of %d bytes, where at most %d are agreed", size, u.msize.Load())
	case int(size) > c.room:
		return nil, fmt.Errorf("an answer of %d bytes, for which the guest has room of %d", size, c.room)
	}
	return c, nil
}

// agree notes what a Rversion says: msize[4] version[s]. It ends whatever was
// under way (version(5)).
func (u *upstream) agree(c *call, b []byte) error {
	if len(b) < headerSize+4 {
		return errors.New("a Rversion without msize")
	}
	msize := binary.LittleEndian.Uint32(b[headerSize:])
	if msize > c.msize || msize < rlerrorSize {
		return fmt.Errorf("a Rversion with msize %d, where the guest offered %d", msize, c.msize)
	}
	u.msize.Store(msize)
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, other := range u.calls {
		if other != c {
			u.interrupt(other)
		}
	}
	return nil
}

// interrupt ends a call that gets no answer any more. u.mu is held.
func (u *upstream) interrupt(c *call) {
	delete(u.calls, c.tag)
	c.answer <- answer{errno: syscall.EINTR}
}

// deliver gives a call its answer. If the call has to take a rest from the
// connection, it returns when that has happened.
func (u *upstream) deliver(c *call, a answer) error {
	u.mu.Lock()
	if u.calls[c.tag] != c {
		defer u.mu.Unlock()
		return u.err // it is told already
	}
	if old := c.flushes; old != nil && a.buf.B[4] == tflush+1 && u.calls[old.tag] == old {
		u.interrupt(old) // the server need not answer what is flushed (flush(5))
	}
	delete(u.calls, c.tag)
	u.mu.Unlock()
	c.answer <- a
	if a.rest == 0 {
		return nil
	}
	select {
	case <-u.resume:
		return nil
	case <-u.failed:
		return u.broken()
	}
}
