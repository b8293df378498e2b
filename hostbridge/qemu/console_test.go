package qemu

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// runOnce runs a machine until it prints no more, and returns its log.
func runOnce(t *testing.T, m *Machine) []byte {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if err := m.Run(ctx, Options{PowerOff: time.Hour, Running: func(int) { cancel() }, Log: zerolog.Nop()}); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(m.Log)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

const mib = 1 << 20

func TestGuestThatPrintsWithoutEndFillsNoMemory(t *testing.T) {
	m := fakeMachine(t, "system_powerdown")
	t.Setenv("FAKE_CONSOLE", "9000") // lines of 1 kB
	for range 2 {
		log := runOnce(t, m)
		if len(log) > 2*mib || len(log) < mib {
			t.Errorf("%d bytes are kept", len(log))
		}
		if !bytes.HasSuffix(log, []byte("x 9000\n")) {
			t.Errorf("the log ends with %q", log[len(log)-20:])
		}
	}
}

func TestLogGoesOnWhenTheMachineIsStartedAgain(t *testing.T) {
	m := fakeMachine(t, "system_powerdown")
	t.Setenv("FAKE_CONSOLE", "1")
	if err := os.WriteFile(m.Log, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	runOnce(t, m)
	line := strings.Repeat("x", 1000) + " 1\n"
	if log, want := string(runOnce(t, m)), "before\n"+line+line; log != want {
		t.Errorf("the log is %q", log)
	}
}

func TestLogThatIsTooLongIsCut(t *testing.T) {
	m := fakeMachine(t, "system_powerdown")
	if err := os.WriteFile(m.Log, append(make([]byte, 8*mib), "the end"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if log := runOnce(t, m); len(log) > 2*mib || !bytes.HasSuffix(log, []byte("the end")) {
		t.Errorf("%d bytes are kept", len(log))
	}
}

// A full file system costs what it cannot take, and not what comes later.
func TestLogTakesWhatItCannotKeep(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0) // full(4)
	if err != nil {
		t.Skip(err)
	}
	var said strings.Builder
	l := &consoleLog{file: full, log: zerolog.New(&said)}
	defer l.Close()
	for range 2 {
		if n, err := l.Write([]byte("text")); n != 4 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	if strings.Count(said.String(), "no space left") != 1 {
		t.Errorf("told: %s", &said)
	}
}
