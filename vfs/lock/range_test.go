package lock

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/fsva/fsva/vfs"
)

const eof = math.MaxUint64

func TestNewRange(t *testing.T) {
	tests := []struct {
		offset, length uint64
		want           Range
		err            error
	}{
		{0, 1, Range{0, 0}, nil},
		{10, 5, Range{10, 14}, nil},
		{0, eof, Range{0, eof}, nil},
		{7, eof, Range{7, eof}, nil},
		{eof, eof, Range{eof, eof}, nil},
		{eof, 1, Range{eof, eof}, nil},
		{1, eof - 1, Range{1, eof - 1}, nil},
		{2, eof - 1, Range{2, eof}, nil},
		{0, 0, Range{}, vfs.EINVAL},
		{eof, 0, Range{}, vfs.EINVAL},
		{eof, 2, Range{}, vfs.EINVAL},
		{3, eof - 1, Range{}, vfs.EINVAL},
	}
	for _, tt := range tests {
		got, err := NewRange(tt.offset, tt.length)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("NewRange(%d, %d) = %v, %v, want %v, %v", tt.offset, tt.length, got, err, tt.want, tt.err)
		}
	}
}

func TestLengthIsWhatNewRangeWasGiven(t *testing.T) {
	for _, length := range []uint64{1, 2, 1 << 40, eof} {
		if r, err := NewRange(9, length); err != nil || r.Length() != length {
			t.Errorf("length %d became %d, %v", length, r.Length(), err)
		}
	}
}

func TestTreeFindsWhatOverlaps(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	var tr tree
	var all []*span
	random := func() Range {
		start := rnd.Uint64N(200)
		return Range{start, start + rnd.Uint64N(40)}
	}
	for range 3000 {
		if len(all) > 0 && rnd.IntN(5) < 2 {
			i := rnd.IntN(len(all))
			tr.remove(all[i])
			all = slices.Delete(all, i, i+1)
		} else {
			s := &span{Range: random()}
			tr.insert(s)
			all = append(all, s)
		}
		r := random()
		want := map[*span]bool{}
		for _, s := range all {
			if s.overlaps(r) {
				want[s] = true
			}
		}
		start := uint64(0)
		tr.visit(r, func(s *span) bool {
			if !want[s] || s.Start < start {
				t.Fatalf("%v is not wanted for %v, or not now", s.Range, r)
			}
			delete(want, s)
			start = s.Start
			return true
		})
		if len(want) > 0 {
			t.Fatalf("%d that overlap %v were not found", len(want), r)
		}
		if len(all) > 0 {
			checkTree(t, tr.root)
		}
	}
}

// checkTree checks heap order and last, and returns the greatest End.
func checkTree(t *testing.T, s *span) uint64 {
	last := s.End
	for _, c := range []*span{s.left, s.right} {
		if c != nil {
			if c.prio > s.prio {
				t.Fatal("a child goes before its parent")
			}
			last = max(last, checkTree(t, c))
		}
	}
	if s.last != last {
		t.Fatalf("last is %d, want %d", s.last, last)
	}
	return last
}
