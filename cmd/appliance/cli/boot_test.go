package cli

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The service of the image is up for systemd while its configuration is broken,
// says at the health address what is wrong and where, and serves when that has
// been mended.
func TestBootServeTellsOfABrokenConfigurationUntilItIsMended(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	await := func(want string) {
		t.Helper()
		for b := make([]byte, 1000); ; {
			n, err := l.Read(b)
			if err != nil {
				t.Fatalf("systemd is not told %q: %v", want, err)
			}
			if strings.Contains(string(b[:n]), want) {
				return
			}
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	admin := free.Addr().String()
	free.Close()

	yaml := filepath.Join(dir, "fsva.yaml")
	write(t, yaml, "nfs: 127.0.0.1:0\nexprts: []\n")
	prepared, err := json.Marshal(map[string]any{"Args": []string{"serve", "--config", yaml, "--admin", admin}, "Admin": admin})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "prepared"), string(prepared))
	cmd := exec.Command(binary, "boot", "serve", filepath.Join(dir, "prepared"))
	log := newLines()
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "notify"), "WATCHDOG_USEC=200000", "WATCHDOG_PID=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()

	await("STATUS=nothing is served: ")
	await("READY=1")
	await("WATCHDOG=1")
	if code, text := health(t, admin); code != 503 || !strings.Contains(text, `fsva.yaml:2: unknown key`) {
		t.Errorf("while the configuration is broken: %d %s", code, text)
	}
	write(t, yaml, "nfs: 127.0.0.1:0\n")
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if !log.wait("health ok") {
		t.Fatalf("it does not serve:\n%s", log)
	}
	await("STATUS=health ok")
	if code, text := health(t, admin); code != 200 {
		t.Errorf("with a good configuration: %d %s", code, text)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log)
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// health asks until the address answers: it changes hands at times.
func health(t *testing.T, admin string) (code int, text string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	var err error
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		var r *http.Response
		if r, err = client.Get("http://" + admin + "/healthz"); err != nil {
			time.Sleep(10 * time.Millisecond) // until somebody listens
			continue
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, string(b)
	}
	t.Fatal(err)
	return 0, ""
}
