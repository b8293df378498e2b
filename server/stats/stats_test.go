package stats

import (
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/fsva/fsva/server/exposition/expositiontest"
)

func opName(op uint32) string { return fmt.Sprintf("OP%d", op) }

func TestBucketHoldsWhatItsBoundSays(t *testing.T) {
	for b := range numBuckets {
		if got := bucketOf(bound(b)); got != b {
			t.Errorf("%v is in bucket %d, want %d", bound(b), got, b)
		}
		if got := bucketOf(bound(b) + 1); got != b+1 {
			t.Errorf("%v is in bucket %d, want %d", bound(b)+1, got, b+1)
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, 1: 0, math.MaxInt64: numBuckets} {
		if got := bucketOf(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestSnapshot(t *testing.T) {
	o := NewOps(3, opName, WithStatusNames(func(s uint32) string { return fmt.Sprintf("ERR%d", s) }))
	for range 99 {
		o.Observe(1, 0, 3*time.Microsecond)
	}
	o.Observe(1, 13, time.Second)
	o.Observe(3, 5, time.Minute)
	o.Observe(math.MaxUint32, 0, time.Minute)
	got, err := json.Marshal(o.Snapshot())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"op":"OP1","calls":100,"errors":{"ERR13":1},"seconds":1.000297,"p50":0.000004,"p99":0.000004},` +
		`{"op":"unknown","calls":2,"errors":{"ERR5":1},"seconds":120,"p50":0,"p99":0}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestManyDifferentErrorsAreBounded(t *testing.T) {
	o := NewOps(1, opName)
	for s := range uint32(1000) {
		o.Observe(0, s+1, 0)
	}
	errors := o.Snapshot()[0].Errors
	if len(errors) != maxErrors+1 || errors["1"] != 1 || errors["other"] != 1000-maxErrors {
		t.Errorf("%v", errors)
	}
}

func TestConcurrentCallsAreAllCounted(t *testing.T) {
	o := NewOps(2, opName)
	const workers, calls = 8, 1000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range uint32(calls) {
				o.Observe(1, i%10, time.Duration(i)*time.Microsecond)
			}
		})
	}
	wg.Wait()
	op := o.Snapshot()[0]
	if op.Calls != workers*calls || op.ok != workers*calls/10 || len(op.Errors) != 9 {
		t.Errorf("%+v", op)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	o := NewOps(2, opName)
	if n := testing.AllocsPerRun(100, func() {
		o.Observe(1, 0, time.Millisecond)
		o.Observe(1, 70, time.Millisecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestMetricsOfAllProtocolsShareTheFamilies(t *testing.T) {
	o := NewOps(3, opName)
	o.Observe(2, 0, 2*time.Microsecond)
	o.Observe(2, 70, 2*time.Hour)
	other := NewOps(3, opName)
	other.Observe(1, 0, time.Second)
	text := AppendMetrics(nil, map[string]*Ops{"nfs4": o, "9p": other})
	page, err := expositiontest.Parse(string(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for sample, want := range map[string]float64{
		`fsva_nfs_ops_total{op="OP1",proto="9p",status="OK"}`:          1,
		`fsva_nfs_ops_total{op="OP2",proto="nfs4",status="OK"}`:        1,
		`fsva_nfs_ops_total{op="OP2",proto="nfs4",status="70"}`:        1,
		`fsva_nfs_op_seconds_bucket{op="OP2",proto="nfs4",le="1e-06"}`: 0,
		`fsva_nfs_op_seconds_bucket{op="OP2",proto="nfs4",le="2e-06"}`: 1,
		`fsva_nfs_op_seconds_bucket{op="OP2",proto="nfs4",le="+Inf"}`:  2,
		`fsva_nfs_op_seconds_sum{op="OP2",proto="nfs4"}`:               7200.000002,
		`fsva_nfs_op_seconds_count{op="OP2",proto="nfs4"}`:             2,
		`fsva_nfs_op_seconds_count{op="OP1",proto="9p"}`:               1,
	} {
		if got, ok := page.Samples[sample]; !ok || got != want {
			t.Errorf("%s %v (%t), want %v", sample, got, ok, want)
		}
	}
	if n, want := len(page.Samples), 3+2*(numBuckets+3); n != want {
		t.Errorf("%d samples, want %d", n, want)
	}
	if page.Types["fsva_nfs_ops_total"] != "counter" || page.Types["fsva_nfs_op_seconds"] != "histogram" {
		t.Errorf("types %v", page.Types)
	}
}

func BenchmarkObserve(b *testing.B) {
	o := NewOps(64, opName)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			o.Observe(9, 0, 20*time.Microsecond)
		}
	})
}
