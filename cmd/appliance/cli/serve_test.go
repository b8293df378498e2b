package cli

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/fsva/fsva/server/admin"
	"github.com/fsva/fsva/server/exposition/expositiontest"
	"github.com/fsva/fsva/tests/nfs41"
)

func status(t *testing.T, p *process) (st admin.Status) {
	t.Helper()
	if err := admin.Get(t.Context(), p.admin, "/api/v1/status", &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func exportNames(t *testing.T, p *process) (names string) {
	t.Helper()
	var list []admin.Export
	if err := admin.Get(t.Context(), p.admin, "/api/v1/exports", &list); err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		names += e.Name + "(" + e.Options + ") "
	}
	return strings.TrimSpace(names)
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestServePrintsMountCommandsThenReady(t *testing.T) {
	p := serveProcess(t)
	at := netip.MustParseAddrPort(p.nfs)
	want := mountCommand(at, "mem")
	if len(p.before) != 1 || p.before[0] != want {
		t.Errorf("before ready: %q, want %q", p.before, want)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestMountCommandNamesTheAddress(t *testing.T) {
	for at, want := range map[string]string{
		"127.0.0.1:2049":     "mount -t nfs4 -o vers=4.2,port=2049 127.0.0.1:/data /mnt",
		"[fd00::1]:2050":     "mount -t nfs4 -o vers=4.2,port=2050 [fd00::1]:/data /mnt",
		"0.0.0.0:2049":       "mount -t nfs4 -o vers=4.2,port=2049 ADDRESS:/data /mnt",
		"[::]:2049":          "mount -t nfs4 -o vers=4.2,port=2049 ADDRESS:/data /mnt",
		"[::ffff:1.2.3.4]:1": "mount -t nfs4 -o vers=4.2,port=1 1.2.3.4:/data /mnt",
	} {
		if got := mountCommand(netip.MustParseAddrPort(at), "data"); got != want {
			t.Errorf("%s: %s", at, got)
		}
	}
}

// The whole of it: a client mounts, the process is killed, and after its
// restart the filehandle leads to the same file.
func TestHandleOutlivesAKilledAppliance(t *testing.T) {
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "hello"), []byte("hello, guest"), 0o644); err != nil {
		t.Fatal(err)
	}
	args := []string{"--state", t.TempDir(), "--export", "data=host:" + data, "--export", "scratch=mem:"}
	p := serveProcess(t, args...)
	guest := nfs41.Config{Owner: "the same guest"} // grace ends when it says that it is done
	s, err := nfs41.Mount(p.nfs, guest)
	if err != nil {
		t.Fatal(err)
	}
	file, err := s.Walk("data", "hello")
	if err != nil {
		t.Fatal(err)
	}
	if st := status(t, p); st.Connections != 1 || st.Clients != 1 || st.Sessions != 1 {
		t.Errorf("with one client: %+v", st.Counts)
	}
	_, metrics := get(t, "http://"+p.admin+"/metrics")
	for _, want := range []string{`fsva_nfs_ops_total{op="LOOKUP",proto="nfs4",status="OK"} 2`, `fsva_nfs_op_seconds_count{op="LOOKUP",proto="nfs4"} 2`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("no %s in the metrics", want)
		}
	}
	p.end(syscall.SIGKILL)
	s.Disconnect()

	p = serveProcess(t, args...)
	if s, err = nfs41.Mount(p.nfs, guest); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	read := nfs41.Read{Count: 100}
	if err := s.Do(nfs41.PutFH(file), &read); err != nil || string(read.Data) != "hello, guest" {
		t.Errorf("read %q, %v", read.Data, err)
	}
}

func TestSignalEndsServeWellAndStateCarriesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	args := []string{"--state", dir, "--export", "data=host:" + t.TempDir()}
	for i, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL, syscall.SIGTERM} {
		p := serveProcess(t, args...)
		if st := status(t, p); st.BootCount != uint64(i+1) || st.State != dir {
			t.Errorf("start %d: %+v", i+1, st)
		}
		code := p.end(sig)
		if want := map[bool]int{true: -1}[sig == syscall.SIGKILL]; code != want {
			t.Errorf("%v: exit code %d", sig, code)
		}
	}
}

func TestExportsInMemoryAloneNeedNoState(t *testing.T) {
	if st := status(t, serveProcess(t)); st.State != "" {
		t.Errorf("state in %s", st.State)
	}
}

