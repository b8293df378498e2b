package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/fsva/fsva/vfs"
)

// MaxZstdWindow is how far back a frame may reach, which a decoder keeps in
// memory. It is what the program zstd takes without being told to take more.
const MaxZstdWindow = 128 << 20

const (
	maxZstdBlock  = 128 << 10 // RFC 8878 §3.1.1.2
	maxZstdFrames = 1 << 20
)

// Zstd is a file of Zstandard (RFC 8878). Its points are the starts of frames,
// so going back costs the unpacking of up to a frame; [SurveyZstd] tells how
// large those are.
func Zstd(src io.ReaderAt, size int64, points []Point, opt Options) *Stream {
	return newStream(opt, points, func(p *Point) (decoder, error) { return newZstdDecoder(src, size, p) })
}

// ZstdSurvey is what the headers of frames and blocks tell.
type ZstdSurvey struct {
	Frames  int   // but for those to be skipped
	Largest int64 // a bound of what one of them holds, in bytes
}

// SurveyZstd walks the frames without unpacking any. It fails if they are not
// whole, or of a kind that cannot be unpacked.
func SurveyZstd(ctx context.Context, src io.ReaderAt, size int64) (ZstdSurvey, error) {
	w := zstdWalk{src: src, size: size}
	var s ZstdSurvey
	for {
		if ctx.Err() != nil {
			return s, vfs.EAGAIN
		}
		f, err := w.next()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if s.Frames++; s.Frames > maxZstdFrames {
			return s, fmt.Errorf("more than %d frames of Zstandard", maxZstdFrames)
		}
		s.Largest = max(s.Largest, f.bound)
	}
}

// zstdDecoder unpacks frame by frame.
type zstdDecoder struct {
	walk zstdWalk
	dec  *zstd.Decoder
	open bool  // dec is in a frame
	in   int64 // where that frame starts
	out  int64 // what comes before the frame, unpacked
	at   int64 // in all that is unpacked
	err  error // of the walk
}

func newZstdDecoder(src io.ReaderAt, size int64, from *Point) (*zstdDecoder, error) {
	// With no concurrency a decoder has no goroutines, so that it can be dropped.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(MaxZstdWindow))
	if err != nil {
		return nil, err
	}
	d := &zstdDecoder{walk: zstdWalk{src: src, size: size}, dec: dec}
	if from != nil {
		d.walk.off, d.in, d.out, d.at = from.In, from.In, from.Out, from.Out
	}
	return d, nil
}

// Mark implements decoder: it is the start of the frame.
func (d *zstdDecoder) Mark() (Point, bool) { return Point{Out: d.out, In: d.in}, true }

// Read implements io.Reader.
func (d *zstdDecoder) Read(p []byte) (int, error) {
	for {
		if d.err != nil {
			return 0, d.err
		}
		if !d.open {
			f, err := d.walk.next()
			if err != nil {
				d.err = err
				continue
			}
			if err := d.dec.Reset(io.NewSectionReader(d.walk.src, f.off, f.size)); err != nil {
				return 0, err
			}
			d.open, d.in, d.out = true, f.off, d.at
		}
		n, err := d.dec.Read(p)
		d.at += int64(n)
		if err == io.EOF {
			d.open, err = false, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// zstdFrame is where a frame lies.
type zstdFrame struct {
	off, size int64
	bound     int64 // no more than that is in it
}

// zstdWalk goes from frame to frame by the sizes in their headers.
type zstdWalk struct {
	src  io.ReaderAt
	size int64
	off  int64 // of what comes next

	buf [4 << 10]byte
	at  int64 // of buf[:n]
	n   int
}

// next returns the next frame that is not to be skipped, io.EOF if there is none.
func (w *zstdWalk) next() (zstdFrame, error) {
	for {
		var h zstd.Header
		head, err := w.peek(zstd.HeaderMaxSize)
		if err != nil {
			return zstdFrame{}, err
		}
		if len(head) == 0 {
			return zstdFrame{}, io.EOF
		}
		switch err := h.Decode(head); {
		case errors.Is(err, io.ErrUnexpectedEOF):
			return zstdFrame{}, err
		case err != nil:
			return zstdFrame{}, fmt.Errorf("what is at byte %d is not Zstandard: %w", w.off, errCorrupt)
		case h.DictionaryID != 0:
			return zstdFrame{}, fmt.Errorf("the frame at byte %d needs dictionary %d, and dictionaries are not supported", w.off, h.DictionaryID)
		case h.WindowSize > MaxZstdWindow:
			return zstdFrame{}, fmt.Errorf("the frame at byte %d takes %d bytes of memory to unpack, %d at most are given (zstd --long=27)", w.off, h.WindowSize, int64(MaxZstdWindow))
		}
		start := w.off
		w.off += int64(h.HeaderSize)
		if h.Skippable {
			w.off += int64(h.SkippableSize)
			if w.off > w.size {
				return zstdFrame{}, io.ErrUnexpectedEOF
			}
			continue
		}
		bound, err := w.blocks(&h)
		return zstdFrame{start, w.off - start, bound}, err
	}
}

// blocks goes behind the blocks of a frame and its checksum.
func (w *zstdWalk) blocks(h *zstd.Header) (bound int64, err error) {
	for last := false; !last; {
		head, err := w.peek(3)
		if err != nil {
			return 0, err
		}
		if len(head) < 3 {
			return 0, io.ErrUnexpectedEOF
		}
		word := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
		size := int64(word >> 3)
		last = word&1 != 0
		w.off += 3
		switch word >> 1 & 3 { // Block_Type, RFC 8878 §3.1.1.2.2
		case 0:
			bound += size
			w.off += size
		case 1: // one byte over and over
			bound += size
			w.off++
		case 2:
			bound += maxZstdBlock
			w.off += size
		default:
			return 0, errCorrupt
		}
	}
	if h.HasCheckSum {
		w.off += 4
	}
	if w.off > w.size {
		return 0, io.ErrUnexpectedEOF
	}
	if h.HasFCS && h.FrameContentSize < uint64(bound) {
		bound = int64(h.FrameContentSize)
	}
	return bound, nil
}

// peek is up to n bytes from off on, as many as there are.
func (w *zstdWalk) peek(n int) ([]byte, error) {
	n = int(max(0, min(int64(n), w.size-w.off)))
	if w.off < w.at || w.off+int64(n) > w.at+int64(w.n) {
		want := int(min(int64(len(w.buf)), w.size-w.off))
		if n == 0 {
			return nil, nil
		}
		got, err := w.src.ReadAt(w.buf[:want], w.off)
		if got < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		w.at, w.n = w.off, got
	}
	return w.buf[w.off-w.at:][:n], nil
}
