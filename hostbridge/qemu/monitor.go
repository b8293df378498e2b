package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Monitor is a connection to a machine's monitor. One call at a time.
type Monitor struct {
	conn net.Conn
	in   *bufio.Scanner
}

// maxMessage is the longest message that is taken from QEMU, in bytes. Only
// short ones are asked for.
const maxMessage = 1 << 20

// callLimit is how long QEMU may take to answer.
const callLimit = 30 * time.Second

// Dial connects to the monitor at a socket, and agrees with it on the protocol.
func Dial(ctx context.Context, socket string) (*Monitor, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	m := &Monitor{conn: conn, in: bufio.NewScanner(conn)}
	m.in.Buffer(nil, maxMessage)
	// The greeting comes first, and until capabilities are agreed on nothing
	// else is taken (QEMU, docs/interop/qmp-spec).
	if _, err := m.Do(ctx, "qmp_capabilities"); err != nil {
		conn.Close()
		return nil, err
	}
	return m, nil
}

// Close ends the connection; the machine goes on.
func (m *Monitor) Close() error { return m.conn.Close() }

// message is anything that QEMU says: a greeting, an event, or an answer.
type message struct {
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
}

// Do has the machine carry out a command without arguments, such as
// "system_powerdown", and returns the answer. What QEMU tells in between of its
// own accord is passed over.
func (m *Monitor) Do(ctx context.Context, command string) (json.RawMessage, error) {
	fail := func(err error) (json.RawMessage, error) {
		return nil, fmt.Errorf("monitor: %s: %w", command, err)
	}
	limit := time.Now().Add(callLimit)
	if at, ok := ctx.Deadline(); ok && at.Before(limit) {
		limit = at
	}
	if err := m.conn.SetDeadline(limit); err != nil {
		return fail(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = m.conn.SetDeadline(time.Now()) }) // a closed one has none
	defer stop()
	if _, err := fmt.Fprintf(m.conn, "{\"execute\": %q}\n", command); err != nil {
		return fail(err)
	}
	for m.in.Scan() {
		var a message
		if err := json.Unmarshal(m.in.Bytes(), &a); err != nil {
			return fail(err)
		}
		switch {
		case a.Error != nil:
			return fail(fmt.Errorf("%s: %s", a.Error.Class, a.Error.Desc))
		case a.Return != nil:
			return a.Return, nil
		}
	}
	return fail(errors.Join(m.in.Err(), ctx.Err(), errEnded(m.in.Err())))
}

func errEnded(err error) error {
	if err == nil {
		return io.ErrUnexpectedEOF
	}
	return nil
}
