// Package tar serves a tar archive as a read-only file system, by the rules of
// package tree: plain, packed by gzip or packed by Zstandard. Content is read
// where it lies when a guest asks for it.
//
// The walk over the members is ours and not that of archive/tar, which tells
// neither where in the archive content lies nor which parts of a sparse file are
// holes; tests compare the two. Known are the formats of Unix V7, POSIX ustar and
// pax, GNU and star.
//
// A plain archive is walked by its headers at each start. In a packed one the
// headers are only found by unpacking all of it, so that is done once, and what
// comes of it is kept in an index file in the state directory: the members, and
// points where unpacking can start (see package unpack). Zstandard has such
// points only between its frames. If one of these is larger than maxFrame the
// archive is unpacked once into a file in that directory instead.
package tar

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/adapters/unpack"
	"github.com/fsva/fsva/vfs"
)

// Options are what an archive needs besides its path.
type Options struct {
	Log zerolog.Logger
	// Dir is where the index is kept, and what had to be unpacked; it is made
	// if it is missing. Without it all is done again at each start, and what
	// has to be unpacked is in the directory for temporary files.
	Dir string
	// Unpacked bounds what a packed archive may unpack to, in bytes: 0 is
	// DefaultUnpacked.
	Unpacked int64
}

// DefaultUnpacked bounds what a packed archive may unpack to.
const DefaultUnpacked = 64 << 30

// kind changes with how items are numbered, and with the form of the index.
const kind = "tar 2"

// What is kept in memory of an archive that is packed: 32 MiB of content, 512
// points with 32 KiB each for gzip, and 3 decoders.
const (
	cacheSize = 32 << 20
	points    = 512
	distance  = 4 << 20
	decoders  = 3
)

// maxFrame is the largest frame of Zstandard from whose start a read may have to
// unpack.
const maxFrame = 32 << 20

// archive is one that is being opened.
type archive struct {
	Options
	file        *tree.File
	fingerprint tree.Fingerprint
}

// Open opens an archive. The first time this unpacks all of one that is packed.
// The caller closes the FS.
func Open(ctx context.Context, path string, opt Options) (vfs.FS, error) {
	if opt.Unpacked == 0 {
		opt.Unpacked = DefaultUnpacked
	}
	file, err := tree.OpenFile(path, opt.Log)
	if err != nil {
		return nil, err
	}
	a := &archive{Options: opt, file: file}
	a.fingerprint, err = file.Fingerprint(kind)
	var f *tree.FS
	if err == nil {
		f, err = a.open(ctx)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("%s: %w", path, explain(err))
	}
	return f, nil
}

// explain says what the end of a file in the middle of something is.
func explain(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the archive is cut short: its packed data ends too early: %w", err)
	}
	return err
}

func (a *archive) open(ctx context.Context) (*tree.FS, error) {
	var magic [6]byte
	n, err := plain{a.file}.read(ctx, magic[:], 0)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errors.New("the file is empty")
	}
	switch by := packer(magic[:n]); by {
	case "":
		a.forget()
		s := &source{body: plain{a.file}, file: a.file}
		return a.walk(ctx, s, a.file.Size(), errShort, nil)
	case "gzip":
		return a.openPacked(ctx, unpack.Gzip)
	case "zstd":
		survey, err := unpack.SurveyZstd(ctx, a.file, a.file.Size())
		if err != nil {
			return nil, err
		}
		if survey.Largest > maxFrame {
			return a.openSpooled(ctx)
		}
		return a.openPacked(ctx, unpack.Zstd)
	default:
		return nil, fmt.Errorf("the archive is packed by %s, which cannot be read at any place; pack it by gzip or zstd instead", by)
	}
}

// packer is by what a file is packed, by how it starts.
func packer(magic []byte) string {
	for by, start := range map[string]string{
		"gzip": "\x1f\x8b", "zstd": "\x28\xb5\x2f\xfd",
		"bzip2": "BZh", "xz": "\xfd7zXZ\x00", "lzip": "LZIP", "lz4": "\x04\x22\x4d\x18", "compress": "\x1f\x9d",
	} {
		if bytes.HasPrefix(magic, []byte(start)) {
			return by
		}
	}
	if len(magic) >= 4 && magic[0]&0xf0 == 0x50 && string(magic[1:4]) == "\x2a\x4d\x18" {
		return "zstd" // that starts with a frame to be skipped
	}
	return ""
}

// opener is unpack.Gzip or unpack.Zstd.
type opener func(io.ReaderAt, int64, []unpack.Point, unpack.Options) *unpack.Stream

// openPacked opens an archive that is unpacked where it is read.
func (a *archive) openPacked(ctx context.Context, unpacked opener) (*tree.FS, error) {
	opt := unpack.Options{Cache: unpack.NewCache(cacheSize), Points: points, Distance: distance, Decoders: decoders}
	if b, last := a.loadIndex(); last != nil {
		stream := unpacked(a.file, a.file.Size(), last.Points, opt)
		return b.Build(&source{body: packed{stream}, pieces: last.Pieces, file: a.file}, a.fingerprint)
	}
	a.Log.Info().Str("dir", a.Dir).Msg("unpacking an archive once to index it")
	a.forget()
	s := &source{body: packed{unpacked(a.file, a.file.Size(), nil, opt)}, file: a.file}
	return a.walk(ctx, s, a.Unpacked, a.tooLarge(), a.newIndex())
}

func (a *archive) tooLarge() error {
	return fmt.Errorf("the archive unpacks to more than %d bytes, which unpacked=SIZE can allow", a.Unpacked)
}

// walk makes a tree of what is in the archive, and an index unless that is nil.
func (a *archive) walk(ctx context.Context, s *source, limit int64, past error, x *indexWriter) (*tree.FS, error) {
	defer x.discard()
	w := &walker{ctx: ctx, body: s.body, limit: limit, past: past, extents: maxExtents}
	b := a.builder()
	for {
		m, err := w.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.entry.Type == vfs.TypeRegular && m.entry.LinkTo == "" {
			m.entry.Item = s.item(m)
		}
		if err := b.Add(m.entry); err != nil {
			return nil, err
		}
		x.add(&m.entry)
	}
	if !w.marked {
		a.Log.Warn().Msg("an archive has no mark at its end: if it was cut short, then between two files")
	}
	last := &indexEnd{Pieces: s.pieces, Unpacked: limit}
	if p, ok := s.body.(packed); ok {
		if err := a.wholly(ctx, p, past); err != nil {
			return nil, err
		}
		last.Points = p.Points()
	}
	x.finish(last)
	return b.Build(s, a.fingerprint)
}

// wholly unpacks what is behind the members, so that all checksums were seen.
func (a *archive) wholly(ctx context.Context, p packed, past error) error {
	n, err := p.read(ctx, make([]byte, 1), a.Unpacked)
	if err == nil && n > 0 {
		err = past
	}
	return err
}

func (a *archive) builder() *tree.Builder {
	return tree.NewBuilder(tree.Options{Log: a.Log, Time: a.file.Mtime()})
}
