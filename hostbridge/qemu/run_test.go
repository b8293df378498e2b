package qemu

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestMain makes the test binary a program that behaves like QEMU where
// FAKE_QEMU says how.
func TestMain(m *testing.M) {
	if how := os.Getenv("FAKE_QEMU"); how != "" {
		fakeQEMU(how, os.Args[1:])
	}
	os.Exit(m.Run())
}

// fakeQEMU has a monitor at the path in -qmp. It goes by those commands that
// how names, and answers all.
func fakeQEMU(how string, args []string) {
	if how == "broken" {
		fmt.Fprintln(os.Stderr, "qemu: -kernel x: could not open x")
		os.Exit(1)
	}
	signal.Ignore(syscall.SIGTERM)
	var path string
	for i, a := range args {
		switch a {
		case "-qmp":
			path, _, _ = strings.Cut(strings.TrimPrefix(args[i+1], "unix:"), ",server")
		case "-chardev":
			fakeConsole(args[i+1])
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		os.Exit(2)
	}
	conn, err := l.Accept()
	if err != nil {
		os.Exit(2)
	}
	fmt.Fprintln(conn, `{"QMP": {"version": {}, "capabilities": []}}`)
	for in := bufio.NewScanner(conn); in.Scan(); {
		fmt.Fprintln(conn, `{"event": "RTC_CHANGE", "data": {}}`)
		fmt.Fprintln(conn, `{"return": {}}`)
		for _, command := range strings.Split(how, " ") {
			if strings.Contains(in.Text(), command) {
				os.Exit(0)
			}
		}
	}
	select {} // as if it hung
}

// fakeConsole prints as many lines as FAKE_CONSOLE says, to the log that is among
// the options of the console, opened as QEMU does.
func fakeConsole(options string) {
	lines, err := strconv.Atoi(os.Getenv("FAKE_CONSOLE"))
	if err != nil {
		return
	}
	for _, option := range strings.Split(options, ",") {
		path, ok := strings.CutPrefix(option, "logfile=")
		if !ok {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
		if err != nil {
			os.Exit(3)
		}
		for i := range lines {
			if _, err := fmt.Fprintln(f, strings.Repeat("x", 1000), i+1); err != nil {
				os.Exit(3)
			}
		}
	}
}

func fakeMachine(t *testing.T, how string) *Machine {
	t.Helper()
	t.Setenv("FAKE_QEMU", how)
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &Machine{Name: "vm1", Binary: self, Memory: 64, CPUs: 1, Tap: "tap-vm1", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		QMP: filepath.Join(dir, "qmp"), Console: filepath.Join(dir, "console"), Log: filepath.Join(dir, "log")}
}

func TestMachineIsStoppedInOrder(t *testing.T) {
	for _, c := range []struct {
		name, how string
		limit     time.Duration
		quits     bool
	}{
		{"it turns itself off", "system_powerdown", time.Hour, false},
		{"QEMU is asked to quit", "quit", time.Millisecond, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			var log strings.Builder
			err := fakeMachine(t, c.how).Run(ctx, Options{PowerOff: c.limit, Running: func(int) { cancel() }, Log: zerolog.New(&log)})
			if err != nil {
				t.Error(err)
			}
			if quit := strings.Contains(log.String(), "is to quit"); quit != c.quits {
				t.Error(log.String())
			}
		})
	}
}

func TestMachineThatDoesNotListenIsKilledWhenHurried(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	hurry := make(chan struct{})
	var pid int
	m := fakeMachine(t, "nothing-that-is-asked")
	if err := m.Run(ctx, Options{PowerOff: time.Hour, Hurry: hurry, Running: func(p int) { pid = p; cancel(); close(hurry) }, Log: zerolog.Nop()}); err != nil {
		t.Error(err)
	}
	if err := syscall.Kill(pid, 0); err != syscall.ESRCH {
		t.Errorf("QEMU is still there: %v", err)
	}
}

func TestMachineThatIsKilledIsStartedAgain(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	err := fakeMachine(t, "system_powerdown").Run(ctx, Options{Restart: true, PowerOff: time.Minute, Log: zerolog.Nop(), Running: func(pid int) {
		if runs++; runs == 2 {
			cancel()
			return
		}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Error(err)
		}
	}})
	if err != nil || runs != 2 {
		t.Errorf("%d runs, %v", runs, err)
	}
}

func TestMachineThatIsKilledStaysSoIfAsked(t *testing.T) {
	err := fakeMachine(t, "quit").Run(t.Context(), Options{Log: zerolog.Nop(), Running: func(pid int) { _ = syscall.Kill(pid, syscall.SIGKILL) }})
	if err == nil || !strings.Contains(err.Error(), "signal: killed") {
		t.Errorf("error %v", err)
	}
}

func TestMachineThatNeverRanIsNotStartedAgain(t *testing.T) {
	err := fakeMachine(t, "broken").Run(t.Context(), Options{Restart: true, Log: zerolog.Nop(), Running: func(int) { t.Error("it runs") }})
	if err == nil || !strings.Contains(err.Error(), "could not open x") {
		t.Errorf("error %v, without what QEMU said", err)
	}
}

func TestMonitorTakesNoEndlessMessage(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		conn, err := l.Accept()
		for err == nil {
			_, err = conn.Write(make([]byte, 1<<16))
		}
	}()
	if _, err := Dial(t.Context(), socket); err == nil || !strings.Contains(err.Error(), "too long") {
		t.Errorf("error %v", err)
	}
}

func TestMonitorTellsWhatQEMURefuses(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "qmp")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		if conn, err := l.Accept(); err == nil {
			fmt.Fprintln(conn, `{"error": {"class": "CommandNotFound", "desc": "no such thing"}}`)
		}
	}()
	if _, err := Dial(t.Context(), socket); err == nil || !strings.Contains(err.Error(), "monitor: qmp_capabilities: CommandNotFound: no such thing") {
		t.Errorf("error %v", err)
	}
}

func TestArgumentsHaveNoCommaOfOthers(t *testing.T) {
	m := &Machine{Name: "a", Disk: "/srv/a,readonly=on", Memory: 512, CPUs: 2, Tap: "tap-a", MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1},
		P9: []P9{{Model: P9Models[0], Socket: "/run/x"}}, Accel: "tcg", Args: []string{"-S"}}
	args := strings.Join(m.Arguments(), " ")
	for _, want := range []string{
		"file=/srv/a,,readonly=on", "-m 512M", "-machine q35,memory-backend=fsva", "size=512M", "-smp 2", "mac=02:00:00:00:00:01", "ifname=tap-a",
		"vhost-user-test-device-pci,chardev=p9-0,virtio-id=9", "-accel tcg,thread=multi", "virtio-balloon-pci",
	} {
		if !strings.Contains(args, want) {
			t.Errorf("no %q in %s", want, args)
		}
	}
	if strings.Contains(args, "kvm") || !strings.HasSuffix(args, " -S") {
		t.Error(args)
	}
}

func TestMachineIsEmulatedWhereItIsToldSoOrThereIsNoKVM(t *testing.T) {
	_, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	for accel, want := range map[string]bool{"tcg": true, "kvm": false, "": err != nil} {
		if got := (&Machine{Accel: accel}).Emulated(); got != want {
			t.Errorf("accel %q: %v", accel, got)
		}
	}
}
