package xen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"
)

// Kinds of messages (xen/include/public/io/xs_wire.h).
const (
	opDirectory        = 1
	opRead             = 2
	opWatch            = 4
	opUnwatch          = 5
	opTransactionStart = 6
	opTransactionEnd   = 7
	opWrite            = 11
	opRemove           = 13
	opWatchEvent       = 15
	opError            = 16
)

const (
	storeHeader  = 16 // bytes: kind, request, transaction, length; all u32
	storePayload = 4096
)

// storeMessage is a request, a reply or an event.
type storeMessage struct {
	kind    uint32
	tx      uint32
	payload []byte
}

// readStoreMessage reads a message, whose payload may not be longer than the
// protocol allows.
func readStoreMessage(r io.Reader) (m storeMessage, err error) {
	var h [storeHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return m, err
	}
	n := binary.NativeEndian.Uint32(h[12:])
	if n > storePayload {
		return m, fmt.Errorf("message of %d bytes", n)
	}
	m.kind, m.tx = binary.NativeEndian.Uint32(h[:]), binary.NativeEndian.Uint32(h[8:])
	m.payload = make([]byte, n)
	_, err = io.ReadFull(r, m.payload)
	return m, err
}

func (m storeMessage) encode() []byte {
	b := make([]byte, storeHeader, storeHeader+len(m.payload))
	binary.NativeEndian.PutUint32(b, m.kind)
	binary.NativeEndian.PutUint32(b[8:], m.tx)
	binary.NativeEndian.PutUint32(b[12:], uint32(len(m.payload)))
	return append(b, m.payload...)
}

// fields splits a payload of strings that end with a NUL each.
func (m storeMessage) fields() []string {
	text := strings.TrimSuffix(string(m.payload), "\x00")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\x00")
}

// storeErrors are the errors that somebody here tells from others.
var storeErrors = map[string]syscall.Errno{
	"ENOENT": syscall.ENOENT,
	"EACCES": syscall.EACCES,
	"EAGAIN": syscall.EAGAIN,
	"EINVAL": syscall.EINVAL,
}

// failure is the error that a reply says.
func (m storeMessage) failure() error {
	if m.kind != opError {
		return nil
	}
	name := strings.TrimRight(string(m.payload), "\x00")
	if errno, ok := storeErrors[name]; ok {
		return errno
	}
	return fmt.Errorf("error %q", name)
}

// store is a connection to xenstore, where domains tell each other about their
// devices. Paths that do not begin with a slash are below the domain's own.
//
// Methods may be called at the same time. Requests go out one after the other:
// the kernel's device does not give every reply the number of its request.
type store struct {
	conn   io.ReadWriteCloser
	reader sync.WaitGroup
	reply  chan storeMessage
	quit   chan struct{} // closed by close
	done   chan struct{} // closed when the connection has ended
	err    error         // why; read it after done is closed

	transacting sync.Mutex // held during a transaction: a domain may have few. Before asking
	asking      sync.Mutex // held from a request to its reply. Before mu

	mu      sync.Mutex // guards what follows; a leaf
	watches map[string]chan<- struct{}
	serial  uint64
}

// newStore takes over conn.
func newStore(conn io.ReadWriteCloser) *store {
	s := &store{
		conn: conn, reply: make(chan storeMessage), quit: make(chan struct{}), done: make(chan struct{}),
		watches: make(map[string]chan<- struct{}),
	}
	s.reader.Go(s.receive)
	return s
}

// close ends the connection. Calls under way fail. It is called once.
func (s *store) close() {
	close(s.quit)
	_ = s.conn.Close() // there is nothing that was not written
	s.reader.Wait()
}

func (s *store) receive() {
	defer close(s.done)
	for {
		m, err := readStoreMessage(s.conn)
		if err != nil {
			s.err = fmt.Errorf("xenstore: %w", err)
			return
		}
		if m.kind == opWatchEvent {
			s.event(m)
			continue
		}
		select {
		case s.reply <- m:
		case <-s.quit:
			s.err = fmt.Errorf("xenstore: %w", io.ErrClosedPipe)
			return
		}
	}
}

