package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// report is what -o writes.
type report struct {
	Raw     []*result      `json:"raw,omitempty"`
	Guest   []*guestResult `json:"guest,omitempty"`
	Machine []*guestResult `json:"machine,omitempty"`
	Scale   []*scaleResult `json:"scale,omitempty"`
}

// A result is one workload under one load on one server.
type result struct {
	Workload string  `json:"workload"`
	Load     load    `json:"load"`
	Server   string  `json:"server"`
	Rounds   []round `json:"rounds"`

	// Medians of the rounds. A step is one operation, or one directory.
	Rate      float64       `json:"steps_per_second"`
	P50       time.Duration `json:"p50_ns"`
	P99       time.Duration `json:"p99_ns"`
	CPU       float64       `json:"server_cpu_us_per_step"`
	MBPerCPUs float64       `json:"mb_per_server_cpu_second,omitempty"`

	wl workload
}

func (rep *report) measureRaw(ctx context.Context, cfg config, servers []*server) error {
	for _, wl := range workloads {
		if !cfg.match.MatchString(wl.name) {
			continue
		}
		for _, l := range cfg.loads {
			if wl.serial && l.Depth > 1 {
				continue
			}
			rs, err := measureOne(ctx, cfg, servers, wl, l)
			if err != nil {
				return err
			}
			rep.Raw = append(rep.Raw, rs...)
		}
	}
	return nil
}

// measureOne takes turns between the servers.
func measureOne(ctx context.Context, cfg config, servers []*server, wl workload, l load) ([]*result, error) {
	var rs []*result
	for _, s := range servers {
		rs = append(rs, &result{Workload: wl.name, Load: l, Server: s.name, wl: wl})
	}
	for range cfg.rounds {
		for i, s := range servers {
			progress(wl.name, " ", l, " ", s.name)
			r, err := measure(ctx, s, wl, l, cfg.duration)
			if err != nil {
				return nil, fmt.Errorf("%s %v on %s: %w", wl.name, l, s.name, err)
			}
			rs[i].Rounds = append(rs[i].Rounds, r)
		}
	}
	progress()
	for _, r := range rs {
		r.summarize()
	}
	return rs, nil
}

func (r *result) summarize() {
	r.Rate = medianOf(r.Rounds, func(m round) float64 { return float64(m.Ops) / m.Time.Seconds() })
	r.P50 = medianOf(r.Rounds, func(m round) time.Duration { return m.P50 })
	r.P99 = medianOf(r.Rounds, func(m round) time.Duration { return m.P99 })
	r.CPU = medianOf(r.Rounds, func(m round) float64 { return float64(m.CPU.Nanoseconds()) / 1e3 / float64(m.Ops) })
	r.MBPerCPUs = float64(r.wl.bytes) / r.CPU // bytes per µs are MB per s
}

// medianOf returns the middle of f over xs, the lower of two.
func medianOf[T any, V cmp.Ordered](xs []T, f func(T) V) V {
	vs := make([]V, len(xs))
	for i, x := range xs {
		vs[i] = f(x)
	}
	slices.Sort(vs)
	return vs[(len(vs)-1)/2]
}
