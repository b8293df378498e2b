package tar

import (
	"context"
	"errors"
	"io"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/adapters/unpack"
	"github.com/fsva/fsva/vfs"
)

// source is the content of an archive. It implements tree.Source.
type source struct {
	body   body
	pieces []sparse
	file   io.Closer
}

// inPieces is set in the item of a sparse file, the rest of which is its place
// in pieces. That of another file is where its content starts.
const inPieces = 1 << 63

// item numbers the content of a file.
func (s *source) item(m *member) uint64 {
	if !m.holes {
		return uint64(m.data)
	}
	s.pieces = append(s.pieces, m.pieces)
	return inPieces | uint64(len(s.pieces)-1)
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	if item&inPieces != 0 {
		return holed{s.body, s.pieces[item&^inPieces]}, nil
	}
	return dense{s.body, int64(item)}, nil
}

// Close implements tree.Source.
func (s *source) Close() error { return s.file.Close() }

// dense is content without holes. It implements tree.Content.
type dense struct {
	body body
	at   int64
}

func (c dense) ReadAt(ctx context.Context, p []byte, off int64) error {
	return full(ctx, c.body, p, c.at+off)
}

func (c dense) Close() error { return nil }

// holed is content with holes. It implements tree.Content and vfs.HoleSeeker.
type holed struct {
	body   body
	pieces sparse
}

func (c holed) ReadAt(ctx context.Context, p []byte, off int64) error {
	return c.pieces.read(ctx, c.body, p, off)
}

func (c holed) SeekData(_ context.Context, off int64) (int64, error) { return c.pieces.data(off) }

func (c holed) SeekHole(_ context.Context, off int64) (int64, error) { return c.pieces.hole(off), nil }

func (c holed) Close() error { return nil }

var _ vfs.HoleSeeker = holed{}

// plain is an archive that lies in a file as it is. It implements body.
type plain struct{ io.ReaderAt }

func (b plain) read(_ context.Context, p []byte, off int64) (int, error) {
	n, err := b.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// packed is an archive that is unpacked where it is read. It implements body.
type packed struct{ *unpack.Stream }

func (b packed) read(ctx context.Context, p []byte, off int64) (int, error) {
	n, err := b.ReadAt(ctx, p, off)
	if err == io.ErrUnexpectedEOF { // bare: it ends; inside another error the file does
		err = nil
	}
	return n, err
}
