package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// print writes the report as a table or as JSON.
func (rep *report) print(out io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(rep)
	}
	if len(rep.Raw) > 0 {
		rep.printRaw(out)
	}
	if len(rep.Guest) > 0 {
		rep.printGuest(out)
	}
	if len(rep.Machine) > 0 {
		rep.printMachine(out)
	}
	if len(rep.Scale) > 0 {
		rep.printScale(out)
	}
	return nil
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

func (rep *report) printGuest(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nin a guest\tserver\tseconds\tleast\tmost\tserver CPU s\ttime over local\tspeed ratio\tCPU ratio\t")
	for _, r := range rep.Guest {
		least, most := r.extremes()
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.2f\t%s\t%s\t%s\t\n", r.Chore, r.Server, r.Time.Seconds(),
			least.Seconds(), most.Seconds(), dash(r.CPU.Seconds()), rep.overLocal(r), rep.guestRatios(r))
	}
	w.Flush()
	fmt.Fprintln(out, "local: an ext4 disk of the guest. Ratios are this server's over ganesha's, for speed that of")
	fmt.Fprintln(out, "ganesha's seconds to this server's: speed above 1 and CPU below 1 are better.")
}

func (rep *report) printMachine(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nby virtio\tserver\tseconds\tleast\tmost\tserver CPU s\tspeed ratio\t")
	for _, r := range rep.Machine {
		least, most := r.extremes()
		ratio := ""
		if r.Server != "fsva" {
			ratio = fmt.Sprintf("%.2f", r.Time.Seconds()/find(rep.Machine, r.Chore, "fsva").Time.Seconds())
		}
		fmt.Fprintf(w, "%s\t%s\t%.2f\t%.2f\t%.2f\t%s\t%s\t\n", r.Chore, r.Server, r.Time.Seconds(),
			least.Seconds(), most.Seconds(), dash(r.CPU.Seconds()), ratio)
	}
	w.Flush()
	fmt.Fprintln(out, "The ratio is of a peer's seconds to this server's: above 1 this server is faster.")
}

// extremes are the least and the most time of a round.
func (r *guestResult) extremes() (least, most time.Duration) {
	byTime := func(a, b guestRound) int { return cmp.Compare(a.Time, b.Time) }
	return slices.MinFunc(r.Rounds, byTime).Time, slices.MaxFunc(r.Rounds, byTime).Time
}

// find returns the result of a chore on a server, or nil.
func find(results []*guestResult, chore, server string) *guestResult {
	for _, r := range results {
		if r.Chore == chore && r.Server == server {
			return r
		}
	}
	return nil
}

// overLocal compares the time on a mount with that on the guest's disk.
func (rep *report) overLocal(r *guestResult) string {
	if r.Server == local {
		return ""
	}
	return fmt.Sprintf("%.2f", r.Time.Seconds()/find(rep.Guest, r.Chore, local).Time.Seconds())
}

func (rep *report) guestRatios(r *guestResult) string {
	g := find(rep.Guest, r.Chore, "ganesha")
	if r.Server != "fsva" || g == nil {
		return "\t"
	}
	return fmt.Sprintf("%.2f\t%.2f", g.Time.Seconds()/r.Time.Seconds(), r.CPU.Seconds()/g.CPU.Seconds())
}

func micros(d time.Duration) string { return d.Round(time.Microsecond).String() }

func (rep *report) printScale(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\nserver\tRSS at start\tidle clients\tRSS\tin\topen files\tRSS\tin\tlimit\t")
	for _, r := range rep.Scale {
		verdict := "met"
		if r.Full > scaleLimit {
			verdict = "EXCEEDED"
		}
		fmt.Fprintf(w, "%s\t%d MiB\t%d\t%d MiB\t%v\t%d\t%d MiB\t%v\t%d MiB %s\t\n", r.Server, r.Start/mib,
			r.Clients, r.Idle/mib, r.ClientsTime.Round(time.Millisecond),
			r.Opens, r.Full/mib, r.OpensTime.Round(time.Millisecond), scaleLimit/mib, verdict)
	}
	w.Flush()
}

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