// event tells who watches. What changed they look up: an event for each change
// could be more than they have room for.
func (s *store) event(m storeMessage) {
	f := m.fields()
	if len(f) < 2 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if changed := s.watches[f[1]]; changed != nil {
		kick(changed)
	}
}

// kick makes sure that c has something.
func kick(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// ask sends a request and returns the payload of its reply.
func (s *store) ask(kind, tx uint32, fields ...string) (storeMessage, error) {
	m := storeMessage{kind: kind, tx: tx, payload: []byte(strings.Join(fields, "\x00"))}
	// The kernel's device has room for so much, with the header.
	if len(m.payload) > storePayload-storeHeader {
		return m, syscall.E2BIG
	}
	s.asking.Lock()
	defer s.asking.Unlock()
	if _, err := s.conn.Write(m.encode()); err != nil {
		return m, fmt.Errorf("xenstore: %w", err)
	}
	select {
	case m = <-s.reply:
		if m.kind != kind && m.kind != opError {
			return m, fmt.Errorf("xenstore: reply of kind %d to a request of kind %d", m.kind, kind)
		}
		return m, m.failure()
	case <-s.done:
		return m, s.err
	}
}

// transaction is a set of reads and writes that others see all at once. The
// zero one is no transaction: each counts at once.
type transaction struct {
	*store
	id uint32
}

func (s *store) now() transaction { return transaction{store: s} }

// read returns a value.
func (t transaction) read(path string) (string, error) {
	m, err := t.ask(opRead, t.id, path, "")
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return string(m.payload), nil
}

// write sets a value, and makes the path to it if need be.
func (t transaction) write(path, value string) error {
	if _, err := t.ask(opWrite, t.id, path, value); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// remove removes a value and all below it.
func (t transaction) remove(path string) error {
	if _, err := t.ask(opRemove, t.id, path, ""); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// list returns the names below path: none if it does not exist.
func (t transaction) list(path string) ([]string, error) {
	m, err := t.ask(opDirectory, t.id, path, "")
	switch {
	case errors.Is(err, syscall.ENOENT):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m.fields(), nil
}

// maxTries is how often a transaction is begun. Others' changes come in its
// way, which are rare.
const maxTries = 50

// transact calls f and makes its changes all at once. It calls it again if what
// f has read has changed meanwhile.
func (s *store) transact(f func(transaction) error) error {
	s.transacting.Lock()
	defer s.transacting.Unlock()
	err := error(syscall.EAGAIN)
	for try := 0; try < maxTries && errors.Is(err, syscall.EAGAIN); try++ {
		err = s.try(f)
	}
	return err
}

func (s *store) try(f func(transaction) error) error {
	m, err := s.ask(opTransactionStart, 0, "", "")
	if err != nil {
		return fmt.Errorf("begin a transaction: %w", err)
	}
	t := transaction{store: s}
	if _, err := fmt.Sscanf(string(m.payload), "%d\x00", &t.id); err != nil || t.id == 0 {
		return fmt.Errorf("transaction %q", m.payload)
	}
	if err := f(t); err != nil {
		_, _ = s.ask(opTransactionEnd, t.id, "F", "") // err says more
		return err
	}
	if _, err := s.ask(opTransactionEnd, t.id, "T", ""); err != nil {
		return fmt.Errorf("end a transaction: %w", err)
	}
	return nil
}

// watch kicks changed now, and when something at path or below changes, until
// the returned function is called.
func (s *store) watch(path string, changed chan<- struct{}) (unwatch func(), err error) {
	s.mu.Lock()
	s.serial++
	token := fmt.Sprint(s.serial)
	s.watches[token] = changed
	s.mu.Unlock()
	forget := func() {
		s.mu.Lock()
		delete(s.watches, token)
		s.mu.Unlock()
	}
	if _, err := s.ask(opWatch, 0, path, token, ""); err != nil {
		forget()
		return nil, fmt.Errorf("watch %s: %w", path, err)
	}
	return func() {
		_, _ = s.ask(opUnwatch, 0, path, token, "") // events that still come are dropped
		forget()
	}, nil
}
