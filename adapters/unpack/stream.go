package unpack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/fsva/fsva/vfs"
)

// Point is a place where a decoder can start.
type Point struct {
	Out   int64 // bytes that come before it
	In    int64 // where it is in the compressed data: of deflate in bits
	Block int64 // of deflate: where its block starts, or In between blocks
	Left  int   // of a stored block
	Final bool  // of a place between blocks: none follows
	// Window is the output before it that may be copied from.
	Window []byte
}

// decoder unpacks from a point to the end of the stream. It gives io.EOF at the
// end.
type decoder interface {
	io.Reader
	// Mark is the place nearest to what was read, if there is one, where a
	// decoder can start.
	Mark() (Point, bool)
}

// Stream is the unpacked bytes of compressed data. Its methods may be called
// from many goroutines; those that have to unpack take turns.
type Stream struct {
	cache *Cache
	start func(*Point) (decoder, error) // nil is the start of the stream
	turn  chan struct{}                 // holds one token: who has it owns what follows

	points   []Point // in order
	room     int     // for points
	distance int64   // between them, at least
	idle     []running
	spare    int // decoders that are kept
	err      error
	ended    int64 // where err is
}

// running is a decoder and where it is, a multiple of chunkSize.
type running struct {
	decoder
	at int64
}

// Options bound a Stream.
type Options struct {
	Cache    *Cache
	Points   int   // that are kept
	Distance int64 // between points at first
	Decoders int   // that are kept between reads
}

func newStream(opt Options, points []Point, start func(*Point) (decoder, error)) *Stream {
	s := &Stream{
		cache: opt.Cache, start: start, turn: make(chan struct{}, 1), points: points, room: opt.Points,
		distance: max(opt.Distance, chunkSize), spare: opt.Decoders, ended: -1,
	}
	s.turn <- struct{}{}
	return s
}

// Deflate is raw deflate in src, which has to give what want says.
func Deflate(src io.ReaderAt, size int64, want Sum, opt Options) *Stream {
	return newStream(opt, nil, func(p *Point) (decoder, error) { return newInflater(src, size, false, want, p) })
}

// Gzip is a file of gzip, with the points of an earlier Stream of it.
func Gzip(src io.ReaderAt, size int64, points []Point, opt Options) *Stream {
	return newStream(opt, points, func(p *Point) (decoder, error) { return newInflater(src, size, true, Sum{}, p) })
}

// ReadAt fills p. It fails with io.ErrUnexpectedEOF, and with how much there is,
// where the stream ends before.
func (s *Stream) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		data, err := s.chunk(ctx, at/chunkSize)
		if err != nil {
			return n, err
		}
		if at%chunkSize >= int64(len(data)) {
			return n, io.ErrUnexpectedEOF
		}
		n += copy(p[n:], data[at%chunkSize:])
	}
	return n, nil
}

// Points are those there are now, to be kept for another Stream. The caller must
// not modify them.
func (s *Stream) Points() []Point {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	return slices.Clone(s.points)
}

// chunk returns one chunk, short or empty where the stream ends.
func (s *Stream) chunk(ctx context.Context, index int64) ([]byte, error) {
	key := chunkKey{s, index}
	if data := s.cache.get(key); data != nil {
		return data, nil
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return nil, vfs.EAGAIN
	}
	defer func() { s.turn <- struct{}{} }()
	if data := s.cache.get(key); data != nil { // somebody was quicker
		return data, nil
	}
	return s.unpackTo(ctx, index)
}

// unpackTo unpacks up to and with a chunk. The caller has the turn.
func (s *Stream) unpackTo(ctx context.Context, index int64) ([]byte, error) {
	if s.err != nil && index*chunkSize >= s.ended {
		return nil, s.err
	}
	run, err := s.nearest(index * chunkSize)
	if err != nil {
		return nil, broken(err)
	}
	for {
		if ctx.Err() != nil {
			s.keep(run)
			return nil, vfs.EAGAIN
		}
		data := make([]byte, chunkSize)
		n, err := io.ReadFull(run, data)
		end := err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) && atEnd(run)
		if err != nil && !end {
			s.err, s.ended = broken(err), run.at
			return nil, s.err
		}
		data = data[:n:n]
		s.cache.put(chunkKey{s, run.at / chunkSize}, data)
		found := run.at/chunkSize == index
		run.at += int64(n)
		if !end {
			s.mark(run)
		}
		switch {
		case found:
			if !end {
				s.keep(run)
			}
			return data, nil
		case end:
			return nil, nil
		}
	}
}

// atEnd says whether a decoder that gave less than it was asked for is at the end
// of the stream, and not of what it was fed.
func atEnd(d decoder) bool {
	n, err := d.Read(make([]byte, 1))
	return n == 0 && err == io.EOF
}

func broken(err error) error {
	if vfs.ErrnoOf(err) != vfs.EIO {
		return err
	}
	return fmt.Errorf("unpack: %w (%w)", err, vfs.EIO)
}

// nearest takes the decoder that has least to do to get to off.
func (s *Stream) nearest(off int64) (running, error) {
	best := -1
	for i, r := range s.idle {
		if r.at <= off && (best < 0 || r.at > s.idle[best].at) {
			best = i
		}
	}
	from := -1 // the last point that is not behind the start of the chunk
	for i := len(s.points) - 1; i >= 0 && from < 0; i-- {
		if roundUp(s.points[i].Out) <= off {
			from = i
		}
	}
	if best >= 0 && (from < 0 || s.idle[best].at >= s.points[from].Out) {
		r := s.idle[best]
		s.idle = slices.Delete(s.idle, best, best+1)
		return r, nil
	}
	if from < 0 {
		d, err := s.start(nil)
		return running{d, 0}, err
	}
	p := s.points[from]
	d, err := s.start(&p)
	if err == nil {
		_, err = io.CopyN(io.Discard, d, roundUp(p.Out)-p.Out)
	}
	return running{d, roundUp(p.Out)}, err
}

// roundUp is the start of the first chunk that is not before off.
func roundUp(off int64) int64 { return (off + chunkSize - 1) / chunkSize * chunkSize }

// keep leaves a decoder for the next read.
func (s *Stream) keep(r running) {
	if s.spare == 0 {
		return
	}
	if len(s.idle) >= s.spare {
		s.idle = slices.Delete(s.idle, 0, 1)
	}
	s.idle = append(s.idle, r)
}

// mark remembers where a decoder is, if it is far enough from other points.
func (s *Stream) mark(r running) {
	last := int64(0)
	if len(s.points) > 0 {
		last = s.points[len(s.points)-1].Out
	}
	if s.room == 0 || r.at < last+s.distance || r.at == 0 {
		return
	}
	p, ok := r.Mark()
	if !ok || p.Out < last+s.distance {
		return
	}
	if len(s.points) == s.room {
		kept := s.points[:0]
		for i := 1; i < len(s.points); i += 2 {
			kept = append(kept, s.points[i])
		}
		clear(s.points[len(kept):])
		s.points = kept
		s.distance *= 2
	}
	s.points = append(s.points, p)
}
