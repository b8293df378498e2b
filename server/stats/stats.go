// Package stats counts what a server does: how often each operation is
// called, with what status it ends and how long it takes.
//
// An [Ops] belongs to one server and is shared by all its connections.
// [Ops.Observe] is on the path of every operation, so it takes no lock and
// allocates nothing; reading, by [Ops.Snapshot] for a person and
// [AppendMetrics] for Prometheus, pays for that with sums that may be an
// operation or two apart from each other.
package stats

import (
	"math/bits"
	"strconv"
	"sync/atomic"
	"time"
)

// Ops counts operations by their number.
type Ops struct {
	rows       []row // the last is for numbers that are no operation
	name       func(op uint32) string
	statusName func(status uint32) string
}

// Option changes how an Ops is made.
type Option func(*Ops)

// WithStatusNames names statuses, which otherwise show as numbers. Different
// statuses must have different names.
func WithStatusNames(name func(status uint32) string) Option {
	return func(o *Ops) { o.statusName = name }
}

// NewOps makes counters for the operations 0 to n-1, which name names, each
// differently.
func NewOps(n int, name func(op uint32) string, options ...Option) *Ops {
	o := &Ops{
		rows:       make([]row, n+1),
		name:       name,
		statusName: func(s uint32) string { return strconv.FormatUint(uint64(s), 10) },
	}
	for _, opt := range options {
		opt(o)
	}
	return o
}

// Observe counts one call that ended with status, 0 for success, and took d.
// Operations of n or above count as one, "unknown".
func (o *Ops) Observe(op, status uint32, d time.Duration) {
	r := &o.rows[min(int(op), len(o.rows)-1)]
	r.took[bucketOf(d)].Add(1)
	r.total.Add(int64(d))
	if status == 0 {
		r.ok.Add(1)
	} else {
		r.failed(status).Add(1)
	}
}

// row is the counters of one operation. Each only grows: ok could be told from
// the others, but a difference of sums read at different times may shrink,
// which Prometheus takes for a restart.
type row struct {
	ok     atomic.Uint64
	took   [numBuckets + 1]atomic.Uint64 // the last: longer than any bound
	total  atomic.Int64                  // nanoseconds
	errors [maxErrors]errorCount
	others atomic.Uint64 // errors that found errors full
}

// maxErrors is how many different errors of an operation are told apart. RFC
// 8881 §15.2 allows few operations more, and a server gives only some of them.
const maxErrors = 32

// errorCount counts one status, the first to claim it.
type errorCount struct {
	status atomic.Uint32 // 0: free
	count  atomic.Uint64
}

// failed returns the counter of a status that is not 0.
func (r *row) failed(status uint32) *atomic.Uint64 {
	for i := range r.errors {
		e := &r.errors[i]
		have := e.status.Load()
		if have == 0 {
			if e.status.CompareAndSwap(0, status) {
				return &e.count
			}
			have = e.status.Load()
		}
		if have == status {
			return &e.count
		}
	}
	return &r.others
}

// Latency falls into buckets whose upper bounds double from 1 µs to 2^23 µs,
// which is 8.4 s.
const numBuckets = 24

// bucketOf returns the first bucket whose bound is not below d, numBuckets if
// there is none.
func bucketOf(d time.Duration) int {
	return min(bits.Len64(uint64((max(d, 1)-1)/time.Microsecond)), numBuckets)
}

// bound returns the upper bound of a bucket.
func bound(bucket int) time.Duration { return time.Microsecond << bucket }
