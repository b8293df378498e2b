package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sys/unix"
)

// request is the number of a message from the front end, as in QEMU's
// docs/interop/vhost-user.rst.
type request uint32

const (
	reqGetFeatures         request = 1
	reqSetFeatures         request = 2
	reqSetOwner            request = 3
	reqResetOwner          request = 4
	reqSetMemTable         request = 5
	reqSetVringNum         request = 8
	reqSetVringAddr        request = 9
	reqSetVringBase        request = 10
	reqGetVringBase        request = 11
	reqSetVringKick        request = 12
	reqSetVringCall        request = 13
	reqSetVringErr         request = 14
	reqGetProtocolFeatures request = 15
	reqSetProtocolFeatures request = 16
	reqGetQueueNum         request = 17
	reqSetVringEnable      request = 18
	reqGetConfig           request = 24
	reqSetConfig           request = 25
)

const (
	headerSize = 12 // request, flags, size of the payload

	protocolVersion = 1
	versionMask     = 3
	flagReply       = 4
	flagNeedReply   = 8

	// maxPayload is more than any request needs that is known here.
	maxPayload = 4096
)

// native is the byte order of vhost-user: that of the machine, which both ends
// are on.
var native = binary.NativeEndian

// message is one message from the front end. Descriptors that a handler does
// not take are closed after it.
type message struct {
	request request
	flags   uint32
	payload []byte
	fds     []int
}

// wire is the socket to the front end, with room for one message.
type wire struct {
	conn *net.UnixConn
	buf  [headerSize + maxPayload]byte
	oob  []byte
	msg  message
}

func newWire(conn *net.UnixConn) *wire {
	return &wire{conn: conn, oob: make([]byte, unix.CmsgSpace(4*maxRegions))}
}

// read returns the next message, which is valid until the next read. The end of
// the stream between two messages is io.EOF. With an error there are no
// descriptors left over.
func (w *wire) read() (*message, error) {
	m := &w.msg
	*m = message{fds: m.fds[:0]}
	err := w.readMessage(m)
	if err != nil {
		m.closeFDs()
	}
	return m, err
}

func (w *wire) readMessage(m *message) error {
	header := w.buf[:headerSize]
	if err := w.fill(header); err != nil {
		return err
	}
	m.request, m.flags = request(native.Uint32(header)), native.Uint32(header[4:])
	size := native.Uint32(header[8:])
	switch {
	case m.flags&versionMask != protocolVersion:
		return fmt.Errorf("%v has the protocol version %d", m.request, m.flags&versionMask)
	case m.flags&flagReply != 0:
		return fmt.Errorf("%v is a reply, and nothing was asked", m.request)
	case size > maxPayload:
		return fmt.Errorf("%v has a payload of %d bytes", m.request, size)
	}
	m.payload = w.buf[headerSize:][:size]
	if err := w.fill(m.payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// fill reads all of b, and collects descriptors that come along.
func (w *wire) fill(b []byte) error {
	for got := 0; got < len(b); {
		n, oobn, flags, _, err := w.conn.ReadMsgUnix(b[got:], w.oob)
		if oobn > 0 {
			if err := w.msg.takeFDs(w.oob[:oobn]); err != nil {
				return err
			}
		}
		switch {
		case err != nil && errors.Is(err, io.EOF) && got > 0:
			return io.ErrUnexpectedEOF
		case err != nil:
			return err
		case flags&unix.MSG_CTRUNC != 0 || len(w.msg.fds) > maxRegions:
			return fmt.Errorf("a message has more than %d descriptors", maxRegions)
		}
		got += n
	}
	return nil
}

// takeFDs adds the descriptors of control messages. Those that were parsed
// before an error are there to be closed.
func (m *message) takeFDs(oob []byte) error {
	controls, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return fmt.Errorf("control message: %w", err)
	}
	for _, c := range controls {
		if c.Header.Level != unix.SOL_SOCKET || c.Header.Type != unix.SCM_RIGHTS {
			continue
		}
		fds, err := unix.ParseUnixRights(&c)
		if err != nil {
			return fmt.Errorf("descriptors: %w", err)
		}
		m.fds = append(m.fds, fds...)
	}
	return nil
}

func (m *message) closeFDs() {
	for _, fd := range m.fds {
		unix.Close(fd)
	}
	m.fds = m.fds[:0]
}

// takeFD gives the only descriptor of the message to the caller.
func (m *message) takeFD() int {
	fd := m.fds[0]
	m.fds = m.fds[:0]
	return fd
}

// reply sends the answer to m.
func (w *wire) reply(m *message, payload []byte) error {
	b := make([]byte, headerSize, headerSize+len(payload))
	native.PutUint32(b, uint32(m.request))
	native.PutUint32(b[4:], protocolVersion|flagReply)
	native.PutUint32(b[8:], uint32(len(payload)))
	_, err := w.conn.Write(append(b, payload...))
	return err
}

// The payloads. Their sizes are checked against the table of requests before.

func (m *message) u64() uint64 { return native.Uint64(m.payload) }

func u64Payload(v uint64) []byte { return native.AppendUint64(nil, v) }

// vringState is {index, number}.
func (m *message) vringState() (index, num uint32) {
	return native.Uint32(m.payload), native.Uint32(m.payload[4:])
}

func vringStatePayload(index, num uint32) []byte {
	return native.AppendUint32(native.AppendUint32(nil, index), num)
}

// vringAddr is {index, flags, descriptors, used, available, log}.
func (m *message) vringAddr() (index uint32, desc, used, avail uint64) {
	p := m.payload
	return native.Uint32(p), native.Uint64(p[8:]), native.Uint64(p[16:]), native.Uint64(p[24:])
}

// vringFD is a number with the ring's index, and a bit for "no descriptor".
func (m *message) vringFD() (index uint32, none bool) {
	const indexMask, noFD = 0xff, 0x100
	v := m.u64()
	return uint32(v & indexMask), v&noFD != 0
}

// memTable is {count, padding, regions}.
func (m *message) memTable() ([]regionInfo, error) {
	const tableHeader, entry = 8, 32
	if len(m.payload) < tableHeader {
		return nil, fmt.Errorf("memory table of %d bytes", len(m.payload))
	}
	n, p := native.Uint32(m.payload), m.payload[tableHeader:]
	switch {
	case n == 0 || n > maxRegions:
		return nil, fmt.Errorf("memory table of %d regions", n)
	// The front end may send all of its fixed array, of which n are valid.
	case len(p) < int(n)*entry:
		return nil, fmt.Errorf("memory table of %d regions in %d bytes", n, len(m.payload))
	case len(m.fds) != int(n):
		return nil, fmt.Errorf("memory table of %d regions with %d descriptors", n, len(m.fds))
	}
	infos := make([]regionInfo, n)
	for i := range infos {
		e := p[i*entry:]
		infos[i] = regionInfo{guest: native.Uint64(e), size: native.Uint64(e[8:]), user: native.Uint64(e[16:]), offset: native.Uint64(e[24:])}
	}
	return infos, nil
}
