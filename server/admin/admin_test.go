package admin

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/exposition"
	"github.com/fsva/fsva/server/exposition/expositiontest"
)

// start serves cfg on a free port until the test ends.
func start(t *testing.T, cfg Config) (addr string) {
	t.Helper()
	cfg.Log = zerolog.Nop()
	s := New(cfg)
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

func TestMetricsShowStatusRuntimeAndProcess(t *testing.T) {
	cfg := config()
	calls := exposition.Family{Name: "fsva_calls_total", Help: "Calls.", Type: exposition.Counter}
	cfg.Metrics = func(page []byte) []byte { return calls.AppendValue(calls.AppendHeader(page), 17) }
	res, err := http.Get("http://" + start(t, cfg) + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got := res.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	page, err := expositiontest.Parse(string(body))
	if err != nil {
		t.Fatalf("%v\n%s", err, body)
	}
	for sample, want := range map[string]float64{
		`fsva_build_info{version="v9"}`: 1, "fsva_start_time_seconds": 1000, "fsva_in_grace": 0,
		"fsva_connections": 1, "fsva_clients": 2, "fsva_sessions": 3, "fsva_opens": 4, "fsva_locks": 5,
		"fsva_calls_total": 17,
	} {
		if got, ok := page.Samples[sample]; !ok || got != want {
			t.Errorf("%s %v (%t), want %v", sample, got, ok, want)
		}
		family, _, _ := strings.Cut(sample, "{")
		if page.Help[family] == "" || page.Types[family] == "" {
			t.Errorf("%s: help %q, type %q", family, page.Help[family], page.Types[family])
		}
	}
	// Names that dashboards and alerts for programs in Go ask for.
	for _, name := range []string{
		"go_goroutines", "go_threads", "go_gc_duration_seconds_count", "go_memstats_alloc_bytes", "go_memstats_heap_inuse_bytes",
		"go_memstats_sys_bytes", "process_cpu_seconds_total", "process_max_fds", "process_open_fds",
		"process_resident_memory_bytes", "process_start_time_seconds", "process_virtual_memory_bytes",
	} {
		if _, ok := page.Samples[name]; !ok {
			t.Errorf("no %s", name)
		}
	}
}

func TestTooManyScrapesAtOnceAreRefused(t *testing.T) {
	cfg := config()
	begun, end := make(chan struct{}), make(chan struct{})
	cfg.Metrics = func(page []byte) []byte {
		begun <- struct{}{}
		<-end
		return page
	}
	url := "http://" + start(t, cfg) + "/metrics"
	var scrapes sync.WaitGroup
	for range maxScrapes {
		scrapes.Go(func() {
			if status, _ := get(t, url); status != http.StatusOK {
				t.Errorf("scrape: %d", status)
			}
		})
	}
	for range maxScrapes {
		<-begun
	}
	if status, _ := get(t, url); status != http.StatusServiceUnavailable {
		t.Errorf("one too many: %d", status)
	}
	close(end)
	scrapes.Wait()
	go func() { <-begun }()
	if status, _ := get(t, url); status != http.StatusOK {
		t.Errorf("after the others: %d", status)
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
