package tree

import (
	"context"

	"github.com/fsva/fsva/vfs"
)

// file is a regular file that was opened. It implements vfs.File.
type file struct {
	node    node
	content Content
}

// Open implements vfs.Node.
func (n node) Open(ctx context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	r := n.record()
	if err := openable(r.typ, how); err != nil {
		return nil, err
	}
	trusted := how&vfs.OpenReclaim != 0 || how&vfs.OpenOwner != 0 && cred.UID == r.uid
	if !trusted {
		if err := n.permit(cred, mayRead); err != nil {
			return nil, err
		}
	}
	content, err := n.fs.source.Open(ctx, r.rest)
	if err != nil {
		return nil, err
	}
	return &file{n, content}, nil
}

// openable finds what Linux finds on a read-only mount, in its order: the kind
// of file before the mount, and that before who asks (open(2), may_open).
func openable(typ vfs.FileType, how vfs.OpenFlags) error {
	switch {
	case typ == vfs.TypeDirectory:
		return vfs.EISDIR
	case typ == vfs.TypeSymlink:
		return vfs.ELOOP
	case typ != vfs.TypeRegular:
		return vfs.ENXIO
	case how&vfs.OpenWrite != 0:
		return vfs.EROFS
	}
	return nil
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// ReadAt implements vfs.File.
func (f *file) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	left := int64(f.node.record().size) - off
	if left <= 0 || len(p) == 0 {
		return 0, nil
	}
	p = p[:min(int64(len(p)), left)]
	if err := f.content.ReadAt(ctx, p, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// SeekData implements vfs.HoleSeeker.
func (f *file) SeekData(ctx context.Context, off int64) (int64, error) {
	if !f.holds(off) {
		return 0, vfs.ENXIO
	}
	if h, ok := f.content.(vfs.HoleSeeker); ok {
		return h.SeekData(ctx, off)
	}
	return off, nil
}

// SeekHole implements vfs.HoleSeeker. There is one at the end of each file.
func (f *file) SeekHole(ctx context.Context, off int64) (int64, error) {
	if !f.holds(off) {
		return 0, vfs.ENXIO
	}
	if h, ok := f.content.(vfs.HoleSeeker); ok {
		return h.SeekHole(ctx, off)
	}
	return int64(f.node.record().size), nil
}

// holds reports whether off is within the file.
func (f *file) holds(off int64) bool { return off >= 0 && uint64(off) < f.node.record().size }

// WriteAt implements vfs.File.
func (f *file) WriteAt(context.Context, []byte, int64, vfs.Stability) (int, vfs.Stability, error) {
	return 0, vfs.Unstable, vfs.EROFS
}

// Sync implements vfs.File: there is nothing to write.
func (f *file) Sync(context.Context, bool) error { return nil }

// Close implements vfs.File.
func (f *file) Close() error { return f.content.Close() }

var (
	_ vfs.File       = (*file)(nil)
	_ vfs.HoleSeeker = (*file)(nil)
)
