package p9

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"text/tabwriter"
	"time"
)

// round is one measurement of one server.
type round struct {
	rate float64 // requests in a second
	cpu  float64 // µs of the server for one
}

// results are the rounds of each benchmark, by server. Benchmarks run one after
// the other.
var results = make(map[string]map[string][]round)

// tooShort is a round with which go test only looks for the number of requests
// to measure with. CPU time is counted in ticks of 10 ms.
const tooShort = 300 * time.Millisecond

func record(name, server string, requests int, took, cpu time.Duration) {
	if took < tooShort {
		return
	}
	if results[name] == nil {
		results[name] = make(map[string][]round)
	}
	results[name][server] = append(results[name][server],
		round{float64(requests) / took.Seconds(), float64(cpu.Microseconds()) / float64(requests)})
}

// summarize prints medians, and what the one server does for a second of CPU
// time when the other does 1.
func summarize() {
	if len(results) == 0 {
		return
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	fmt.Fprintln(w, "| request\t| rate/s\t| CPU µs\t| diod rate/s\t| CPU µs\t| rate ratio\t| work per CPU second, ratio\t|")
	fmt.Fprintln(w, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, name := range slices.Sorted(maps.Keys(results)) {
		ours, theirs := median(results[name]["fsva"]), median(results[name]["diod"])
		fmt.Fprintf(w, "| %s\t| %.0f\t| %.1f\t| %.0f\t| %.1f\t| %.2f\t| %.2f\t|\n",
			name, ours.rate, ours.cpu, theirs.rate, theirs.cpu, ours.rate/theirs.rate, theirs.cpu/ours.cpu)
	}
	w.Flush()
}

func median(rounds []round) round {
	if len(rounds) == 0 {
		return round{}
	}
	of := func(value func(round) float64) float64 {
		var all []float64
		for _, r := range rounds {
			all = append(all, value(r))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return round{of(func(r round) float64 { return r.rate }), of(func(r round) float64 { return r.cpu })}
}
