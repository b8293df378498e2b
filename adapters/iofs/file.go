package iofs

import (
	"context"
	"errors"
	"io"
	"io/fs"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// source opens files by their paths. It implements tree.Source.
type source struct {
	fsys  fs.FS
	paths []string // of regular files, by item
}

func (s *source) add(path string) (item uint64) {
	s.paths = append(s.paths, path)
	return uint64(len(s.paths) - 1)
}

// Open implements tree.Source.
func (s *source) Open(_ context.Context, item uint64) (tree.Content, error) {
	path := s.paths[item]
	r, err := openReader(s.fsys, path)
	if err != nil {
		return nil, errno(err)
	}
	return content{r, path}, nil
}

// Close implements tree.Source. The fs.FS is its maker's.
func (s *source) Close() error { return nil }

// content is a file that has to be as long as it was. It implements tree.Content.
type content struct {
	reader
	path string
}

func (c content) ReadAt(ctx context.Context, p []byte, off int64) error {
	n, err := c.read(ctx, p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil, errors.Is(err, io.EOF):
		return vfs.Errorf(vfs.EIO, "%s is shorter than when it was listed", c.path)
	}
	return errno(err)
}

// reader is a file that is read at any place, by many goroutines. What is behind
// the end of the file is io.EOF.
type reader interface {
	read(ctx context.Context, p []byte, off int64) (int, error)
	Close() error
}

// openReader opens a file by what it can do.
func openReader(fsys fs.FS, path string) (reader, error) {
	file, err := fsys.Open(path)
	if err != nil {
		return nil, err
	}
	if r, ok := file.(io.ReaderAt); ok {
		return direct{file, r}, nil
	}
	t := &inTurn{fsys: fsys, path: path, file: file, turn: make(chan struct{}, 1)}
	t.turn <- struct{}{}
	return t, nil
}

// direct is a file that has io.ReaderAt.
type direct struct {
	fs.File
	at io.ReaderAt
}

func (d direct) read(_ context.Context, p []byte, off int64) (int, error) { return d.at.ReadAt(p, off) }

// inTurn is a file with a place where it is read, so that readers take turns.
type inTurn struct {
	fsys fs.FS
	path string
	turn chan struct{} // holds one token: who has it owns what follows
	file fs.File
	at   int64
}

func (t *inTurn) read(ctx context.Context, p []byte, off int64) (int, error) {
	select {
	case <-t.turn:
	case <-ctx.Done():
		return 0, vfs.EAGAIN
	}
	defer func() { t.turn <- struct{}{} }()
	if err := t.seek(ctx, off); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(t.file, p)
	t.at += int64(n)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

const skipStep = 1 << 20 // bytes that are read between looks at the context

// seek goes to off: by io.Seeker, or by reading on, from the start if off is
// behind.
func (t *inTurn) seek(ctx context.Context, off int64) error {
	if s, ok := t.file.(io.Seeker); ok {
		at, err := s.Seek(off, io.SeekStart)
		if err == nil && at == off {
			t.at = off
			return nil
		}
	}
	if off < t.at {
		file, err := t.fsys.Open(t.path)
		if err != nil {
			return err
		}
		t.file.Close()
		t.file, t.at = file, 0
	}
	for t.at < off {
		if ctx.Err() != nil {
			return vfs.EAGAIN
		}
		n, err := io.CopyN(io.Discard, t.file, min(off-t.at, skipStep))
		t.at += n
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *inTurn) Close() error { return t.file.Close() }

// errno is an error of io/fs to the protocols.
func errno(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return vfs.Errorf(vfs.ESTALE, "%v", err)
	case errors.Is(err, fs.ErrPermission):
		return vfs.Errorf(vfs.EACCES, "%v", err)
	}
	return err
}
