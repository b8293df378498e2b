package stats

import "github.com/prometheus/client_golang/prometheus"

// Collector gives the counters to Prometheus, as those of the protocol proto:
//
//	fsva_nfs_ops_total{proto,op,status}  calls, status "OK" for success
//	fsva_nfs_op_seconds{proto,op}        histogram of how long they took
//
// An operation shows from its first call on.
func (o *Ops) Collector(proto string) prometheus.Collector {
	labels := prometheus.Labels{"proto": proto}
	return &collector{
		ops:   o,
		total: prometheus.NewDesc("fsva_nfs_ops_total", "Operations served, by the status they ended with.", []string{"op", "status"}, labels),
		took:  prometheus.NewDesc("fsva_nfs_op_seconds", "Time from the start of an operation to its result.", []string{"op"}, labels),
	}
}

type collector struct {
	ops         *Ops
	total, took *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.total
	ch <- c.took
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, op := range c.ops.Snapshot() {
		ch <- c.count(&op, "OK", op.ok)
		for status, n := range op.Errors {
			ch <- c.count(&op, status, n)
		}
		upTo, sum := make(map[float64]uint64, numBuckets), uint64(0)
		for b, n := range op.took[:numBuckets] {
			sum += n
			upTo[bound(b).Seconds()] = sum
		}
		ch <- prometheus.MustNewConstHistogram(c.took, op.Calls, op.Seconds, upTo, op.Name)
	}
}

func (c *collector) count(op *Op, status string, n uint64) prometheus.Metric {
	return prometheus.MustNewConstMetric(c.total, prometheus.CounterValue, float64(n), op.Name, status)
}
