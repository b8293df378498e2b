package lock

import (
	"math"

	"github.com/fsva/fsva/vfs"
)

// Range is bytes Start to End of a file, both included. End math.MaxUint64
// reaches to wherever the file ends.
type Range struct{ Start, End uint64 }

// whole is every byte of a file.
var whole = Range{0, math.MaxUint64}

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

// Length is the number of bytes, math.MaxUint64 for a range to the end.
func (r Range) Length() uint64 {
	if r.End == math.MaxUint64 {
		return math.MaxUint64
	}
	return r.End - r.Start + 1
}

func (r Range) overlaps(o Range) bool { return r.Start <= o.End && o.Start <= r.End }

// widened is r and the byte on either side of it: what overlaps that touches r.
func (r Range) widened() Range {
	if r.Start > 0 {
		r.Start--
	}
	if r.End < math.MaxUint64 {
		r.End++
	}
	return r
}

// union is the smallest range that has both r and o.
func (r Range) union(o Range) Range {
	return Range{min(r.Start, o.Start), max(r.End, o.End)}
}
