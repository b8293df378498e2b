// Package admin serves the control address of the appliance over HTTP: its
// health, its metrics in the format of Prometheus, and a read-only API. It is
// meant for a loopback address: whoever reaches it is not asked who they are.
//
//	GET /healthz           200 "ok", or 503 and a JSON list of reasons
//	GET /metrics           Prometheus text format
//	GET /api/v1/status     Status
//	GET /api/v1/exports    list of Export
//
// The package knows nothing of the rest of the appliance but what the
// functions in [Config] tell it. [Get] is the client of the API.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Status is what the appliance says of itself.
type Status struct {
	Version   string    `json:"version"`
	PID       int       `json:"pid"`
	Started   time.Time `json:"started"`
	BootCount uint64    `json:"boot_count"` // starts on this state directory, this one included
	NFS       string    `json:"nfs"`        // address served
	Admin     string    `json:"admin"`      // address served
	State     string    `json:"state"`      // directory, empty if nothing survives a restart
	Lease     float64   `json:"lease_seconds"`
	Grace     float64   `json:"grace_seconds"`
	InGrace   bool      `json:"in_grace"` // only reclaims of before the restart are granted
	Counts
}

// Counts are what guests hold at the moment.
type Counts struct {
	Connections int `json:"connections"`
	Clients     int `json:"clients"`
	Sessions    int `json:"sessions"`
	Opens       int `json:"opens"`
	Locks       int `json:"locks"` // lock owners with a stateid, by file
}

// Export is one file system that is served.
type Export struct {
	ID       uint32 `json:"id"` // in file handles; the same after a restart
	Name     string `json:"name"`
	URL      string `json:"url"`
	Options  string `json:"options"` // as they were given
	ReadOnly bool   `json:"read_only"`
	Volatile bool   `json:"volatile"`    // gone with the process
	OneUser  bool   `json:"single_user"` // the adapter acts as the one user it runs as
	Total    uint64 `json:"total_bytes"`
	Avail    uint64 `json:"avail_bytes"`
	Error    string `json:"error,omitempty"` // why the space is not known
}

// Config is what a Server tells about. The functions are called for each
// request, from many goroutines at once.
type Config struct {
	// Health returns the reasons why the appliance cannot serve now, none
	// if it can.
	Health     func() []string
	Status     func() Status
	Exports    func(context.Context) []Export
	Collectors []prometheus.Collector // beside those of the Go runtime, the process and Counts
	Log        zerolog.Logger
}

// Bounds on what a caller of the control address may take.
const (
	maxHeader    = 16 << 10
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
)

// Server answers on the control address.
type Server struct {
	cfg  Config
	http http.Server
}

// New makes a Server; it fails if two collectors have a metric in common.
func New(cfg Config) (*Server, error) {
	metrics, err := metricsHandler(&cfg)
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.Handle("GET /metrics", metrics)
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		s.reply(w, http.StatusOK, s.cfg.Status())
	})
	mux.HandleFunc("GET /api/v1/exports", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, http.StatusOK, s.cfg.Exports(r.Context()))
	})
	s.http = http.Server{
		Handler:           mux,
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          log.New(cfg.Log, "", 0),
	}
	return s, nil
}

// Serve answers on l until Shutdown and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown lets requests under way finish, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// health answers GET /healthz.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	if reasons := s.cfg.Health(); len(reasons) > 0 {
		s.reply(w, http.StatusServiceUnavailable, map[string][]string{"reasons": reasons})
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write([]byte("ok\n"))
}

// reply sends v as JSON.
func (s *Server) reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		s.cfg.Log.Debug().Err(err).Msg("control reply not sent")
	}
}
