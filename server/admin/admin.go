// Package admin serves the control address of the appliance over HTTP: its
// health, its metrics in the format of Prometheus, and a read-only API. It is
// meant for a loopback address: whoever reaches it is not asked who they are.
//
//	GET /healthz           200 "ok", or 503 and a JSON list of reasons
//	GET /metrics           Prometheus text format
//	GET /api/v1/status     Status
//	GET /api/v1/exports    list of Export
//
// What changes the appliance is answered only at its control socket, a Unix
// socket that only its user can connect to; [Status] tells where it is:
//
//	POST   /api/v1/exports         NewExport
//	DELETE /api/v1/exports/{name}
//	POST   /api/v1/reload
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
	Control   string    `json:"control"`    // socket, empty if there is none
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
	Health  func() []string
	Status  func() Status
	Exports func(context.Context) []Export
	Log     zerolog.Logger

	// Metrics appends whole families to a page of package exposition, other
	// ones than those of the Go runtime, the process and Status; nil for
	// none.
	Metrics func(page []byte) []byte

	// What the control socket is for.
	Add    func(ctx context.Context, export string) error
	Remove func(ctx context.Context, name string) error
	Reload func(context.Context) error
}

// Bounds on what a caller of the control address may take.
const (
	maxHeader    = 16 << 10
	readTimeout  = 5 * time.Second
	writeTimeout = 30 * time.Second
	idleTimeout  = 2 * time.Minute
)

// Server answers on the control address and the control socket.
type Server struct {
	cfg     Config
	http    http.Server
	control http.Server
}

// New makes a Server.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", s.health)
	mux.HandleFunc("GET /metrics", metricsHandler(&s.cfg))
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) {
		s.reply(w, http.StatusOK, s.cfg.Status())
	})
	mux.HandleFunc("GET /api/v1/exports", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, http.StatusOK, s.cfg.Exports(r.Context()))
	})
	s.bound(&s.http, mux)
	s.bound(&s.control, s.changes())
	return s
}

// bound has h answer on srv, within bounds.
func (s *Server) bound(srv *http.Server, h http.Handler) {
	srv.Handler = h
	srv.ReadHeaderTimeout = readTimeout
	srv.ReadTimeout = readTimeout
	srv.WriteTimeout = writeTimeout
	srv.IdleTimeout = idleTimeout
	srv.MaxHeaderBytes = maxHeader
	srv.ErrorLog = log.New(s.cfg.Log, "", 0)
}

// Serve answers on the control address until Shutdown and then returns nil.
func (s *Server) Serve(l net.Listener) error { return serve(&s.http, l) }

// ServeControl is Serve for the control socket. Who can connect to it is not
// asked who they are either.
func (s *Server) ServeControl(l net.Listener) error { return serve(&s.control, l) }

func serve(srv *http.Server, l net.Listener) error {
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown lets requests under way finish, until ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return shutdown(ctx, &s.http) }

// ShutdownControl is Shutdown for the control socket.
func (s *Server) ShutdownControl(ctx context.Context) error { return shutdown(ctx, &s.control) }

func shutdown(ctx context.Context, srv *http.Server) error {
	if err := srv.Shutdown(ctx); err != nil {
		return srv.Close()
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
