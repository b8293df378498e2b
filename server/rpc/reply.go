package rpc

import (
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/server/xdr"
	"github.com/fsva/fsva/vfs"
)

// Reply collects the results of a call: what is encoded, and between it data
// that is sent from where it is.
type Reply struct {
	xdr.Encoder
	sent     int    // how much of Buf has been written
	base     int    // where the record begins in Buf
	results  int    // where the results begin in Buf
	parts    []part // in order
	external int    // bytes in parts
}

// part is data outside of Buf that goes after the first at bytes of it.
type part struct {
	at         int
	n          int
	buf        *Buffer // the data, or
	file       vfs.Descriptor
	fd         int
	off        int64
	unreadable *atomic.Bool
}

func (p *part) release() {
	if p.buf != nil {
		p.buf.Release()
	} else {
		p.file.UnpinFD()
	}
}

// OpaqueBuffer appends the first n bytes of b as variable-length opaque data
// without copying them. b belongs to the reply from now on.
func (r *Reply) OpaqueBuffer(b *Buffer, n int) {
	r.Uint32(uint32(n))
	r.add(part{n: n, buf: b})
}

// OpaqueFile appends n bytes of a file at off as variable-length opaque data,
// which go from the page cache to the connection when the reply is sent. The
// length is fixed now: where the file ends before, zeroes go in its place, as
// if it had been extended again. A file that cannot be read then ends the
// connection, and unreadable, if not nil, is set before that.
func (r *Reply) OpaqueFile(file vfs.Descriptor, off int64, n int, unreadable *atomic.Bool) error {
	fd, err := file.PinFD()
	if err != nil {
		return err
	}
	r.Uint32(uint32(n))
	r.add(part{n: n, file: file, fd: fd, off: off, unreadable: unreadable})
	return nil
}

func (r *Reply) add(p part) {
	p.at = len(r.Buf)
	r.parts = append(r.parts, p)
	r.external += p.n
	r.Buf = append(r.Buf, make([]byte, xdr.Pad(p.n))...)
}

// Size returns the length of the results so far, in bytes.
func (r *Reply) Size() int { return len(r.Buf) - r.results + r.external }

// A Mark is a place in a Reply to which it can be taken back.
type Mark struct{ length, parts, external int }

// Mark returns the place where the reply ends now.
func (r *Reply) Mark() Mark { return Mark{len(r.Buf), len(r.parts), r.external} }

// Rewind takes back everything since m.
func (r *Reply) Rewind(m Mark) {
	for i := m.parts; i < len(r.parts); i++ {
		r.parts[i].release()
		r.parts[i] = part{}
	}
	r.parts = r.parts[:m.parts]
	r.external = m.external
	r.Truncate(m.length)
}

// Flatten returns what the reply holds from place start of the encoder on, in
// one piece. It aliases the reply where there is no data outside of it. It
// fails where a file of the reply cannot be read.
func (r *Reply) Flatten(start int) ([]byte, error) {
	if r.external == 0 {
		return r.Buf[start:], nil
	}
	out := make([]byte, 0, len(r.Buf)-start+r.external)
	for i := range r.parts {
		p := &r.parts[i]
		out = append(out, r.Buf[start:p.at]...)
		start = p.at
		var err error
		if out, err = p.appendTo(out); err != nil {
			return nil, err
		}
	}
	return append(out, r.Buf[start:]...), nil
}

// appendTo appends the data to b.
func (p *part) appendTo(b []byte) ([]byte, error) {
	if p.buf != nil {
		return append(b, p.buf.B[:p.n]...), nil
	}
	b = append(b, make([]byte, p.n)...)
	return b, p.readAt(b[len(b)-p.n:], p.off)
}

// readAt fills data from the part's file at off. What lies beyond the file's end
// is left as it is.
func (p *part) readAt(data []byte, off int64) error {
	for len(data) > 0 {
		n, err := unix.Pread(p.fd, data, off)
		switch {
		case err == unix.EINTR:
		case err != nil:
			if p.unreadable != nil {
				p.unreadable.Store(true)
			}
			return fmt.Errorf("read a file to be sent: %w", err)
		case n == 0:
			return nil
		default:
			data, off = data[n:], off+int64(n)
		}
	}
	return nil
}

// begin starts the record of a reply behind what Buf holds.
func (r *Reply) begin(xid uint32) {
	r.base = len(r.Buf)
	r.Uint32(0) // record mark
	r.Uint32(xid)
	r.Uint32(msgReply)
}

// accept appends the rest of the header of an accepted reply.
func (r *Reply) accept(stat AcceptStat) {
	r.Uint32(msgAccepted)
	r.Uint32(AuthNone)
	r.Uint32(0)
	r.Uint32(uint32(stat))
	r.results = len(r.Buf)
}

// restart takes the record back to its first header words.
func (r *Reply) restart() {
	r.Rewind(Mark{length: r.base + 12})
}

// end writes the record mark.
func (r *Reply) end() {
	r.Put(r.base, lastFragment|uint32(len(r.Buf)-r.base-4+r.external))
}
