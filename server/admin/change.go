package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// NewExport is the body of POST /api/v1/exports.
type NewExport struct {
	Export string `json:"export"` // NAME=URL,OPTION,... as on the command line
}

// failure is the body of an answer that is no success.
type failure struct {
	Error string `json:"error"`
}

// maxBody bounds what is read of a request's body.
const maxBody = 64 << 10

// changes answers what the control socket is for.
func (s *Server) changes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/v1/exports", func(w http.ResponseWriter, r *http.Request) {
		var e NewExport
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&e)
		if err != nil {
			err = fmt.Errorf("the request is not JSON: %w", err)
		} else {
			err = s.cfg.Add(r.Context(), e.Export)
		}
		s.outcome(w, err)
	})
	mux.HandleFunc("DELETE /api/v1/exports/{name}", func(w http.ResponseWriter, r *http.Request) {
		s.outcome(w, s.cfg.Remove(r.Context(), r.PathValue("name")))
	})
	mux.HandleFunc("POST /api/v1/reload", func(w http.ResponseWriter, r *http.Request) {
		s.outcome(w, s.cfg.Reload(r.Context()))
	})
	return mux
}

// outcome answers with what is served now, or why nothing was changed.
func (s *Server) outcome(w http.ResponseWriter, err error) {
	if err != nil {
		s.reply(w, http.StatusConflict, failure{err.Error()})
		return
	}
	s.reply(w, http.StatusOK, struct{}{})
}
