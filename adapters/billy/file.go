package billy

import (
	"context"
	"errors"
	"io"
	"sync/atomic"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/vfs"
)

// file is a regular file that was opened.
type file struct {
	node *node
	body *body
	cred *vfs.Cred
	how  vfs.OpenFlags

	wrote atomic.Bool // and set-id bits that the file system keeps are gone
}

// Open implements vfs.Node. The file system itself is asked for the file with
// the first read or write.
func (n *node) Open(_ context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	switch n.typ {
	case vfs.TypeRegular:
	case vfs.TypeDirectory:
		return nil, vfs.EISDIR
	case vfs.TypeSymlink:
		return nil, vfs.ELOOP
	default:
		return nil, vfs.ENXIO
	}
	if how&vfs.OpenWrite != 0 {
		if err := n.fs.writable(); err != nil {
			return nil, err
		}
	}
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return nil, err
	}
	if _, err := n.lstat(p); err != nil {
		return nil, err
	}
	if err := n.mayOpen(cred, p, how); err != nil {
		return nil, err
	}
	return &file{node: n, body: n.fs.acquire(n.ino), cred: cred, how: how}, nil
}

func (n *node) mayOpen(cred *vfs.Cred, p place, how vfs.OpenFlags) error {
	if how&vfs.OpenReclaim != 0 {
		return nil
	}
	a, err := n.modes(p)
	if err != nil || how&vfs.OpenOwner != 0 && cred.UID == a.UID {
		return err
	}
	var rwx uint32
	if how&vfs.OpenRead != 0 {
		rwx |= mayRead
	}
	if how&vfs.OpenWrite != 0 {
		rwx |= mayWrite
	}
	if !vfs.Permit(cred, &a, rwx) {
		return vfs.EACCES
	}
	return nil
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// ReadAt implements vfs.File.
func (f *file) ReadAt(_ context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	err = f.body.read(func(file billy.File) (err error) {
		n, err = readFull(file, p, off)
		return err
	})
	return n, err
}

// readFull reads until p is full or the file ends: io.ReaderAt promises that in
// one call, and not every file system keeps it.
func readFull(file io.ReaderAt, p []byte, off int64) (n int, err error) {
	for n < len(p) {
		got, err := file.ReadAt(p[n:], off+int64(n))
		n += got
		if errors.Is(err, io.EOF) || err == nil && got == 0 {
			return n, nil
		}
		if err != nil {
			return n, errnoOf(err)
		}
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(ctx context.Context, p []byte, off int64, want vfs.Stability) (n int, done vfs.Stability, err error) {
	limit := int64(f.node.fs.opt.MaxFileSize)
	switch {
	case off < 0:
		return 0, want, vfs.EINVAL
	case len(p) == 0:
		return 0, want, nil
	case off >= limit:
		return 0, want, vfs.EFBIG
	}
	fits := p[:min(int64(len(p)), limit-off)]
	err = f.body.write(func(file billy.File) (err error) {
		n, err = f.body.writeAt(file, fits, off)
		return err
	})
	if n > 0 {
		err = errors.Join(err, f.node.fs.touch(f.node.ino, true), f.dropSetID())
	}
	if err == nil && len(fits) < len(p) {
		err = vfs.EFBIG
	}
	if err == nil && want > vfs.Unstable {
		if err := f.Sync(ctx, want == vfs.DataSync); err != nil {
			return 0, vfs.Unstable, err
		}
		return n, vfs.FileSync, nil
	}
	return n, vfs.Unstable, err
}

// dropSetID takes the set-id bits away with the first write by another than
// root (write(2)).
func (f *file) dropSetID() error {
	if f.cred.UID == 0 || f.wrote.Load() {
		return nil
	}
	if err := f.node.dropSetID(); err != nil {
		return err
	}
	f.wrote.Store(true)
	return nil
}

func (n *node) dropSetID() error {
	n.fs.tree.RLock()
	defer n.fs.tree.RUnlock()
	p, err := n.place()
	if err != nil {
		return err
	}
	fi, err := n.lstat(p)
	if err != nil {
		return err
	}
	a, err := n.fs.attr(p.Record, fi)
	if err != nil || a.Mode == withoutSetID(a.Mode) || n.fs.opt.Owner.Fixed {
		return err
	}
	return n.fs.settle(p, fi, wish{set: vfs.SetMode, mode: withoutSetID(a.Mode)})
}

// withoutSetID takes set-user-ID away, and set-group-ID where it is that and
// not the mark of mandatory locking (inode(7)).
func withoutSetID(mode uint32) uint32 {
	mode &^= vfs.ModeSetUID
	if mode&0o010 != 0 {
		mode &^= vfs.ModeSetGID
	}
	return mode
}

// Sync implements vfs.File. Metadata that the file system has no place for is
// made durable too, unless only data is asked for.
func (f *file) Sync(_ context.Context, dataOnly bool) error {
	err := f.body.sync()
	if err == nil && !dataOnly {
		err = f.node.fs.names.Commit()
	}
	return err
}

// Close implements vfs.File.
func (f *file) Close() error { return f.node.fs.release(f.body) }

var _ vfs.File = (*file)(nil)
