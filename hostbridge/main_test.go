package hostbridge

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/site"
)

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fsva-host")
	if err != nil {
		panic(err)
	}
	journalDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// enter moves the test into a network namespace of its own, which ends with it.
func enter(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("bridges and taps need root")
	}
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		t.Skipf("this kernel makes no taps: %v", err)
	}
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
}

// beside runs f at the same time as the test, in its network namespace.
func beside(t *testing.T, f func()) {
	t.Helper()
	namespace, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer namespace.Close()
		runtime.LockOSThread() // for good: the thread ends with f
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			t.Error(err)
		}
		f()
	}()
}

// read makes a site of a file's text.
func read(t *testing.T, text string) *site.Site {
	t.Helper()
	path := filepath.Join(t.TempDir(), "host.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := site.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// up brings a site up and returns what changed, a line each.
func up(t *testing.T, s *site.Site) string {
	t.Helper()
	var b strings.Builder
	if err := Up(s, func(c change.Change) { b.WriteString(c.String() + "\n") }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func down(t *testing.T, bridge string) string {
	t.Helper()
	var b strings.Builder
	if err := Down(bridge, true, func(c change.Change) { b.WriteString(c.String() + "\n") }); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

const twoGuests = `
bridge: br-t
subnet: 10.77.0.0/24
subnet6: fd77:1:2:3::/64
guests:
  - {name: one, address: 10.77.0.11}
  - {name: two, address: 10.77.0.12}
`
