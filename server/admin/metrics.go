package admin

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metricsHandler serves GET /metrics.
func metricsHandler(cfg *Config) (http.Handler, error) {
	reg := prometheus.NewRegistry()
	all := append([]prometheus.Collector{
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		&gauges{cfg.Status},
	}, cfg.Collectors...)
	for _, c := range all {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return promhttp.HandlerFor(reg, promhttp.HandlerOpts{
		MaxRequestsInFlight: 4,
		Timeout:             writeTimeout / 2,
	}), nil
}

// gauges shows Status as metrics, taken once for each scrape.
type gauges struct{ status func() Status }

var (
	buildDesc = prometheus.NewDesc("fsva_build_info", "1, labelled with the version.", []string{"version"}, nil)
	startDesc = prometheus.NewDesc("fsva_start_time_seconds", "When the appliance started, in Unix time.", nil, nil)
	graceDesc = prometheus.NewDesc("fsva_in_grace", "1 while only reclaims of before a restart are granted.", nil, nil)
	connsDesc = prometheus.NewDesc("fsva_connections", "Open connections of guests.", nil, nil)
	cliDesc   = prometheus.NewDesc("fsva_clients", "NFSv4 clients known.", nil, nil)
	sessDesc  = prometheus.NewDesc("fsva_sessions", "NFSv4 sessions.", nil, nil)
	openDesc  = prometheus.NewDesc("fsva_opens", "Opens held by clients.", nil, nil)
	lockDesc  = prometheus.NewDesc("fsva_locks", "Lock owners with a stateid, by file.", nil, nil)
)

func (g *gauges) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{buildDesc, startDesc, graceDesc, connsDesc, cliDesc, sessDesc, openDesc, lockDesc} {
		ch <- d
	}
}

func (g *gauges) Collect(ch chan<- prometheus.Metric) {
	st := g.status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	grace := 0.0
	if st.InGrace {
		grace = 1
	}
	gauge(buildDesc, 1, st.Version)
	gauge(startDesc, float64(st.Started.UnixMilli())/1e3)
	gauge(graceDesc, grace)
	gauge(connsDesc, float64(st.Connections))
	gauge(cliDesc, float64(st.Clients))
	gauge(sessDesc, float64(st.Sessions))
	gauge(openDesc, float64(st.Opens))
	gauge(lockDesc, float64(st.Locks))
}
