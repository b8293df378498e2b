package virtio

import (
	"bytes"
	"context"
	"path/filepath"
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

// echo answers with the request, as far as there is room.
func echo(_ context.Context, in, out [][]byte) (n int, err error) {
	for len(in) > 0 && len(out) > 0 {
		k := copy(out[0], in[0])
		n += k
		in, out = rest(in, k), rest(out, k)
	}
	return n, nil
}

// rest is what remains of the pieces after k bytes of the first.
func rest(pieces [][]byte, k int) [][]byte {
	if k == len(pieces[0]) {
		return pieces[1:]
	}
	return append([][]byte{pieces[0][k:]}, pieces[1:]...)
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

func (l *log) lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.FieldsFunc(l.buf.String(), func(r rune) bool { return r == '\n' })
}

// service is a device that is served until the test ends.
type service struct {
	socket   string
	log      log
	channels chan *p9test.Channel // that were made
	stop     func()               // ends Serve and waits for it
}

// serve serves a device whose requests do answers.
func serve(t testing.TB, do func(ctx context.Context, in, out [][]byte) (int, error)) *service {
	t.Helper()
	return serveConfig(t, Config{}, do)
}

func serveConfig(t testing.TB, c Config, do func(ctx context.Context, in, out [][]byte) (int, error)) *service {
	t.Helper()
	s := &service{channels: make(chan *p9test.Channel, 100)}
	if c.Socket == "" {
		c.Socket = filepath.Join(t.TempDir(), "s")
	}
	s.socket = c.Socket
	c.Tag = "share"
	c.Log = zerolog.New(&s.log)
	if c.NewChannel == nil {
		c.NewChannel = func() Channel {
			ch := p9test.NewChannel(do)
			s.channels <- ch
			return ch
		}
	}
	d, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- d.Serve(ctx) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

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
