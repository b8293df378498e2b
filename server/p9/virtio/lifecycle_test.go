package virtio

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/server/p9/p9test"
)

func TestPausedGuestGoesOnWhereItWas(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.start()
	fe.roundTrip(0, "before")
	base := fe.stop()
	if base != 1 {
		t.Errorf("base %d", base)
	}
	fe.prepare(2, "while it stands still")
	fe.offer(2)
	fe.resume(base)
	if head, n := fe.wait(); head != 2 || string(fe.reply(2)[:n]) != "while it stands still" {
		t.Errorf("chain %d with %q", head, fe.reply(2)[:n])
	}
	if n := len(s.channels); n != 1 {
		t.Errorf("%d channels instead of one", n)
	}
}

func TestGuestThatIsResetGetsANewChannel(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	for range 3 {
		fe.start()
		ch := wait(t, s.channels, "a channel")
		if got := fe.roundTrip(0, "hello"); got != "hello" {
			t.Errorf("answered by %q", got)
		}
		defer wait(t, ch.Closed, "the end of the channel")
		fe.stop()
	}
	fe.conn.Close()
}

func TestRingRunsOnlyWhenEnabledAndKicked(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.driver = newDriver(t, fe.mem, fe.ringSize, fe.features)
	fe.prepareRing(0)
	if len(s.channels) != 0 {
		t.Error("a ring that is not enabled runs")
	}
	fe.must(reqSetVringEnable, vringStatePayload(0, 1))
	fe.roundTrip(0, "x")
	fe.ask(reqGetVringBase, 0, vringStatePayload(0, 0))
	<-s.channels
	fe.must(reqSetVringBase, vringStatePayload(0, 0))
	if len(s.channels) != 0 {
		t.Error("a ring without a kick runs")
	}
}

func TestRingRunsUponKickWhereRingsAreNotEnabled(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.features &^= featureProtocolFeatures
	fe.driver = newDriver(t, fe.mem, fe.ringSize, fe.features)
	fe.prepareRing(0)
	if got := fe.roundTrip(0, "hello"); got != "hello" {
		t.Errorf("answered by %q", got)
	}
}

func TestStopWaitsForRequestsInFlightWhichAreToEnd(t *testing.T) {
	begun := make(chan struct{}, 8)
	s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return echo(ctx, in, out)
	})
	fe := s.connect(t)
	fe.start()
	for i := range 4 {
		fe.prepare(2*i, "late")
		fe.offer(2 * i)
	}
	for range 4 {
		wait(t, begun, "a request")
	}
	if base := fe.stop(); base != 4 {
		t.Errorf("base %d", base)
	}
	for range 4 {
		if head, n, ok := fe.reap(); !ok || string(fe.reply(head)[:n]) != "late" {
			t.Errorf("a request is not answered at the stop")
		}
	}
}

func TestMemoryTableCanChangeWhileRequestsAreInFlight(t *testing.T) {
	begun, gate := make(chan struct{}, 1), make(chan struct{})
	s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
		if string(in[0]) == "slow" {
			begun <- struct{}{}
			<-gate
		}
		return echo(ctx, in, out)
	})
	fe := s.connect(t)
	fe.start()
	fe.prepare(0, "slow")
	fe.offer(0)
	wait(t, begun, "a request")
	for range 3 {
		fe.setMemTable()
		if got := fe.roundTrip(2, "fast"); got != "fast" {
			t.Errorf("answered by %q", got)
		}
	}
	// The file, at its two places in the table: the test's own mapping, that of
	// the request, and that of the ring.
	if n := mappings(t, fe.memfd); n != 1+2+2 {
		t.Errorf("%d mappings while the request is in flight", n)
	}
	close(gate)
	if head, n := fe.wait(); head != 0 || string(fe.reply(0)[:n]) != "slow" {
		t.Errorf("chain %d with %q", head, fe.reply(0)[:n])
	}
	fe.stop()
	if n := mappings(t, fe.memfd); n != 1+2 {
		t.Errorf("%d mappings afterwards", n)
	}
}

// mappings counts how often a file is mapped in this process.
func mappings(t *testing.T, f *os.File) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(" %d ", st.Ino)
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, inode) && strings.Contains(line, "memfd:guest") {
			n++
		}
	}
	return n
}

func TestTableThatLosesTheRingEndsTheDevice(t *testing.T) {
	s := serve(t, echo)
	fe := s.connect(t)
	fe.start()
	breaks(t, s, fe, "descriptor table: ", func() {
		elsewhere := regionInfo{guest: guestBase, size: halfSize, user: 0x1000}
		fe.must(reqSetMemTable, memTablePayload(elsewhere), int(fe.memfd.Fd()))
	})
}

