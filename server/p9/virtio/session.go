package virtio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"

	"github.com/rs/zerolog"
)

// Features that are offered: of the device and its ring, and of the protocol.
const (
	featureMountTag         = 1 << 0
	featureIndirect         = 1 << 28
	featureEventIndex       = 1 << 29
	featureProtocolFeatures = 1 << 30
	featureVersion1         = 1 << 32

	features = featureMountTag | featureIndirect | featureEventIndex | featureProtocolFeatures | featureVersion1

	protocolMultiQueue = 1 << 0
	protocolReplyAck   = 1 << 3
	protocolConfig     = 1 << 9

	protocolFeatures = protocolMultiQueue | protocolReplyAck | protocolConfig
)

const (
	// queues is how many the device has: the 9P device has one.
	queues = 1

	// configSize is VHOST_USER_MAX_CONFIG_SIZE.
	configSize = 256
)

// errRefused marks what is refused though the message is well-formed. The front
// end is told if it asked to be, and the session goes on.
var errRefused = errors.New("refused")

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errRefused, fmt.Errorf(format, args...))
}

// session serves one front end. Its fields belong to the goroutine in serve.
type session struct {
	log      zerolog.Logger
	wire     *wire
	config   [configSize]byte
	protocol uint64
	queue    *queue
}

func newSession(c *Config, conn *net.UnixConn) *session {
	s := &session{log: c.Log, wire: newWire(conn), queue: newQueue(c)}
	binary.LittleEndian.PutUint16(s.config[:], uint16(len(c.Tag)))
	copy(s.config[2:], c.Tag)
	return s
}

// serve handles messages until the front end leaves, with io.EOF, or breaks
// the rules. Then it waits until all requests have ended.
func (s *session) serve() error {
	defer s.queue.close()
	for {
		m, err := s.wire.read()
		if err != nil {
			return err
		}
		err = s.handle(m)
		m.closeFDs()
		if err != nil {
			return err
		}
	}
}

// handler handles a message. The reply is that of the request itself: most have
// none.
type handler struct {
	name   string
	size   int // of the payload; -1 if it varies
	fds    fdRule
	handle func(*session, *message) (reply []byte, err error)
}

// fdRule is how many descriptors a message has.
type fdRule int

const (
	noFDs fdRule = iota
	vringFD
	anyFDs // the handler checks
)

var handlers = map[request]handler{
	reqGetFeatures:         {"GET_FEATURES", 0, noFDs, (*session).getFeatures},
	reqSetFeatures:         {"SET_FEATURES", 8, noFDs, (*session).setFeatures},
	reqSetOwner:            {"SET_OWNER", 0, noFDs, (*session).setOwner},
	reqResetOwner:          {"RESET_OWNER", 0, noFDs, (*session).resetOwner},
	reqSetMemTable:         {"SET_MEM_TABLE", -1, anyFDs, (*session).setMemTable},
	reqSetVringNum:         {"SET_VRING_NUM", 8, noFDs, (*session).setVringNum},
	reqSetVringAddr:        {"SET_VRING_ADDR", 40, noFDs, (*session).setVringAddr},
	reqSetVringBase:        {"SET_VRING_BASE", 8, noFDs, (*session).setVringBase},
	reqGetVringBase:        {"GET_VRING_BASE", 8, noFDs, (*session).getVringBase},
	reqSetVringKick:        {"SET_VRING_KICK", 8, vringFD, (*session).setVringKick},
	reqSetVringCall:        {"SET_VRING_CALL", 8, vringFD, (*session).setVringCall},
	reqSetVringErr:         {"SET_VRING_ERR", 8, vringFD, (*session).setVringErr},
	reqGetProtocolFeatures: {"GET_PROTOCOL_FEATURES", 0, noFDs, (*session).getProtocolFeatures},
	reqSetProtocolFeatures: {"SET_PROTOCOL_FEATURES", 8, noFDs, (*session).setProtocolFeatures},
	reqGetQueueNum:         {"GET_QUEUE_NUM", 0, noFDs, (*session).getQueueNum},
	reqSetVringEnable:      {"SET_VRING_ENABLE", 8, noFDs, (*session).setVringEnable},
	reqGetConfig:           {"GET_CONFIG", -1, noFDs, (*session).getConfig},
	reqSetConfig:           {"SET_CONFIG", -1, noFDs, (*session).setConfig},
}

func (r request) String() string {
	if h, ok := handlers[r]; ok {
		return h.name
	}
	return fmt.Sprintf("request %d", uint32(r))
}

// handle does what m asks for and replies. An error ends the session.
func (s *session) handle(m *message) error {
	acknowledge := m.flags&flagNeedReply != 0 && s.protocol&protocolReplyAck != 0
	h, known := handlers[m.request]
	if !known {
		if !acknowledge {
			// It may be one that waits for an answer that we do not know.
			return fmt.Errorf("%v is not known", m.request)
		}
		return s.wire.reply(m, u64Payload(1))
	}
	if err := h.check(m); err != nil {
		return err
	}
	reply, err := h.handle(s, m)
	switch {
	case errors.Is(err, errRefused):
		s.log.Warn().Err(err).Stringer("message", m.request).Msg("virtio front end asks for what cannot be")
		if acknowledge {
			return s.wire.reply(m, u64Payload(1))
		}
		return nil
	case err != nil:
		return fmt.Errorf("%v: %w", m.request, err)
	case reply != nil:
		return s.wire.reply(m, reply)
	case acknowledge:
		return s.wire.reply(m, u64Payload(0))
	}
	return nil
}