func TestHealthAndMetrics(t *testing.T) {
	p := serveProcess(t)
	if code, body := get(t, "http://"+p.admin+"/healthz"); code != 200 || strings.TrimSpace(body) != "ok" {
		t.Errorf("healthz: %d %q", code, body)
	}
	s, err := nfs41.Mount(p.nfs, nfs41.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Disconnect()
	if _, err := s.Walk("nowhere"); !errors.Is(err, nfs41.NFS4ERR_NOENT) {
		t.Fatal(err)
	}
	_, body := get(t, "http://"+p.admin+"/metrics")
	if _, err := expositiontest.Parse(body); err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	for _, name := range []string{
		"fsva_clients 1", "fsva_sessions 1", "fsva_opens 0", "fsva_connections 1", "go_goroutines ", "process_open_fds ",
		`fsva_nfs_ops_total{op="LOOKUP",proto="nfs4",status="NFS4ERR_NOENT"} 1`,
		`fsva_nfs_ops_total{op="EXCHANGE_ID",proto="nfs4",status="OK"} 1`,
		`fsva_nfs_op_seconds_bucket{op="LOOKUP",proto="nfs4",le="+Inf"} 1`,
		`fsva_nfs_op_seconds_sum{op="LOOKUP",proto="nfs4"} `,
	} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no metric %s", name)
		}
	}
}

func TestStatusAndExportListAskTheAppliance(t *testing.T) {
	p := serveProcess(t, "--export", "a=mem:,ro", "--export", "b=mem:?size=1M")
	code, out, _ := command(t, "status", "--admin", p.admin)
	if code != 0 || !strings.Contains(out, p.nfs) {
		t.Errorf("status: %d %s", code, out)
	}
	code, out, _ = command(t, "status", "-o", "json", "--admin", p.admin)
	var st admin.Status
	if err := json.Unmarshal([]byte(out), &st); code != 0 || err != nil || st.NFS != p.nfs || st.Admin != p.admin {
		t.Errorf("status -o json: %d %s", code, out)
	}
	code, out, _ = command(t, "export", "list", "--admin", p.admin)
	if rows := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(rows) != 3 || !strings.HasPrefix(rows[1], "a ") {
		t.Errorf("export list: %d %s", code, out)
	}
	code, out, _ = command(t, "export", "list", "-o", "json", "--admin", p.admin)
	var list []admin.Export
	if err := json.Unmarshal([]byte(out), &list); code != 0 || err != nil || len(list) != 2 || !list[0].ReadOnly || list[1].URL != "mem:?size=1M" {
		t.Errorf("export list -o json: %d %s", code, out)
	}
}

func TestControlAddressCanBeOff(t *testing.T) {
	if p := serveOn(t, "--nfs", "127.0.0.1:0", "--admin", "off"); p.admin != "off" {
		t.Errorf("admin=%s", p.admin)
	}
}

func TestServeGoesOnWithoutTheDefaultControlAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:9049")
	if err == nil {
		defer l.Close()
	} // else somebody else has it, which is as good
	p := serveOn(t, "--nfs", "127.0.0.1:0")
	if p.admin != "off" || !p.log.wait("127.0.0.1:9049") {
		t.Errorf("admin=%s, log %s", p.admin, p.log)
	}
}

func TestReloadAddsAndRemovesExports(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fsva.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("exports: [a=mem, b=mem]\n")
	p := serveProcess(t, "--config", path)
	if got := exportNames(t, p); got != "a() b()" {
		t.Fatalf("at the start: %s", got)
	}
	write("lease: 10s\nexports: [{name: a, url: mem, ro: true}, c=mem]\n")
	p.reload(`"message":"reloaded"`)
	if got := exportNames(t, p); got != "a(ro) c()" {
		t.Errorf("after the reload: %s", got)
	}
	for _, want := range []string{`"key":"lease"`, `"export":"b","url":"mem","time"`, "export options changed"} {
		if !strings.Contains(p.log.String(), want) {
			t.Errorf("no %s in the log:\n%s", want, p.log)
		}
	}
	write("exports: [a=mem, d=host:/nowhere/at/all]\n")
	p.reload("not reloaded")
	write("export: []\n")
	p.reload("unknown key")
	if got := exportNames(t, p); got != "a(ro) c()" {
		t.Errorf("after failed reloads: %s", got)
	}
	if code := p.end(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
