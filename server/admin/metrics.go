package admin

import (
	"bytes"
	"net/http"
	"strconv"

	"github.com/VictoriaMetrics/metrics"

	"github.com/fsva/fsva/server/exposition"
)

// maxScrapes is how many scrapes are answered at once. Each stops the world
// for a moment to read the runtime's memory, and holds its page until the
// scraper has taken it or writeTimeout is over.
const maxScrapes = 4

// metricsHandler serves GET /metrics. A page is complete before any of it is
// sent, so that no counter waits for a slow scraper.
func metricsHandler(cfg *Config) http.HandlerFunc {
	// Scrapers other than Prometheus ask for the type to know what to do with
	// a number.
	metrics.ExposeMetadata(true)
	scrapes := make(chan struct{}, maxScrapes)
	return func(w http.ResponseWriter, _ *http.Request) {
		select {
		case scrapes <- struct{}{}:
			defer func() { <-scrapes }()
		default:
			http.Error(w, "too many scrapes at once", http.StatusServiceUnavailable)
			return
		}
		page := metricsPage(cfg)
		w.Header().Set("Content-Type", exposition.ContentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(page)))
		if _, err := w.Write(page); err != nil {
			cfg.Log.Debug().Err(err).Msg("metrics not sent")
		}
	}
}

func metricsPage(cfg *Config) []byte {
	page := appendStatus(nil, cfg.Status())
	if cfg.Metrics != nil {
		page = cfg.Metrics(page)
	}
	b := bytes.NewBuffer(page)
	metrics.WriteProcessMetrics(b)
	metrics.WriteFDMetrics(b)
	return b.Bytes()
}

var buildInfo = exposition.Family{
	Name: "fsva_build_info", Help: "1, labelled with the version.",
	Type: exposition.Gauge, Labels: []string{"version"},
}

// appendStatus shows st as metrics.
func appendStatus(page []byte, st Status) []byte {
	page = buildInfo.AppendValue(buildInfo.AppendHeader(page), 1, st.Version)
	gauge := func(name, help string, v float64) {
		f := exposition.Family{Name: name, Help: help, Type: exposition.Gauge}
		page = f.AppendValue(f.AppendHeader(page), v)
	}
	grace := 0.0
	if st.InGrace {
		grace = 1
	}
	gauge("fsva_start_time_seconds", "When the appliance started, in Unix time.", float64(st.Started.UnixMilli())/1e3)
	gauge("fsva_in_grace", "1 while only reclaims of before a restart are granted.", grace)
	gauge("fsva_connections", "Open connections of guests.", float64(st.Connections))
	gauge("fsva_clients", "NFSv4 clients known.", float64(st.Clients))
	gauge("fsva_sessions", "NFSv4 sessions.", float64(st.Sessions))
	gauge("fsva_opens", "Opens held by clients.", float64(st.Opens))
	gauge("fsva_locks", "Lock owners with a stateid, by file.", float64(st.Locks))
	return page
}
