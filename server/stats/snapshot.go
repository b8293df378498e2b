package stats

import "time"

// Op is what was counted of one operation.
type Op struct {
	Name   string            `json:"op"`
	Calls  uint64            `json:"calls"`
	Errors map[string]uint64 `json:"errors,omitempty"` // by status
	// Seconds is the time of all calls together. P50 and P99 are bounds, in
	// seconds, that half and 99 % of the calls kept; they double from one to
	// the next. 0 stands for more than the largest bound, 8.4 s.
	Seconds float64 `json:"seconds"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`

	ok   uint64
	took [numBuckets + 1]uint64
}

// Snapshot returns the operations that were called at least once, by number.
func (o *Ops) Snapshot() []Op {
	var ops []Op
	for i := range o.rows {
		if op, called := o.read(i); called {
			ops = append(ops, op)
		}
	}
	return ops
}

func (o *Ops) read(i int) (op Op, called bool) {
	r := &o.rows[i]
	for b := range r.took {
		op.took[b] = r.took[b].Load()
		op.Calls += op.took[b]
	}
	if op.Calls == 0 {
		return op, false
	}
	op.ok = r.ok.Load()
	op.Name = "unknown"
	if i < len(o.rows)-1 {
		op.Name = o.name(uint32(i))
	}
	op.Seconds = time.Duration(r.total.Load()).Seconds()
	op.P50, op.P99 = op.quantile(50), op.quantile(99)
	for e := range r.errors {
		if n := r.errors[e].count.Load(); n != 0 {
			op.addErrors(o.statusName(r.errors[e].status.Load()), n)
		}
	}
	if n := r.others.Load(); n != 0 {
		op.addErrors("other", n)
	}
	return op, true
}

func (op *Op) addErrors(status string, n uint64) {
	if op.Errors == nil {
		op.Errors = make(map[string]uint64)
	}
	op.Errors[status] += n
}

// quantile returns the bound that percent of the calls kept.
func (op *Op) quantile(percent uint64) float64 {
	need := (op.Calls*percent + 99) / 100
	for b, n := range op.took[:numBuckets] {
		if n >= need {
			return bound(b).Seconds()
		}
		need -= n
	}
	return 0
}