func TestFrontEndThatDiesLeavesNothingBehind(t *testing.T) {
	begun := make(chan struct{}, 1)
	s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
		if string(in[0]) == "wait" {
			begun <- struct{}{}
			<-ctx.Done()
		}
		return echo(ctx, in, out)
	})
	fe := s.connect(t)
	fe.start()
	fe.prepare(0, "wait")
	fe.offer(0)
	wait(t, begun, "a request")
	fe.conn.Close()
	wait(t, wait(t, s.channels, "a channel").Closed, "the end of the channel")

	next := s.connect(t)
	next.start()
	if got := next.roundTrip(0, "next"); got != "next" {
		t.Errorf("answered by %q", got)
	}
	if n := mappings(t, fe.memfd); n != 1 {
		t.Errorf("%d mappings of the memory of a machine that is gone", n)
	}
	if lines := s.log.lines(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}

func TestServeEndsWithRequestsInFlight(t *testing.T) {
	begun := make(chan struct{}, 1)
	s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
		begun <- struct{}{}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	fe := s.connect(t)
	fe.start()
	fe.prepare(0, "x")
	fe.offer(0)
	wait(t, begun, "a request")
	s.stop()
	fe.disconnected()
	if _, err := os.Stat(s.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

func TestOneFrontEndAtATime(t *testing.T) {
	s := serve(t, echo)
	first := s.connect(t)
	second := s.dial(t)
	second.disconnected()
	if lines := s.log.lines(); len(lines) != 1 || !strings.Contains(lines[0], "another one is connected") {
		t.Errorf("log: %q", lines)
	}
	first.start()
	if got := first.roundTrip(0, "still"); got != "still" {
		t.Errorf("answered by %q", got)
	}
	third := s.dial(t)
	first.conn.Close()
	third.negotiate()
}

func TestDialsAFrontEndThatListens(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	channels := make(chan *p9test.Channel, 10)
	d, err := New(Config{Tag: "share", Socket: socket, Dial: true, Log: zerolog.Nop(), NewChannel: func() Channel {
		ch := p9test.NewChannel(echo)
		channels <- ch
		return ch
	}})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- d.Serve(t.Context()) }()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accept := func() *frontEnd {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return newFrontEnd(t, conn.(*net.UnixConn))
	}
	// The second is another machine, after the first has ended.
	for range 2 {
		fe := accept()
		fe.negotiate()
		fe.start()
		if got := fe.roundTrip(0, "hello"); got != "hello" {
			t.Errorf("answered by %q", got)
		}
		fe.conn.Close()
	}
	accept().send(99, nil)
	if err := wait(t, served, "the end of Serve"); err == nil || !strings.Contains(err.Error(), "request 99 is not known") {
		t.Errorf("Serve: %v", err)
	}
}

func TestAbandonedSocketIsReplacedAndNoOtherFile(t *testing.T) {
	dir := t.TempDir()
	abandoned := filepath.Join(dir, "abandoned")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: abandoned, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s := serveConfig(t, Config{Socket: abandoned}, echo)
	s.connect(t)
	info, err := os.Stat(abandoned)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("the socket has the mode %o", got)
	}

	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{abandoned, file} {
		if _, err := New(Config{Tag: "share", Socket: path, NewChannel: func() Channel { return nil }}); err == nil {
			t.Errorf("%s is taken", path)
		}
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file has %q: %v", b, err)
	}
}

func TestDeviceThatIsNotServedRemovesItsSocket(t *testing.T) {
	c := Config{Tag: "share", Socket: filepath.Join(t.TempDir(), "s"), NewChannel: func() Channel { return nil }}
	for range 2 {
		d, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Serve(t.Context()); err == nil {
			t.Error("a closed device is served")
		}
	}
}

func TestNewRefusesWhatCannotBeServed(t *testing.T) {
	make := func() Channel { return nil }
	for name, c := range map[string]Config{
		"no tag":              {Socket: "s", NewChannel: make},
		"long tag":            {Tag: strings.Repeat("x", 255), Socket: "s", NewChannel: make},
		"tag with a NUL":      {Tag: "a\x00b", Socket: "s", NewChannel: make},
		"no socket":           {Tag: "t", NewChannel: make},
		"no channel":          {Tag: "t", Socket: "s"},
		"negative parallel":   {Tag: "t", Socket: "s", NewChannel: make, MaxInFlight: -1},
		"socket out of reach": {Tag: "t", Socket: filepath.Join(t.TempDir(), "no", "such"), NewChannel: make},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestRequestThatIsGivenUpAtAStopIsNoFailure(t *testing.T) {
	begun := make(chan struct{}, 1)
	s := serve(t, func(ctx context.Context, in, out [][]byte) (int, error) {
		if string(in[0]) == "wait" {
			begun <- struct{}{}
			<-ctx.Done()
			return 0, ctx.Err()
		}
		return echo(ctx, in, out)
	})
	fe := s.connect(t)
	fe.start()
	fe.prepare(0, "wait")
	fe.offer(0)
	wait(t, begun, "a request")
	fe.stop()
	fe.start()
	if got := fe.roundTrip(0, "fine"); got != "fine" {
		t.Errorf("answered by %q", got)
	}
	if lines := s.log.lines(); len(lines) != 0 {
		t.Errorf("log: %q", lines)
	}
}
