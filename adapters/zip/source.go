package zip

import (
	"archive/zip"
	"container/list"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/adapters/unpack"
	"github.com/fsva/fsva/vfs"
)

// What is kept of files that are unpacked: 16 MiB of content, and for each of 16
// streams 64 points of 32 KiB and 2 decoders of 150 KiB.
const (
	cacheSize  = 16 << 20
	maxStreams = 16
	points     = 64
	distance   = 1 << 20
	decoders   = 2
)

// source is the content of an archive. It implements tree.Source.
type source struct {
	file  *tree.File
	files []*zip.File
	cache *unpack.Cache

	mu      sync.Mutex
	recent  *list.List // of *opened, the latest used first
	streams map[uint64]*list.Element
}

type opened struct {
	item   uint64
	stream *unpack.Stream
}

func newSource(file *tree.File, files []*zip.File) *source {
	return &source{file: file, files: files, cache: unpack.NewCache(cacheSize), recent: list.New(), streams: make(map[uint64]*list.Element)}
}

// Bits of the flags of a file (APPNOTE.TXT 4.4.4).
const (
	encrypted = 1 << 0
	masked    = 1 << 13 // the local header is encrypted
)

// deflateRatio is how many bytes one byte of deflate gives at most: 258 for each
// two bits, and somewhat more for the ends of blocks.
const deflateRatio = 1032 + 8

// flaw says why a file cannot be read as far as the list of files tells.
func flaw(f *zip.File) string {
	switch {
	case f.Flags&(encrypted|masked) != 0:
		return "is encrypted"
	case f.Method == zip.Store && f.CompressedSize64 != f.UncompressedSize64:
		return "is stored but has two sizes"
	case f.Method == zip.Deflate && f.UncompressedSize64/deflateRatio > f.CompressedSize64:
		return "is larger than what it is said to be packed in"
	case f.Method != zip.Store && f.Method != zip.Deflate:
		return fmt.Sprintf("is packed by method %d; stored and deflated files can be read", f.Method)
	}
	return ""
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	f := s.files[item]
	if why := flaw(f); why != "" {
		return nil, vfs.Errorf(vfs.EOPNOTSUPP, "%q %s", f.Name, why)
	}
	if f.UncompressedSize64 == 0 {
		return stored{io.NewSectionReader(s.file, 0, 0)}, nil
	}
	if f.Method == zip.Deflate {
		return s.deflated(item)
	}
	section, err := s.section(f)
	return stored{section}, err
}

// section is where the content of a file lies in the archive.
func (s *source) section(f *zip.File) (*io.SectionReader, error) {
	off, err := f.DataOffset()
	if err != nil {
		return nil, vfs.Errorf(vfs.EIO, "%q: %v", f.Name, err)
	}
	if off < 0 || off > s.file.Size() || f.CompressedSize64 > uint64(s.file.Size()-off) {
		return nil, vfs.Errorf(vfs.EIO, "%q is said to lie beyond the end of the archive", f.Name)
	}
	return io.NewSectionReader(s.file, off, int64(f.CompressedSize64)), nil
}

// deflated returns the stream of a file, a new one if it is not among the last.
func (s *source) deflated(item uint64) (tree.Content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.streams[item]; e != nil {
		s.recent.MoveToFront(e)
		return deflated{e.Value.(*opened).stream}, nil
	}
	f := s.files[item]
	section, err := s.section(f)
	if err != nil {
		return nil, err
	}
	want := unpack.Sum{CRC: f.CRC32, Size: int64(f.UncompressedSize64)}
	stream := unpack.Deflate(section, section.Size(), want, unpack.Options{Cache: s.cache, Points: points, Distance: distance, Decoders: decoders})
	s.streams[item] = s.recent.PushFront(&opened{item, stream})
	if s.recent.Len() > maxStreams {
		last := s.recent.Back()
		delete(s.streams, last.Value.(*opened).item)
		s.recent.Remove(last)
	}
	return deflated{stream}, nil
}

// Close implements tree.Source.
func (s *source) Close() error { return s.file.Close() }

// stored is content that is not packed. It implements tree.Content.
type stored struct{ *io.SectionReader }

func (c stored) ReadAt(_ context.Context, p []byte, off int64) error {
	n, err := c.SectionReader.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return err
}

func (c stored) Close() error { return nil }

// deflated is content that is unpacked. It implements tree.Content.
type deflated struct{ *unpack.Stream }

func (c deflated) ReadAt(ctx context.Context, p []byte, off int64) error {
	_, err := c.Stream.ReadAt(ctx, p, off)
	return err
}

func (c deflated) Close() error { return nil }
