package rpc_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/rpc"
)

// logged is a log that can be read while it is written.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// TestPanicFailsItsCallAlone: whatever a handler does, other calls of the same
// connection are answered, also those whose replies wait with its own.
func TestPanicFailsItsCallAlone(t *testing.T) {
	var none *rpc.Call
	for name, mistake := range map[string]func(c *rpc.Call){
		"at once":             func(c *rpc.Call) { panic("a mistake") },
		"after results":       func(c *rpc.Call) { c.Reply.Opaque(pattern(100_000)); panic("a mistake") },
		"after a buffer":      func(c *rpc.Call) { c.Reply.OpaqueBuffer(rpc.GetBuffer(10), 10); panic("a mistake") },
		"after MayBlock":      func(c *rpc.Call) { c.MayBlock(); panic("a mistake") },
		"results, MayBlock":   func(c *rpc.Call) { c.Reply.Uint32(1); c.MayBlock(); c.Reply.Uint32(2); panic("a mistake") },
		"of the run time":     func(c *rpc.Call) { c.Reply.Uint32(none.XID) },
		"index out of bounds": func(c *rpc.Call) { c.Reply.Uint32(c.Auth.GIDs[c.XID]) },
	} {
		t.Run(name, func(t *testing.T) {
			overEach(t, func(t *testing.T, listen func(testing.TB) listener) {
				var log logged
				c := serveOver(t, listen, rpc.Options{Log: zerolog.New(&log)}, func(c *rpc.Call) rpc.AcceptStat {
					if c.Procedure == 2 {
						mistake(c)
					}
					return echo(c)
				}).dial(t)
				c.send(call(1, 1, words(1)), call(2, 2, words(2)))
				c.expect(success(1, words(1)))
				c.expect(words(2, 1, 0, 0, 0, uint32(rpc.SystemErr)))
				c.send(call(3, 1, words(3)))
				c.expect(success(3, words(3)))
				if !strings.Contains(log.String(), "goroutine") {
					t.Errorf("the log has no stack: %s", log.String())
				}
			})
		})
	}
}
