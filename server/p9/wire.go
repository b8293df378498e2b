package p9

import (
	"encoding/binary"

	"github.com/fsva/fsva/vfs"
)

// decoder takes values from the front of a message. After the first failure
// every method returns a zero value, and bad tells.
type decoder struct {
	buf []byte
	bad bool
}

// take returns the next n bytes, nil after a failure. They alias the message.
func (d *decoder) take(n int) []byte {
	if d.bad || n < 0 || n > len(d.buf) {
		d.bad = true
		return nil
	}
	b := d.buf[:n:n]
	d.buf = d.buf[n:]
	return b
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// bytes takes a string without copying it.
func (d *decoder) bytes() []byte { return d.take(int(d.uint16())) }

// name takes the name of a directory entry. A decoder that failed gives "",
// which is none either.
func (d *decoder) name() (string, error) {
	name := string(d.bytes())
	return name, vfs.CheckName(name)
}

// data takes what Twrite writes.
func (d *decoder) data() []byte {
	n := d.uint32()
	if uint64(n) > uint64(len(d.buf)) {
		d.bad = true
		return nil
	}
	return d.take(int(n))
}

// encoder appends values to a message.
type encoder struct{ buf []byte }

func (e *encoder) uint8(v uint8)   { e.buf = append(e.buf, v) }
func (e *encoder) uint16(v uint16) { e.buf = binary.LittleEndian.AppendUint16(e.buf, v) }
func (e *encoder) uint32(v uint32) { e.buf = binary.LittleEndian.AppendUint32(e.buf, v) }
func (e *encoder) uint64(v uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, v) }

// string appends a string of at most 65535 bytes.
func (e *encoder) string(s string) {
	e.uint16(uint16(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) qid(q qid) {
	e.uint8(uint8(q.typ))
	e.uint32(q.version)
	e.uint64(q.path)
}

func (e *encoder) time(t vfs.Timespec) {
	e.uint64(uint64(t.Sec))
	e.uint64(uint64(t.Nsec))
}

// begin appends a header without the size and returns where it starts; end
// puts the size in, with that of data which does not pass through the encoder.
func (e *encoder) begin(typ msgType, tag uint16) (start int) {
	start = len(e.buf)
	e.uint32(0)
	e.uint8(uint8(typ))
	e.uint16(tag)
	return start
}

func (e *encoder) end(start, data int) {
	binary.LittleEndian.PutUint32(e.buf[start:], uint32(len(e.buf)-start+data))
}
