package ext4

import (
	"context"
	"io"

	"github.com/fsva/fsva/vfs"
)

// file is a regular file that was opened. It implements vfs.File.
type file struct {
	node    *node
	content *content
}

// Open implements vfs.Node.
func (n *node) Open(_ context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	// In the order of Linux on a read-only mount (open(2), may_open).
	switch typ := n.attr.Type; {
	case typ == vfs.TypeDirectory:
		return nil, vfs.EISDIR
	case typ == vfs.TypeSymlink:
		return nil, vfs.ELOOP
	case typ != vfs.TypeRegular:
		return nil, vfs.ENXIO
	case how&vfs.OpenWrite != 0:
		return nil, vfs.EROFS
	}
	trusted := how&vfs.OpenReclaim != 0 || how&vfs.OpenOwner != 0 && cred.UID == n.attr.UID
	if !trusted && !vfs.Permit(cred, &n.attr, mayRead) {
		return nil, vfs.EACCES
	}
	c, err := n.fs.content(n.inode)
	if err != nil {
		return nil, err
	}
	return &file{n, c}, nil
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// ReadAt implements vfs.File.
func (f *file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	left := f.content.size - off
	if left <= 0 || len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), left)]
	if err := f.content.readAt(p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SeekData implements vfs.HoleSeeker.
func (f *file) SeekData(_ context.Context, off int64) (int64, error) { return f.seek(off, false) }

// SeekHole implements vfs.HoleSeeker.
func (f *file) SeekHole(_ context.Context, off int64) (int64, error) { return f.seek(off, true) }

func (f *file) seek(off int64, hole bool) (int64, error) {
	if off < 0 || off >= f.content.size {
		return 0, vfs.ENXIO
	}
	at, err := f.content.seek(off, hole)
	if err == io.EOF {
		return 0, vfs.ENXIO
	}
	return min(at, f.content.size), err
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(context.Context, []byte, int64, vfs.Stability) (int, vfs.Stability, error) {
	return 0, vfs.Unstable, vfs.EROFS
}

// Sync implements vfs.File: there is nothing to write.
func (f *file) Sync(context.Context, bool) error { return nil }

// Close implements vfs.File.
func (f *file) Close() error { return nil }

var (
	_ vfs.File       = (*file)(nil)
	_ vfs.HoleSeeker = (*file)(nil)
)
