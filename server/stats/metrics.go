package stats

import (
	"maps"
	"slices"

	"github.com/fsva/fsva/server/exposition"
)

var (
	opsTotal = exposition.Family{
		Name: "fsva_nfs_ops_total", Help: "Operations served, by the status they ended with.",
		Type: exposition.Counter, Labels: []string{"op", "proto", "status"},
	}
	opSeconds = exposition.Family{
		Name: "fsva_nfs_op_seconds", Help: "Time from the start of an operation to its result.",
		Type: exposition.Histogram, Labels: []string{"op", "proto"},
	}
)

// AppendMetrics appends the counters to a page for Prometheus:
//
//	fsva_nfs_ops_total{proto,op,status}  calls, status "OK" for success
//	fsva_nfs_op_seconds{proto,op}        histogram of how long they took
//
// It takes those of all protocols at once, by their names, because they share
// the two families. An operation shows from its first call on.
func AppendMetrics(page []byte, protos map[string]*Ops) []byte {
	names := slices.Sorted(maps.Keys(protos))
	snapshots := make([][]Op, len(names))
	for i, proto := range names {
		snapshots[i] = protos[proto].Snapshot()
	}

	page = opsTotal.AppendHeader(page)
	for i, proto := range names {
		for _, op := range snapshots[i] {
			page = opsTotal.AppendValue(page, float64(op.ok), op.Name, proto, "OK")
			for _, status := range slices.Sorted(maps.Keys(op.Errors)) {
				page = opsTotal.AppendValue(page, float64(op.Errors[status]), op.Name, proto, status)
			}
		}
	}

	var bounds [numBuckets]float64
	for b := range bounds {
		bounds[b] = bound(b).Seconds()
	}
	page = opSeconds.AppendHeader(page)
	for i, proto := range names {
		for _, op := range snapshots[i] {
			page = opSeconds.AppendHistogram(page, bounds[:], op.took[:], op.Seconds, op.Name, proto)
		}
	}
	return page
}
