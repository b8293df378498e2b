package unpack

import "math/bits"

const (
	quickBits  = 10 // codes up to this long are looked up at once
	longestLen = 15
)

// huffman is a Huffman code (RFC 1951 §3.2.2).
type huffman struct {
	quick   [1 << quickBits]uint16 // symbol<<4 | length by the bits that come, 0 where the code is longer
	count   [longestLen + 1]uint16 // codes of each length
	symbols [288]uint16            // in the order of their codes
}

// build makes the code of these lengths and reports whether it is one. Codes
// that leave bits unused are refused, but for one code of one bit and for none
// at all, as by compress/flate.
func (h *huffman) build(lengths []uint8) bool {
	*h = huffman{}
	for _, l := range lengths {
		h.count[l]++
	}
	h.count[0] = 0
	used, first, code := 0, [longestLen + 2]uint16{}, [longestLen + 1]uint32{}
	left := 1
	for l := 1; l <= longestLen; l++ {
		left = left<<1 - int(h.count[l])
		if left < 0 {
			return false
		}
		used += int(h.count[l])
		first[l+1] = first[l] + h.count[l]
		if l > 1 {
			code[l] = (code[l-1] + uint32(h.count[l-1])) << 1
		}
	}
	if left > 0 && used > 0 && (used != 1 || h.count[1] != 1) {
		return false
	}
	for symbol, l := range lengths {
		if l == 0 {
			continue
		}
		h.symbols[first[l]] = uint16(symbol)
		first[l]++
		if l <= quickBits {
			// The first bit of a code comes first, so it is the lowest.
			at := bits.Reverse16(uint16(code[l])) >> (16 - l)
			for i := int(at); i < len(h.quick); i += 1 << l {
				h.quick[i] = uint16(symbol)<<4 | uint16(l)
			}
		}
		code[l]++
	}
	return true
}

// slow finds a code bit by bit. length is 0 if there is none.
func (h *huffman) slow(hold uint64) (symbol uint16, length uint) {
	code, first, index := 0, 0, 0
	for l := 1; l <= longestLen; l++ {
		code |= int(hold & 1)
		hold >>= 1
		n := int(h.count[l])
		if code-first < n {
			return h.symbols[index+code-first], uint(l)
		}
		index += n
		first = (first + n) << 1
		code <<= 1
	}
	return 0, 0
}
