package xen

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/fsva/fsva/server/p9/p9test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// deadline is how long a test waits for what must happen. It is never waited
// for in vain where the test passes.
const deadline = 30 * time.Second

// wait returns what ch gives, and fails the test if that takes too long.
func wait[T any](t testing.TB, ch <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(deadline):
		t.Fatalf("%s: still waiting", what)
	}
	return v
}

// log collects lines.
type log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// errors are the lines that tell of one.
func (l *log) errors() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.buf.String()) {
		if strings.Contains(line, `"level":"error"`) {
			lines = append(lines, line)
		}
	}
	return lines
}

// service is a back end that is served until the test ends.
type service struct {
	log      log
	channels chan *p9test.Channel // that were made
	devices  chan Device          // for them
	stop     func()               // ends Serve and waits for it
}

// serve serves the devices of m, whose requests do answers.
func serve(m *machine, do func(ctx context.Context, in, out [][]byte) (int, error)) *service {
	s := &service{channels: make(chan *p9test.Channel, 100), devices: make(chan Device, 100)}
	s.run(m, func(d Device) (Channel, error) {
		ch := p9test.NewChannel(do)
		s.channels <- ch
		s.devices <- d
		return ch, nil
	})
	return s
}

func (s *service) run(m *machine, newChannel func(Device) (Channel, error)) {
	b := newBackend(Config{NewChannel: newChannel, Log: zerolog.New(&s.log)}, m.daemon.connect(m.t, 1), m)
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			m.t.Errorf("Serve: %v", err)
		}
		m.free()
	})
	m.t.Cleanup(s.stop)
}
