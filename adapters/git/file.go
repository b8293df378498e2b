package git

import (
	"context"
	"errors"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/adapters/git/objects"
	"github.com/fsva/fsva/vfs"
)

// file is a blob that was opened. It holds nothing: what is read of it is in the
// caches, or will be.
type file struct {
	node *node
	item *item
	size int64
}

// Open implements vfs.Node. What it refuses and in which order is as on a
// read-only mount in Linux (open(2), may_open).
func (n *node) Open(_ context.Context, _ *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	e, ok := n.place.(*entry)
	switch {
	case !ok || e.isDir():
		return nil, vfs.EISDIR
	case e.at().kind == symlink:
		return nil, vfs.ELOOP
	case how&vfs.OpenWrite != 0:
		return nil, vfs.EROFS
	}
	size, err := n.fs.size(e.at())
	if err != nil {
		return nil, err
	}
	return &file{n, e.at(), size}, nil
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// ReadAt implements vfs.File.
func (f *file) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	switch {
	case off < 0:
		return 0, vfs.EINVAL
	case off >= f.size || len(p) == 0:
		return 0, nil
	}
	fs, id := f.node.fs, f.item.id
	if f.size <= smallBlob {
		data, err := fs.blob(ctx, id)
		if err == nil {
			return copy(p, data[min(off, int64(len(data))):]), nil
		}
		if !errors.Is(err, objects.ErrTooLarge) { // it is a delta of something large
			return 0, fs.fail(id, err)
		}
	}
	n, err := fs.spool.read(ctx, id, f.size, p, off, func() (*objects.Content, error) {
		return fs.objects.Content(ctx, id, fs.opt.Dir, fs.opt.Spool)
	})
	return n, fs.fail(id, err)
}

// blob returns a small blob, which is shared.
func (f *FS) blob(ctx context.Context, id plumbing.Hash) ([]byte, error) {
	if data, ok := f.blobs.Get(id); ok {
		return data, nil
	}
	_, data, err := f.objects.Read(ctx, id, smallBlob)
	if err == nil {
		f.blobs.Add(id, data)
	}
	return data, err
}

// target is that of a symbolic link. One that symlink(2) would not make cannot
// be told to a guest.
func (f *FS) target(ctx context.Context, id plumbing.Hash) (string, error) {
	data, err := f.blob(ctx, id)
	if err == nil && (len(data) == 0 || len(data) > vfs.MaxSymlink || strings.IndexByte(string(data), 0) >= 0) {
		err = errMalformed
	}
	return string(data), f.fail(id, err)
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(context.Context, []byte, int64, vfs.Stability) (int, vfs.Stability, error) {
	return 0, vfs.Unstable, vfs.EROFS
}

// Sync implements vfs.File: there is nothing to write.
func (f *file) Sync(context.Context, bool) error { return nil }

// Close implements vfs.File.
func (f *file) Close() error { return nil }

var _ vfs.File = (*file)(nil)
