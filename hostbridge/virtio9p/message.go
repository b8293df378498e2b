package virtio9p

import (
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"github.com/fsva/fsva/server/rpc"
)

// Types of messages that the relay knows. The answer's is that of the request
// and one, or Rlerror.
const (
	typeRlerror = 7
	tversion    = 100
	tattach     = 104
	tflush      = 108
	twrite      = 118
)

// Sizes in bytes.
const (
	headerSize  = 4 + 1 + 2 // size, type, tag
	rlerrorSize = headerSize + 4
	twriteSize  = headerSize + 4 + 8 + 4 // before the data
	firstMsize  = 8 << 10                // of a message before Rversion
	directWrite = 16 << 10               // of a Twrite from which on its data is not copied
)

// message is a request. Of what the guest can still change there is only the
// data of a Twrite: what tells where the message ends is a copy.
type message struct {
	typ  uint8
	tag  uint16
	buf  *rpc.Buffer // the message, or its front
	data [][]byte    // the rest, in the guest's memory
}

func (m *message) release() { m.buf.Release() }

// prefix is the header of a message, and of a Tflush what it flushes.
type prefix [headerSize + 2]byte

func (p *prefix) size() uint32   { return binary.LittleEndian.Uint32(p[:]) }
func (p *prefix) typ() uint8     { return p[4] }
func (p *prefix) tag() uint16    { return binary.LittleEndian.Uint16(p[5:]) }
func (p *prefix) oldTag() uint16 { return binary.LittleEndian.Uint16(p[headerSize:]) }

// gather takes a message of at most limit bytes from the guest's memory. Its
// first bytes are p, whatever is there now.
func gather(p *prefix, in [][]byte, limit uint32) (*message, error) {
	size := p.size()
	if size < headerSize || size > limit || int(size) > total(in) {
		return nil, fmt.Errorf("a request of %d bytes, in a buffer of %d, where at most %d are agreed", size, total(in), limit)
	}
	m := &message{typ: p.typ(), tag: p.tag()}
	front := int(size)
	if m.typ == twrite && size >= directWrite {
		front = twriteSize
		m.data = part(in, front, int(size)-front)
	}
	m.buf = rpc.GetBuffer(front)
	collect(m.buf.B, in)
	copy(m.buf.B, p[:])
	return m, nil
}

// restrict keeps a guest to one export: a Tattach of another one is refused,
// and one that names none gets its name.
//
// Tattach is fid[4] afid[4] uname[s] aname[s] n_uname[4].
func (m *message) restrict(export string) syscall.Errno {
	if m.typ != tattach || export == "" {
		return 0
	}
	b := m.buf.B
	at, ok := skipString(b, headerSize+4+4)
	end, ok2 := skipString(b, at)
	if !ok || !ok2 {
		return syscall.EINVAL
	}
	switch strings.TrimPrefix(string(b[at+2:end]), "/") {
	case export:
	case "":
		named := rpc.GetBuffer(len(b) - (end - at) + 2 + len(export))
		whole := append(named.B[:0], b[:at]...)
		whole = binary.LittleEndian.AppendUint16(whole, uint16(len(export)))
		whole = append(append(whole, export...), b[end:]...)
		binary.LittleEndian.PutUint32(whole, uint32(len(whole)))
		m.buf.Release()
		m.buf = named
	default:
		return syscall.EACCES
	}
	return 0
}

// skipString returns where the string at b[at:] ends, length[2] bytes.
func skipString(b []byte, at int) (end int, ok bool) {
	if at+2 > len(b) {
		return at, false
	}
	end = at + 2 + int(binary.LittleEndian.Uint16(b[at:]))
	return end, end <= len(b)
}

// uint32At reads a field behind the header, 0 if there is none.
func (m *message) uint32At(at int) uint32 {
	if at+4 > len(m.buf.B) {
		return 0
	}
	return binary.LittleEndian.Uint32(m.buf.B[at:])
}

// rlerror answers a request with an error.
func rlerror(out [][]byte, tag uint16, errno syscall.Errno) int {
	b := make([]byte, 0, rlerrorSize)
	b = appendHeader(b, rlerrorSize, typeRlerror, tag)
	scatter(out, binary.LittleEndian.AppendUint32(b, uint32(errno)))
	return rlerrorSize
}

func appendHeader(b []byte, size uint32, typ uint8, tag uint16) []byte {
	b = binary.LittleEndian.AppendUint32(b, size)
	return binary.LittleEndian.AppendUint16(append(b, typ), tag)
}
