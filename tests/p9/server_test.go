package p9

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/host"
	"github.com/fsva/fsva/server/p9"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// serveDir, in the environment, makes the test program the server of that
// directory.
const serveDir = "FSVA_TEST_P9_SERVE"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		if err := serve(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	code := m.Run()
	summarize()
	os.Exit(code)
}

// serve serves dir as "data" until standard input ends, and prints the address.
func serve(dir string) error {
	fs, err := host.Open(dir, host.Options{Exclusive: true, Log: zerolog.Nop()})
	if err != nil {
		return err
	}
	defer fs.Close()
	spec, err := export.Parse("data=host:" + dir + ",squash=none")
	if err != nil {
		return err
	}
	exports, err := export.NewTable([]*export.Export{export.New(1, spec, fs)})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := p9.New(p9.Config{Exports: exports, Locks: lock.NewTable(), Log: zerolog.New(os.Stderr)})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		bufio.NewReader(os.Stdin).ReadByte()
		cancel()
	}()
	fmt.Println(l.Addr())
	if err := s.Serve(ctx, l); err != nil {
		return err
	}
	return s.Shutdown(context.Background())
}

// server is a server in a process of its own.
type server struct {
	name, addr, aname string
	pid               int
}

// servers are who is measured.
var servers = map[string]func(testing.TB, string) *server{"fsva": startOurs, "diod": startDiod}

func startOurs(t testing.TB, dir string) *server {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveDir+"="+dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	addr, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal("the server does not start:", err)
	}
	return &server{"fsva", strings.TrimSpace(addr), "data", cmd.Process.Pid}
}

func startDiod(t testing.TB, dir string) *server {
	if _, err := exec.LookPath("diod"); err != nil {
		t.Skip("diod is not installed (Debian package diod)")
	}
	// diod takes an address, not a listener: one that was free a moment ago.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	cmd := exec.Command("diod", "-f", "-n", "-l", addr, "-e", dir, "-L", filepath.Join(t.TempDir(), "log"))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for range 500 {
		nc, err := net.Dial("tcp", addr)
		if err == nil {
			nc.Close()
			return &server{"diod", addr, dir, cmd.Process.Pid}
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("diod does not start")
	return nil
}

// tick is the unit of CPU time in /proc (USER_HZ, the same on all Linux).
const tick = 10 * time.Millisecond

// cpu is the CPU time that the server has used.
func (s *server) cpu(t testing.TB) time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	if err != nil {
		t.Fatal(err)
	}
	// Fields behind the name, which may have blanks in it: proc(5).
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	var sum int
	for _, i := range []int{11, 12} { // utime, stime
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			t.Fatal(err)
		}
		sum += n
	}
	return time.Duration(sum) * tick
}
