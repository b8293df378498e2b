package export

import (
	"encoding/binary"
	"math/bits"
)

// sipKey is a key of SipHash-2-4, the MAC for short messages by Aumasson and
// Bernstein ("SipHash: a fast short-input PRF", 2012): two rounds for each
// word of the message, four at the end.
type sipKey struct{ k0, k1 uint64 }

// sum returns the MAC of p. It allocates nothing.
func (k sipKey) sum(p []byte) uint64 {
	s := sipState{
		k.k0 ^ 0x736f6d6570736575, // "somepseudorandomlygeneratedbytes"
		k.k1 ^ 0x646f72616e646f6d,
		k.k0 ^ 0x6c7967656e657261,
		k.k1 ^ 0x7465646279746573,
	}
	last := uint64(len(p)) << 56
	for ; len(p) >= 8; p = p[8:] {
		s.absorb(binary.LittleEndian.Uint64(p))
	}
	for i, b := range p {
		last |= uint64(b) << (8 * i)
	}
	s.absorb(last)
	s.v2 ^= 0xff
	for range 4 {
		s.round()
	}
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3
}

type sipState struct{ v0, v1, v2, v3 uint64 }

func (s *sipState) absorb(m uint64) {
	s.v3 ^= m
	s.round()
	s.round()
	s.v0 ^= m
}

func (s *sipState) round() {
	s.v0 += s.v1
	s.v2 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 13) ^ s.v0
	s.v3 = bits.RotateLeft64(s.v3, 16) ^ s.v2
	s.v0 = bits.RotateLeft64(s.v0, 32)
	s.v2 += s.v1
	s.v0 += s.v3
	s.v1 = bits.RotateLeft64(s.v1, 17) ^ s.v2
	s.v3 = bits.RotateLeft64(s.v3, 21) ^ s.v0
	s.v2 = bits.RotateLeft64(s.v2, 32)
}
