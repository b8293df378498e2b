package lock

import (
	"math"
	"slices"
	"sort"

	"github.com/fsva/fsva/vfs"
)

// Range is bytes Start to End of a file, both included. End math.MaxUint64
// reaches to wherever the file ends.
type Range struct{ Start, End uint64 }

// NewRange makes a Range of an offset and a length; the length math.MaxUint64
// reaches to the end of the file, however it grows. EINVAL for a length of 0
// and for a range that goes beyond what an offset can be (RFC 8881 §18.10.3).
func NewRange(offset, length uint64) (Range, error) {
	switch {
	case length == 0:
		return Range{}, vfs.EINVAL
	case length == math.MaxUint64:
		return Range{offset, math.MaxUint64}, nil
	case length-1 > math.MaxUint64-offset:
		return Range{}, vfs.EINVAL
	}
	return Range{offset, offset + length - 1}, nil
}

// Length is what NewRange was given, math.MaxUint64 for a range to the end.
func (r Range) Length() uint64 {
	if r.End == math.MaxUint64 {
		return math.MaxUint64
	}
	return r.End - r.Start + 1
}

func (r Range) overlaps(o Range) bool { return r.Start <= o.End && o.Start <= r.End }

// ranges is a set of bytes as disjoint ranges in order, none touching the
// next.
type ranges []Range

// from returns the index of the first range that ends at or after start.
func (s ranges) from(start uint64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].End >= start })
}

// first returns the first range that overlaps r.
func (s ranges) first(r Range) (Range, bool) {
	if i := s.from(r.Start); i < len(s) && s[i].Start <= r.End {
		return s[i], true
	}
	return Range{}, false
}

// add puts the bytes of r in.
func (s ranges) add(r Range) ranges {
	i := s.from(r.Start)
	if i > 0 && s[i-1].End == r.Start-1 { // touches: r.Start is not 0 here
		i--
	}
	j := i
	for j < len(s) && (s[j].Start <= r.End || r.End != math.MaxUint64 && s[j].Start == r.End+1) {
		r.Start, r.End = min(r.Start, s[j].Start), max(r.End, s[j].End)
		j++
	}
	return slices.Replace(s, i, j, r)
}

// remove takes the bytes of r out.
func (s ranges) remove(r Range) ranges {
	i := s.from(r.Start)
	j := i
	var keep [2]Range
	n := 0
	for ; j < len(s) && s[j].Start <= r.End; j++ {
		if s[j].Start < r.Start {
			keep[n] = Range{s[j].Start, r.Start - 1}
			n++
		}
		if s[j].End > r.End {
			keep[n] = Range{r.End + 1, s[j].End}
			n++
		}
	}
	return slices.Replace(s, i, j, keep[:n]...)
}
