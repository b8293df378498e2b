package unpack

import (
	"encoding/binary"
	"io"
)

// bitReader reads an input from its lowest bits up (RFC 1951 §3.1.1).
type bitReader struct {
	src  io.ReaderAt
	size int64 // of src

	buf  [32 << 10]byte
	r, n int   // buf[r:n] is to come
	off  int64 // of buf[n] in src

	hold uint64 // its low count bits come next, the others are 0
	held uint
}

// at is where the next bit is in the input, in bits.
func (b *bitReader) at() int64 { return (b.off-int64(b.n-b.r))*8 - int64(b.held) }

// seek goes to a bit of the input.
func (b *bitReader) seek(bit int64) error {
	b.r, b.n, b.off, b.hold, b.held = 0, 0, bit/8, 0, 0
	if bit%8 == 0 {
		return nil
	}
	_, err := b.take(uint(bit % 8))
	return err
}

// fill holds 56 bits or more, or all there are.
func (b *bitReader) fill() error {
	if b.n-b.r >= 8 {
		b.hold |= binary.LittleEndian.Uint64(b.buf[b.r:]) << b.held
		n := (63 - b.held) / 8
		b.r += int(n)
		b.held += n * 8
		b.hold &= 1<<b.held - 1
		return nil
	}
	for b.held < 56 {
		if b.r == b.n {
			if err := b.load(); err != nil || b.n == 0 {
				return err
			}
		}
		b.hold |= uint64(b.buf[b.r]) << b.held
		b.held += 8
		b.r++
	}
	return nil
}

// load reads more into an empty buf.
func (b *bitReader) load() error {
	want := int(min(int64(len(b.buf)), b.size-b.off))
	b.r, b.n = 0, 0
	if want <= 0 {
		return nil
	}
	n, err := b.src.ReadAt(b.buf[:want], b.off)
	if n < want {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	b.n = n
	b.off += int64(n)
	return nil
}

// take reads up to 32 bits.
func (b *bitReader) take(n uint) (uint32, error) {
	if b.held < n {
		if err := b.fill(); err != nil {
			return 0, err
		}
		if b.held < n {
			return 0, io.ErrUnexpectedEOF
		}
	}
	v := uint32(b.hold & (1<<n - 1))
	b.drop(n)
	return v, nil
}

func (b *bitReader) drop(n uint) {
	b.hold >>= n
	b.held -= n
}

// align goes to the next whole byte.
func (b *bitReader) align() { b.drop(b.held % 8) }

// end says whether there is nothing more.
func (b *bitReader) end() (bool, error) {
	if b.held > 0 || b.r < b.n {
		return false, nil
	}
	err := b.fill()
	return b.held == 0, err
}

// copy takes whole bytes into p, some of those it could.
func (b *bitReader) copy(p []byte) (int, error) {
	if b.held > 0 {
		n := 0
		for ; n < len(p) && b.held > 0; n++ {
			p[n] = byte(b.hold)
			b.drop(8)
		}
		return n, nil
	}
	if b.r == b.n {
		if err := b.load(); err != nil {
			return 0, err
		}
		if b.n == 0 {
			return 0, io.ErrUnexpectedEOF
		}
	}
	n := copy(p, b.buf[b.r:b.n])
	b.r += n
	return n, nil
}
