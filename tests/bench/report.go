package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// report is what -o writes.
type report struct {
	Raw   []*result      `json:"raw,omitempty"`
	Scale []*scaleResult `json:"scale,omitempty"`
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

func (rep *report) printRaw(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "workload\tload\tserver\trate/s\tMB/s\tp50\tp99\tCPU µs\tMB/CPU-s\trate ratio\tCPU ratio\t")
	for _, r := range rep.Raw {
		fmt.Fprintf(w, "%s\t%v\t%s\t%s\t%v\t%v\t%s\t%s\t%s\t\n", r.Workload, r.Load, r.Server,
			r.rates(), micros(r.P50), micros(r.P99), number(r.CPU/r.units()), dash(r.MBPerCPUs), rep.ratios(r))
	}
	w.Flush()
	fmt.Fprintln(out, "load: calls outstanding x connections. CPU: server processor time per operation; per entry for readdir.")
	fmt.Fprintln(out, "ratios are this server's over ganesha's: rate above 1 and CPU below 1 are better.")
}

// units is what rates and CPU of a step are divided into.
func (r *result) units() float64 { return float64(max(r.wl.items, 1)) }

func (r *result) rates() string {
	return number(r.Rate*r.units()) + "\t" + dash(r.Rate*float64(r.wl.bytes)/1e6)
}

// ratios compares this server's result with the other one's of the same row.
func (rep *report) ratios(r *result) string {
	if r.Server != "fsva" {
		return "\t"
	}
	for _, o := range rep.Raw {
		if o.Server != r.Server && o.Workload == r.Workload && o.Load == r.Load {
			return fmt.Sprintf("%.2f\t%.2f", r.Rate/o.Rate, r.CPU/o.CPU)
		}
	}
	return "\t"
}

func micros(d time.Duration) string { return d.Round(time.Microsecond).String() }

// progress shows on a terminal what goes on, in place of what it showed
// before.
func progress(what ...any) {
	if _, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS); err == nil {
		fmt.Fprint(os.Stderr, "\r\033[K", fmt.Sprint(what...))
	}
}

// number prints three digits or so.
func number(v float64) string {
	if v < 100 {
		return fmt.Sprintf("%.3g", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func dash(v float64) string {
	if v == 0 {
		return "-"
	}
	return number(v)
}
