package main

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

func TestLoadsAreCallsTimesConnections(t *testing.T) {
	got, err := parseLoads("1x1,16x4")
	if want := []load{{1, 1}, {16, 4}}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "4", "0x1", "1x0", "1x2", "65x1", "16x4,", "axb"} {
		if l, err := parseLoads(bad); err == nil {
			t.Errorf("%q taken for %v", bad, l)
		}
	}
}

func TestCheckSeesOneWrongByte(t *testing.T) {
	const off = 3 * mib
	data := slices.Clone(pattern[off : off+4*kib])
	at := uint64(len(pattern) + off)
	if err := check(data, at); err != nil {
		t.Error(err)
	}
	data[100]++
	if check(data, at) == nil {
		t.Error("wrong byte not seen")
	}
}

func TestMedianIsTheMiddle(t *testing.T) {
	for _, tt := range []struct {
		in   []int
		want int
	}{{[]int{5}, 5}, {[]int{9, 1, 5}, 5}, {[]int{4, 3, 2, 1}, 2}} {
		if got := medianOf(tt.in, func(v int) int { return v }); got != tt.want {
			t.Errorf("%v: %d", tt.in, got)
		}
	}
}

func TestDriveCountsEveryStepAndStopsAtAnError(t *testing.T) {
	var n atomic.Int64
	step := func() error { n.Add(1); return nil }
	lat, err := drive(context.Background(), []task{{step: step}, {step: step}}, time.Millisecond)
	if err != nil || int64(len(lat)) != n.Load() || len(lat) < 2 {
		t.Errorf("%d latencies of %d steps, %v", len(lat), n.Load(), err)
	}
	wrong := errors.New("wrong")
	if _, err := drive(context.Background(), []task{{step: step}, {step: func() error { return wrong }}}, time.Millisecond); err != wrong {
		t.Errorf("%v", err)
	}
}

func TestEachStopsAtTheFirstError(t *testing.T) {
	wrong := errors.New("wrong")
	if err := each(t.Context(), 1000, func(i int) error {
		if i == 7 {
			return wrong
		}
		return nil
	}); err != wrong {
		t.Errorf("%v", err)
	}
	if err := each(t.Context(), 100, func(int) error { return nil }); err != nil {
		t.Errorf("%v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := each(ended, 100, func(int) error { return nil }); err != context.Canceled {
		t.Errorf("%v", err)
	}
}
