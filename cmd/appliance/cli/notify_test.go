package cli

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// An appliance under systemd says when it is ready, goes on telling the
// watchdog, and says when it stops.
func TestSystemdIsToldReadyWatchdogAndStopping(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	expect := func(want string) {
		t.Helper()
		for b := make([]byte, 100); ; {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("no %s: %v", want, err)
			}
			if got := string(b[:n]); got == want {
				return
			} else if got != "WATCHDOG=1" {
				t.Fatalf("got %q, want %q", got, want)
			}
		}
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "100000")
	t.Setenv("WATCHDOG_PID", "")
	p := serveProcess(t)
	expect("READY=1")
	expect("WATCHDOG=1")
	expect("WATCHDOG=1")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect("STOPPING=1")
}

func TestWatchdogIsNotToldOfAServerThatIsSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := ping(context.Background(), l.Addr().String(), 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "does not answer") {
		t.Error(err)
	}
}
