package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// start serves cfg on a free port until the test ends.
func start(t *testing.T, cfg Config) (addr string) {
	t.Helper()
	cfg.Log = zerolog.Nop()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Error("shutdown:", err)
		}
		if err := <-done; err != nil {
			t.Error("serve:", err)
		}
	})
	return l.Addr().String()
}

func config() Config {
	return Config{
		Health: func() []string { return nil },
		Status: func() Status {
			return Status{Version: "v9", Started: time.Unix(1000, 0), Counts: Counts{Connections: 1, Clients: 2, Sessions: 3, Opens: 4, Locks: 5}}
		},
		Exports: func(context.Context) []Export { return []Export{{ID: 7, Name: "data", URL: "mem:"}} },
	}
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

func TestHealthIsOKOrNamesTheReasons(t *testing.T) {
	cfg := config()
	var reasons []string
	cfg.Health = func() []string { return reasons }
	addr := start(t, cfg)
	if status, body := get(t, "http://"+addr+"/healthz"); status != 200 || strings.TrimSpace(body) != "ok" {
		t.Errorf("healthy: %d %q", status, body)
	}
	reasons = []string{"state: no space left on device"}
	status, body := get(t, "http://"+addr+"/healthz")
	var got struct{ Reasons []string }
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if status != 503 || len(got.Reasons) != 1 || got.Reasons[0] != reasons[0] {
		t.Errorf("unhealthy: %d %q", status, body)
	}
}

func TestMetricsShowCountsAndCollectors(t *testing.T) {
	cfg := config()
	calls := prometheus.NewCounter(prometheus.CounterOpts{Name: "fsva_calls_total", Help: "Calls."})
	calls.Add(17)
	cfg.Collectors = []prometheus.Collector{calls}
	_, body := get(t, "http://"+start(t, cfg)+"/metrics")
	for _, line := range []string{
		`fsva_build_info{version="v9"} 1`, "fsva_start_time_seconds 1000", "fsva_in_grace 0",
		"fsva_connections 1", "fsva_clients 2", "fsva_sessions 3", "fsva_opens 4", "fsva_locks 5",
		"fsva_calls_total 17",
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no line %q", line)
		}
	}
	for _, name := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(body, "\n"+name) {
			t.Errorf("no metric %q", name)
		}
	}
}

func TestTwoCollectorsOfOneNameAreRefused(t *testing.T) {
	cfg := config()
	cfg.Collectors = []prometheus.Collector{prometheus.NewCounter(prometheus.CounterOpts{Name: "fsva_clients", Help: "Other."})}
	if _, err := New(cfg); err == nil {
		t.Error("accepted")
	}
}

func TestGetReadsTheAPI(t *testing.T) {
	addr := start(t, config())
	var st Status
	if err := Get(t.Context(), addr, "/api/v1/status", &st); err != nil {
		t.Fatal(err)
	}
	if st.Version != "v9" || st.Opens != 4 {
		t.Errorf("status %+v", st)
	}
	var exports []Export
	if err := Get(t.Context(), addr, "/api/v1/exports", &exports); err != nil {
		t.Fatal(err)
	}
	if len(exports) != 1 || exports[0].ID != 7 || exports[0].Name != "data" {
		t.Errorf("exports %+v", exports)
	}
	if err := Get(t.Context(), addr, "/api/v1/nothing", &st); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("unknown path: %v", err)
	}
}

func TestChangingMethodsAreRefused(t *testing.T) {
	res, err := http.Post("http://"+start(t, config())+"/api/v1/status", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", res.Status)
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	req, err := http.NewRequest("GET", "http://"+start(t, config())+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Long", strings.Repeat("x", 4*maxHeader))
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return // the server closed before the header was through: refused too
	}
	res.Body.Close()
	if res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("long header: %s", res.Status)
	}
}
