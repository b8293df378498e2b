package unpack

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
)

// blockHeader reads the header of a block (RFC 1951 §3.2.3).
func (f *inflater) blockHeader() error {
	f.block = f.in.at()
	head, err := f.in.take(3)
	if err != nil {
		return err
	}
	f.final = head&1 != 0
	switch head >> 1 {
	case 0:
		f.in.align()
		sizes, err := f.in.take(32)
		if err != nil {
			return err
		}
		if uint16(sizes) != ^uint16(sizes>>16) {
			return errCorrupt
		}
		if f.left, f.kind = int(uint16(sizes)), stored; f.left == 0 {
			f.kind = between
		}
	case 1:
		f.kind = coded
		f.fixedCodes()
	case 2:
		f.kind = coded
		return f.dynamicCodes()
	default:
		return errCorrupt
	}
	return nil
}

// fixedCodes sets the codes of RFC 1951 §3.2.6.
func (f *inflater) fixedCodes() {
	var lits [288]uint8
	for i := range lits {
		switch {
		case i < 144:
			lits[i] = 8
		case i < 256:
			lits[i] = 9
		case i < 280:
			lits[i] = 7
		default:
			lits[i] = 8
		}
	}
	dists := [32]uint8{}
	for i := range dists {
		dists[i] = 5
	}
	f.lits.build(lits[:])
	f.dists.build(dists[:])
}

// codeOrder is how lengths of the code for lengths come (RFC 1951 §3.2.7).
var codeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicCodes reads the codes of a block.
func (f *inflater) dynamicCodes() error {
	counts, err := f.in.take(14)
	if err != nil {
		return err
	}
	lits, dists, codes := int(counts&31)+257, int(counts>>5&31)+1, int(counts>>10)+4
	if lits > 286 || dists > 30 {
		return errCorrupt
	}
	var lengths [19]uint8
	for _, at := range codeOrder[:codes] {
		l, err := f.in.take(3)
		if err != nil {
			return err
		}
		lengths[at] = uint8(l)
	}
	if !f.lits.build(lengths[:]) {
		return errCorrupt
	}
	all := f.header[:lits+dists]
	if err := f.codeLengths(all); err != nil {
		return err
	}
	if !f.lits.build(all[:lits]) || !f.dists.build(all[lits:]) {
		return errCorrupt
	}
	return nil
}

// codeLengths reads lengths with the code that lits holds for the moment.
func (f *inflater) codeLengths(all []uint8) error {
	for i := 0; i < len(all); {
		symbol, err := f.symbol(&f.lits)
		if err != nil {
			return err
		}
		if symbol < 16 {
			all[i] = uint8(symbol)
			i++
			continue
		}
		repeat := [3]struct {
			bits uint
			from int
		}{{2, 3}, {3, 3}, {7, 11}}[symbol-16]
		more, err := f.in.take(repeat.bits)
		if err != nil {
			return err
		}
		n := repeat.from + int(more)
		if n > len(all)-i || symbol == 16 && i == 0 {
			return errCorrupt
		}
		for ; n > 0; n-- {
			all[i] = 0
			if symbol == 16 {
				all[i] = all[i-1]
			}
			i++
		}
	}
	return nil
}

// nextMember checks a member of gzip by its trailer and goes on to the next one,
// if there is one (RFC 1952 §2.2).
func (f *inflater) nextMember(size int64) error {
	f.in.align()
	var trailer [8]byte
	if err := f.bytes(trailer[:]); err != nil {
		return err
	}
	crc, length := binary.LittleEndian.Uint32(trailer[:]), binary.LittleEndian.Uint32(trailer[4:])
	if f.whole && (crc != f.crc || length != uint32(size)) {
		return fmt.Errorf("a checksum or length in gzip is wrong: %w", errCorrupt)
	}
	if end, err := f.in.end(); err != nil || end {
		return cmp.Or(err, io.EOF)
	}
	f.start, f.base, f.crc, f.whole, f.final = f.off+int64(f.w), f.w, 0, true, false
	return f.memberHeader()
}

// The flags of a member.
const (
	gzipHeaderCRC = 1 << (iota + 1)
	gzipExtra
	gzipName
	gzipComment
)

// memberHeader reads the header of a member (RFC 1952 §2.3). Behind the first
// member zeroes are the end, with which tapes are filled up.
func (f *inflater) memberHeader() error {
	var head [10]byte
	if err := f.bytes(head[:1]); err != nil {
		return err
	}
	if head[0] == 0 && f.in.at() > 8 {
		return f.onlyZeroes()
	}
	if err := f.bytes(head[1:]); err != nil {
		return err
	}
	if head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 || head[3]&0xe0 != 0 {
		return fmt.Errorf("what follows is not gzip: %w", errCorrupt)
	}
	if head[3]&gzipExtra != 0 {
		n, err := f.in.take(16)
		if err != nil {
			return err
		}
		if err := f.bytes(make([]byte, n)); err != nil {
			return err
		}
	}
	for _, text := range []byte{gzipName, gzipComment} {
		if head[3]&text != 0 {
			if err := f.skipText(); err != nil {
				return err
			}
		}
	}
	if head[3]&gzipHeaderCRC != 0 {
		return f.bytes(head[:2])
	}
	return nil
}

// skipText skips what ends with a NUL.
func (f *inflater) skipText() error {
	for {
		if c, err := f.in.take(8); err != nil || c == 0 {
			return err
		}
	}
}

func (f *inflater) onlyZeroes() error {
	for {
		if end, err := f.in.end(); err != nil || end {
			return cmp.Or(err, io.EOF)
		}
		if c, err := f.in.take(8); err != nil || c != 0 {
			return cmp.Or(err, errCorrupt)
		}
	}
}

// bytes fills p with whole bytes of the input.
func (f *inflater) bytes(p []byte) error {
	for len(p) > 0 {
		n, err := f.in.copy(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}
