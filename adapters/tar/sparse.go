package tar

import (
	"bytes"
	"context"
	"errors"
	"sort"
	"strconv"
	"strings"

	"github.com/fsva/fsva/vfs"
)

// extent is a piece of a sparse file that is not a hole.
type extent struct {
	Off, Size int64 // in the file
	At        int64 // in the archive
}

// sparse is a file with holes: its extents in order.
type sparse []extent

// sparseEntry is an offset and a size in GNU's old format.
const sparseEntry = 24

// maxExtents bounds all extents of an archive, to 24 bytes each.
const maxExtents = 4 << 20

var (
	errSparse  = errors.New("its map of holes is malformed")
	errExtents = errors.New("it and those before it have more than 4194304 pieces between holes")
)

// sparseOf finds the map of a file that has holes, wherever its format has it.
// Of what is at m.data it takes away what belongs to the map.
func (w *walker) sparseOf(b *block, r records, m *member) (numbers []int64, err error) {
	switch {
	case b.kind() == kindSparse:
		return w.oldMap(b, m)
	case r[paxSparseMajor] == "1" && r[paxSparseMinor] == "0":
		if m.entry.Size, err = realSize(r[paxSparseRealSize]); err != nil {
			return nil, err
		}
		return w.mapInContent(m)
	case r[paxSparseMajor] != "" && r[paxSparseMajor] != "0":
		return nil, errors.New("its format of sparse files is not known")
	}
	if m.entry.Size, err = realSize(r[paxSparseSize] + r[paxSparseRealSize]); err != nil {
		return nil, err
	}
	if r[paxSparseMap] == "" {
		return nil, nil
	}
	if strings.Count(r[paxSparseMap], ",") > 2*w.extents {
		return nil, errExtents
	}
	for s := range strings.SplitSeq(r[paxSparseMap], ",") {
		n, err := decimal(s)
		if err != nil {
			return nil, errSparse
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func realSize(s string) (uint64, error) {
	n, err := decimal(s)
	return uint64(n), err
}

// isSparse says whether a regular file has holes.
func isSparse(b *block, r records) bool {
	return b.kind() == kindSparse || r[paxSparseMajor] != "" || r[paxSparseMap] != "" || r[paxSparseSize] != ""
}

// oldMap reads the map in a header of GNU's old format, and in the blocks that
// follow it.
func (w *walker) oldMap(b *block, m *member) (numbers []int64, err error) {
	size, err := number(b.raw(fieldRealSize))
	if err != nil || size < 0 {
		return nil, errNumber
	}
	m.entry.Size = uint64(size)
	entries, more := b.raw(fieldSparse), b.raw(fieldExtended)[0] != 0
	for {
		for ; len(entries) >= sparseEntry && entries[0] != 0; entries = entries[sparseEntry:] {
			off, err1 := number(entries[:12])
			size, err2 := number(entries[12:24])
			if err1 != nil || err2 != nil {
				return nil, errSparse
			}
			numbers = append(numbers, off, size)
		}
		if !more {
			return numbers, nil
		}
		if len(numbers) > 2*w.extents {
			return nil, errExtents
		}
		var next block
		if err := full(w.ctx, w.body, next[:], m.data); err != nil {
			return nil, err
		}
		m.data += blockSize
		entries, more = next[:21*sparseEntry], next[21*sparseEntry] != 0
	}
}

// mapInContent reads the map of format 1.0: in front of the content, a number a
// line, the first of which is how many extents follow.
func (w *walker) mapInContent(m *member) (numbers []int64, err error) {
	var text []byte
	line := func() (int64, error) {
		for {
			if s, rest, ok := bytes.Cut(text, []byte{'\n'}); ok {
				text = rest
				n, err := strconv.ParseUint(string(s), 10, 63)
				if err != nil {
					return 0, errSparse
				}
				return int64(n), nil
			}
			if len(text) > 2*blockSize || m.packed < blockSize {
				return 0, errSparse
			}
			var next block
			if err := full(w.ctx, w.body, next[:], m.data); err != nil {
				return 0, err
			}
			m.data += blockSize
			m.packed -= blockSize
			text = append(text, next[:]...)
		}
	}
	count, err := line()
	if err != nil {
		return nil, err
	}
	if count > int64(w.extents) {
		return nil, errExtents
	}
	for range 2 * count {
		n, err := line()
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

// place makes extents of offsets and sizes. They must be in order, within the
// file, and be all of the content.
func place(numbers []int64, m *member) (sparse, error) {
	if len(numbers)%2 != 0 {
		return nil, errSparse
	}
	var s sparse
	end, at := int64(0), m.data
	for i := 0; i < len(numbers); i += 2 {
		off, size := numbers[i], numbers[i+1]
		if off < end || size < 0 || uint64(off) > m.entry.Size || uint64(size) > m.entry.Size-uint64(off) || size > m.packed-(at-m.data) {
			return nil, errSparse
		}
		if size > 0 { // an empty one only marks the end
			s = append(s, extent{off, size, at})
		}
		end = off + size
		at += size
	}
	if at-m.data != m.packed {
		return nil, errSparse
	}
	return s, nil
}

// from is the place of the first extent that ends behind off.
func (s sparse) from(off int64) int {
	return sort.Search(len(s), func(i int) bool { return s[i].Off+s[i].Size > off })
}

// data returns where data begins, at off or behind it. ENXIO if none does.
func (s sparse) data(off int64) (int64, error) {
	i := s.from(off)
	if i == len(s) {
		return 0, vfs.ENXIO
	}
	return max(off, s[i].Off), nil
}

// hole returns where a hole begins, at off or behind it: the end of the file if
// data goes so far.
func (s sparse) hole(off int64) int64 {
	for i := s.from(off); i < len(s) && s[i].Off <= off; i++ {
		off = s[i].Off + s[i].Size
	}
	return off
}

// read fills p, with zeroes where there are holes.
func (s sparse) read(ctx context.Context, from body, p []byte, off int64) error {
	i := s.from(off)
	for len(p) > 0 {
		if i == len(s) || s[i].Off >= off+int64(len(p)) {
			clear(p)
			return nil
		}
		if hole := s[i].Off - off; hole > 0 {
			clear(p[:hole])
			p, off = p[hole:], off+hole
		}
		skip := off - s[i].Off
		n := min(int64(len(p)), s[i].Size-skip)
		if err := full(ctx, from, p[:n], s[i].At+skip); err != nil {
			return err
		}
		p, off, i = p[n:], off+n, i+1
	}
	return nil
}
