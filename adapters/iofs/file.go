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
	file, err := s.fsys.Open(path)
	if err != nil {
		return nil, errno(err)
	}
	if r, ok := file.(io.ReaderAt); ok {
		return direct{file, r}, nil
	}
	c := &inTurn{fsys: s.fsys, path: path, file: file, turn: make(chan struct{}, 1)}
	c.turn <- struct{}{}
	return c, nil
}

// Close implements tree.Source. The fs.FS is its maker's.
func (s *source) Close() error { return nil }

// direct is content that is read at any place. It implements tree.Content.
type direct struct {
	fs.File
	at io.ReaderAt
}

func (c direct) ReadAt(_ context.Context, p []byte, off int64) error {
	n, err := c.at.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	return short(c.File, err)
}

// inTurn is content with a place where it is read, so that readers take turns. It
// implements tree.Content.
type inTurn struct {
	fsys fs.FS
	path string
	turn chan struct{} // holds one token: who has it owns what follows
	file fs.File
	at   int64
}

func (c *inTurn) ReadAt(ctx context.Context, p []byte, off int64) error {
	select {
	case <-c.turn:
	case <-ctx.Done():
		return vfs.EAGAIN
	}
	defer func() { c.turn <- struct{}{} }()
	if err := c.seek(ctx, off); err != nil {
		return err
	}
	n, err := io.ReadFull(c.file, p)
	c.at += int64(n)
	if n == len(p) {
		return nil
	}
	return short(c.file, err)
}

const skipStep = 1 << 20 // bytes that are read between looks at the context

// seek goes to off: by io.Seeker, or by reading on, from the start if off is
// behind.
func (c *inTurn) seek(ctx context.Context, off int64) error {
	if s, ok := c.file.(io.Seeker); ok {
		at, err := s.Seek(off, io.SeekStart)
		if err == nil && at == off {
			c.at = off
			return nil
		}
	}
	if off < c.at {
		file, err := c.fsys.Open(c.path)
		if err != nil {
			return errno(err)
		}
		c.file.Close()
		c.file, c.at = file, 0
	}
	for c.at < off {
		if ctx.Err() != nil {
			return vfs.EAGAIN
		}
		n, err := io.CopyN(io.Discard, c.file, min(off-c.at, skipStep))
		c.at += n
		if err != nil {
			return short(c.file, err)
		}
	}
	return nil
}

func (c *inTurn) Close() error { return c.file.Close() }

// short says why not all was read.
func short(f fs.File, err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		name := "a file"
		if info, err := f.Stat(); err == nil {
			name = info.Name()
		}
		return vfs.Errorf(vfs.EIO, "%s is shorter than when it was listed", name)
	}
	return errno(err)
}

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
