package unpack

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

var errCorrupt = errors.New("the compressed data is corrupt")

const (
	windowSize = 32 << 10 // how far back a copy reaches (RFC 1951 §2)
	longest    = 258      // bytes that a symbol gives at most
)

// Sum is what raw deflate has to give.
type Sum struct {
	CRC  uint32
	Size int64
}

// inflater unpacks deflate (RFC 1951), or members of gzip one after the other
// (RFC 1952). What it unpacks from the start to the end is checked against the
// sums that are known.
type inflater struct {
	in   bitReader
	gzip bool
	want Sum // of deflate that is not in gzip

	out  [2*windowSize + longest]byte
	r, w int   // out[r:w] is to be read
	base int   // copies may come from out[base:]
	off  int64 // of out[0] in all output

	block  int64 // where the block that w is in starts, in bits
	kind   blockKind
	final  bool // no other block follows
	left   int  // bytes of a stored block
	lits   huffman
	dists  huffman
	header [286 + 30]uint8 // lengths of codes

	start  int64  // of the member in all output
	crc    uint32 // of the member up to summed
	summed int
	whole  bool // crc starts with the member

	err error // what comes behind out[r:w]
}

type blockKind uint8

const (
	between blockKind = iota // blocks: a header comes next
	stored
	coded
)

// newInflater starts at a point: nil is the start of the stream.
func newInflater(src io.ReaderAt, size int64, gzip bool, want Sum, from *Point) (*inflater, error) {
	f := &inflater{in: bitReader{src: src, size: size}, gzip: gzip, want: want}
	if from == nil {
		f.whole = true
		if gzip {
			return f, f.memberHeader()
		}
		return f, nil
	}
	if err := f.in.seek(from.Block); err != nil {
		return nil, err
	}
	if from.Block != from.In {
		if err := f.blockHeader(); err != nil {
			return nil, err
		}
		f.left = from.Left
	} else {
		f.final = from.Final
	}
	if err := f.in.seek(from.In); err != nil {
		return nil, err
	}
	f.w = copy(f.out[:], from.Window)
	f.r, f.summed, f.off = f.w, f.w, from.Out-int64(f.w)
	return f, nil
}

// Mark implements decoder.
func (f *inflater) Mark() (Point, bool) {
	if f.err != nil {
		return Point{}, false
	}
	p := Point{Out: f.off + int64(f.w), In: f.in.at(), Block: f.block, Left: f.left, Final: f.final}
	if f.kind == between {
		p.Block = p.In
	}
	p.Window = append([]byte(nil), f.out[max(f.base, f.w-windowSize):f.w]...)
	return p, true
}

// Read implements io.Reader.
func (f *inflater) Read(p []byte) (int, error) {
	for f.r == f.w {
		if f.err != nil {
			return 0, f.err
		}
		f.more()
	}
	n := copy(p, f.out[f.r:f.w])
	f.r += n
	return n, nil
}

// more unpacks until out is full, or ends with err. Nothing is left to be read.
func (f *inflater) more() {
	if shift := f.w - windowSize; shift > 0 {
		copy(f.out[:], f.out[shift:f.w])
		f.w, f.off, f.base = windowSize, f.off+int64(shift), max(0, f.base-shift)
	}
	f.r, f.summed = f.w, f.w
	for f.err == nil && f.w <= len(f.out)-longest {
		switch f.kind {
		case between:
			f.err = f.next()
		case stored:
			f.err = f.copyStored()
		case coded:
			f.err = f.symbols()
		}
	}
	f.sum()
}

// sum takes what is new into the checksum.
func (f *inflater) sum() {
	if f.whole {
		f.crc = crc32.Update(f.crc, crc32.IEEETable, f.out[f.summed:f.w])
	}
	f.summed = f.w
}

// next goes on behind a block.
func (f *inflater) next() error {
	if !f.final {
		return f.blockHeader()
	}
	f.sum()
	size := f.off + int64(f.w) - f.start
	if f.gzip {
		return f.nextMember(size)
	}
	if got := (Sum{f.crc, size}); f.whole && got != f.want {
		return fmt.Errorf("%d bytes with checksum %08x, where %d with %08x should be", got.Size, got.CRC, f.want.Size, f.want.CRC)
	}
	return io.EOF
}

// copyStored gives bytes of a block that is not compressed.
func (f *inflater) copyStored() error {
	n, err := f.in.copy(f.out[f.w : f.w+min(f.left, len(f.out)-f.w)])
	f.w += n
	if f.left -= n; f.left == 0 {
		f.kind = between
	}
	return err
}

// lengthBase and lengthExtra are of the symbols from 257 on (RFC 1951 §3.2.5).
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)

const endOfBlock = 256

// symbols gives what the symbols of a block stand for, until out is full.
func (f *inflater) symbols() error {
	for f.w <= len(f.out)-longest {
		symbol, err := f.symbol(&f.lits)
		switch {
		case err != nil:
			return err
		case symbol < endOfBlock:
			f.out[f.w] = byte(symbol)
			f.w++
			continue
		case symbol == endOfBlock:
			f.kind = between
			return nil
		case int(symbol-endOfBlock-1) >= len(lengthBase):
			return errCorrupt
		}
		if err := f.copyBack(symbol - endOfBlock - 1); err != nil {
			return err
		}
	}
	return nil
}

// symbol reads one symbol of a code.
func (f *inflater) symbol(h *huffman) (uint16, error) {
	if f.in.held < longestLen {
		if err := f.in.fill(); err != nil {
			return 0, err
		}
	}
	q := h.quick[f.in.hold&(1<<quickBits-1)]
	symbol, length := q>>4, uint(q&15)
	if q == 0 {
		symbol, length = h.slow(f.in.hold)
	}
	switch {
	case length > f.in.held || length == 0 && f.in.held < longestLen:
		return 0, io.ErrUnexpectedEOF
	case length == 0:
		return 0, errCorrupt
	}
	f.in.drop(length)
	return symbol, nil
}

// copyBack repeats what was there before.
func (f *inflater) copyBack(symbol uint16) error {
	extra, err := f.in.take(uint(lengthExtra[symbol]))
	if err != nil {
		return err
	}
	length := int(lengthBase[symbol]) + int(extra)
	far, err := f.symbol(&f.dists)
	if err != nil {
		return err
	}
	if int(far) >= len(distBase) {
		return errCorrupt
	}
	if extra, err = f.in.take(uint(distExtra[far])); err != nil {
		return err
	}
	dist := int(distBase[far]) + int(extra)
	if dist > f.w-f.base {
		return errCorrupt
	}
	for length > 0 { // a copy may go on with what it has just made
		n := copy(f.out[f.w:f.w+length], f.out[f.w-dist:f.w])
		f.w += n
		length -= n
	}
	return nil
}