// check holds a message against its shape.
func (h handler) check(m *message) error {
	if h.size >= 0 && len(m.payload) != h.size {
		return fmt.Errorf("%s has a payload of %d bytes instead of %d", h.name, len(m.payload), h.size)
	}
	want := 0
	switch h.fds {
	case anyFDs:
		return nil
	case vringFD:
		if _, none := m.vringFD(); !none {
			want = 1
		}
	}
	if len(m.fds) != want {
		return fmt.Errorf("%s has %d descriptors instead of %d", h.name, len(m.fds), want)
	}
	return nil
}

func (s *session) getFeatures(*message) ([]byte, error) {
	return u64Payload(features), nil
}

func (s *session) setFeatures(m *message) ([]byte, error) {
	if more := m.u64() &^ features; more != 0 {
		return nil, refuse("features %#x are not offered", more)
	}
	return nil, s.queue.setFeatures(m.u64())
}

func (s *session) getProtocolFeatures(*message) ([]byte, error) {
	return u64Payload(protocolFeatures), nil
}

func (s *session) setProtocolFeatures(m *message) ([]byte, error) {
	if more := m.u64() &^ protocolFeatures; more != 0 {
		return nil, refuse("protocol features %#x are not offered", more)
	}
	s.protocol = m.u64()
	return nil, nil
}

func (s *session) getQueueNum(*message) ([]byte, error) {
	return u64Payload(queues), nil
}

// setOwner is from a time when the back end was in the kernel.
func (s *session) setOwner(*message) ([]byte, error) { return nil, nil }

// resetOwner is deprecated. The back end may disable the rings.
func (s *session) resetOwner(*message) ([]byte, error) {
	s.queue.enable(false)
	return nil, nil
}

// getConfig answers while the machine stands still: QEMU's main loop waits.
func (s *session) getConfig(m *message) ([]byte, error) {
	const configHeader = 12 // offset, size, flags
	if len(m.payload) < configHeader {
		return nil, fmt.Errorf("payload of %d bytes", len(m.payload))
	}
	offset, size := native.Uint32(m.payload), native.Uint32(m.payload[4:])
	if uint64(offset)+uint64(size) > configSize || int(size) != len(m.payload)-configHeader {
		// No payload is how this request is refused.
		return []byte{}, nil
	}
	copy(m.payload[configHeader:], s.config[offset:offset+size])
	return m.payload, nil
}

// setConfig: the guest can try to write, but the device has nothing to be set.
func (s *session) setConfig(*message) ([]byte, error) {
	return nil, refuse("the configuration is read-only")
}

func (s *session) setMemTable(m *message) ([]byte, error) {
	infos, err := m.memTable()
	if err != nil {
		return nil, err
	}
	mem, err := mapMemory(infos, m.fds)
	if err != nil {
		return nil, refuse("%w", err)
	}
	s.queue.setMemory(mem)
	return nil, nil
}

// checkIndex ends a session that speaks of rings which the device does not have.
func checkIndex(index uint32) error {
	if index >= queues {
		return fmt.Errorf("ring %d: the device has %d", index, queues)
	}
	return nil
}

func (s *session) setVringNum(m *message) ([]byte, error) {
	index, num := m.vringState()
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	return nil, s.queue.setSize(num)
}

func (s *session) setVringAddr(m *message) ([]byte, error) {
	index, desc, used, avail := m.vringAddr()
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	return nil, s.queue.setAddresses(desc, avail, used)
}

func (s *session) setVringBase(m *message) ([]byte, error) {
	index, base := m.vringState()
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	return nil, s.queue.setBase(uint16(base))
}

// getVringBase stops the ring. The reply says that nobody touches it any more.
func (s *session) getVringBase(m *message) ([]byte, error) {
	index, _ := m.vringState()
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	return vringStatePayload(index, uint32(s.queue.stop())), nil
}

// setVringKick also starts the ring, where the front end does not enable rings.
func (s *session) setVringKick(m *message) ([]byte, error) {
	index, none := m.vringFD()
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	if none {
		return nil, refuse("a ring without notifications would have to be polled")
	}
	return nil, s.queue.setKick(m.takeFD())
}

func (s *session) setVringCall(m *message) ([]byte, error) {
	return nil, setEvent(&s.queue.call, m)
}

func (s *session) setVringErr(m *message) ([]byte, error) {
	return nil, setEvent(&s.queue.broken, m)
}

func setEvent(e *event, m *message) error {
	index, none := m.vringFD()
	if err := checkIndex(index); err != nil {
		return err
	}
	fd := noFD
	if !none {
		fd = m.takeFD()
	}
	return e.set(fd)
}

func (s *session) setVringEnable(m *message) ([]byte, error) {
	index, on := m.vringState()
	if err := checkIndex(index); err != nil {
		return nil, err
	}
	s.queue.enable(on != 0)
	return nil, nil
}
