package cli

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a new one: what is typed at keys is read from tty.
func terminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no terminals here: %v", err)
	}
	keys = os.NewFile(uintptr(fd), "/dev/ptmx")
	t.Cleanup(func() { keys.Close() })
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tty.Close() })
	return keys, tty
}

// consoleOf is the console of a machine, of which the test is the other end.
func consoleOf(t *testing.T) (conn, machine net.Conn) {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "web1.console")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err = dialConsole(t.Context(), socket, "web1", consoleLimit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	machine, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { machine.Close() })
	return conn, machine
}

// Ctrl-C is the machine's, and Ctrl-] ours.
func TestConsoleTakesEachKeyToTheMachineUntilItIsLeft(t *testing.T) {
	keys, tty := terminal(t)
	conn, machine := consoleOf(t)
	was, err := rawTerminal(int(tty.Fd()))
	if err != nil || was == nil {
		t.Fatalf("terminal: %v, %v", was, err)
	}
	ended := make(chan string, 1)
	go func() { ended <- converse(t.Context(), conn, tty, tty) }()
	if _, err := io.WriteString(keys, "ls\x03\r\x1drm -r /\r"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(machine); err != nil || string(got) != "ls\x03\r" {
		t.Errorf("the machine is given %q, %v", got, err)
	}
	if why := <-ended; why != "left" {
		t.Errorf("it ended: %s", why)
	}
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETSF, was); err != nil {
		t.Error(err)
	}
	if now, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err != nil || *now != *was {
		t.Errorf("the terminal is not as it was: %v, %v", now, err)
	}
}

func TestConsoleEndsWithTheMachineAndNotWithItsInput(t *testing.T) {
	conn, machine := consoleOf(t)
	var out strings.Builder
	ended := make(chan string, 1)
	go func() { ended <- converse(t.Context(), conn, strings.NewReader("poweroff\n"), &out) }()
	if got, err := bufio.NewReader(machine).ReadString('\n'); err != nil || got != "poweroff\n" {
		t.Errorf("the machine is given %q, %v", got, err)
	}
	if _, err := io.WriteString(machine, "bye\r\n"); err != nil {
		t.Fatal(err)
	}
	machine.Close()
	if why := <-ended; why != "the machine has ended" || out.String() != "bye\r\n" {
		t.Errorf("it ended: %s, after %q", why, out.String())
	}
}

func TestConsoleNamesTheMachineThatDoesNotRun(t *testing.T) {
	path := writeSite(t, machines, nil)
	checkRefused(t, exitFailure, []string{`there is no guest "web9"`}, "host", "console", "web9", "--config", path)
	checkRefused(t, exitUsage, []string{"name a guest"}, "host", "console")
	_, err := dialConsole(t.Context(), filepath.Join(t.TempDir(), "none"), "web1", 0)
	if err == nil || !strings.Contains(err.Error(), "machine web1 does not run") {
		t.Errorf("error: %v", err)
	}
}
