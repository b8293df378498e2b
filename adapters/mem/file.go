package mem

import (
	"context"
	"math"
	"time"

	"github.com/fsva/fsva/vfs"
)

// file is a regular file that was opened. It implements vfs.File and vfs's
// optional abilities of files.
type file struct {
	inode *inode
	cred  *vfs.Cred
	how   vfs.OpenFlags
}

// Open implements vfs.Node.
func (n *inode) Open(_ context.Context, cred *vfs.Cred, how vfs.OpenFlags) (vfs.File, error) {
	switch n.typ {
	case vfs.TypeRegular:
	case vfs.TypeDirectory:
		return nil, vfs.EISDIR
	case vfs.TypeSymlink:
		return nil, vfs.ELOOP
	default:
		return nil, vfs.ENXIO
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.gone {
		return nil, vfs.ESTALE
	}
	if how&vfs.OpenReclaim == 0 && (how&vfs.OpenOwner == 0 || cred.UID != n.uid) {
		var rwx uint32
		if how&vfs.OpenRead != 0 {
			rwx |= mayRead
		}
		if how&vfs.OpenWrite != 0 {
			rwx |= mayWrite
		}
		if err := n.permit(cred, rwx); err != nil {
			return nil, err
		}
	}
	n.opens++
	return &file{inode: n, cred: cred, how: how}, nil
}

func (f *file) Node() vfs.Node { return f.inode }

// Close implements vfs.File.
func (f *file) Close() error {
	n := f.inode
	n.fs.tree.Lock()
	defer n.fs.tree.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opens--
	n.reap()
	return nil
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	n := f.inode
	n.mu.RLock()
	length := max(min(int64(len(p)), n.data.size-off), 0)
	n.data.read(p[:length], off)
	n.mu.RUnlock()
	n.touch()
	return int(length), nil
}

// touch notes a read, as often as mount(8)'s relatime does.
func (n *inode) touch() {
	now := time.Now()
	n.mu.RLock()
	last := n.atime.Time()
	stale := !last.After(n.mtime.Time()) || now.Sub(last) > 24*time.Hour
	n.mu.RUnlock()
	if stale {
		n.mu.Lock()
		n.atime = vfs.TimespecOf(now)
		n.mu.Unlock()
	}
}

// WriteAt implements vfs.File. Memory is as stable as this file system gets.
func (f *file) WriteAt(_ context.Context, p []byte, off int64, want vfs.Stability) (int, vfs.Stability, error) {
	switch {
	case off < 0:
		return 0, want, vfs.EINVAL
	case int64(len(p)) > math.MaxInt64-off:
		return 0, want, vfs.EFBIG
	}
	n := f.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	done, err := n.data.write(n.fs, p, off)
	if done > 0 {
		n.dropSetID(f.cred)
		n.changed(true)
	}
	return done, vfs.FileSync, err
}

// Sync implements vfs.File.
func (f *file) Sync(context.Context, bool) error { return nil }

// rangeOf checks a range of fallocate(2).
func rangeOf(off, length int64) error {
	switch {
	case off < 0 || length <= 0:
		return vfs.EINVAL
	case length > math.MaxInt64-off:
		return vfs.EFBIG
	}
	return nil
}

// Allocate implements vfs.Allocator.
func (f *file) Allocate(_ context.Context, off, length int64) error {
	if err := rangeOf(off, length); err != nil {
		return err
	}
	n := f.inode
	if length > n.fs.size {
		return vfs.ENOSPC // before a walk over chunks that cannot be had
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.data.allocate(n.fs, off, length); err != nil {
		return err
	}
	n.data.size = max(n.data.size, off+length)
	n.changed(true)
	return nil
}

// Deallocate implements vfs.Allocator.
func (f *file) Deallocate(_ context.Context, off, length int64) error {
	if err := rangeOf(off, length); err != nil {
		return err
	}
	n := f.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	n.data.punch(n.fs, off, length)
	n.changed(true)
	return nil
}

// SeekData implements vfs.HoleSeeker.
func (f *file) SeekData(_ context.Context, off int64) (int64, error) {
	n := f.inode
	n.mu.RLock()
	defer n.mu.RUnlock()
	if off < 0 || off >= n.data.size {
		return 0, vfs.ENXIO
	}
	return n.data.seekData(off)
}

// SeekHole implements vfs.HoleSeeker.
func (f *file) SeekHole(_ context.Context, off int64) (int64, error) {
	n := f.inode
	n.mu.RLock()
	defer n.mu.RUnlock()
	if off < 0 || off >= n.data.size {
		return 0, vfs.ENXIO
	}
	return n.data.seekHole(off), nil
}

// copyChunk is how much CopyRange moves between two looks at its context.
const copyChunk = 1 << 20

// CopyRange implements vfs.RangeCopier.
func (f *file) CopyRange(ctx context.Context, srcOff int64, dst vfs.File, dstOff, length int64) (n int64, err error) {
	to, ok := dst.(*file)
	if !ok || to.inode.fs != f.inode.fs {
		return 0, vfs.EXDEV
	}
	if f.inode == to.inode && srcOff < dstOff+length && dstOff < srcOff+length {
		return 0, vfs.EINVAL // copy_file_range(2)
	}
	buf := make([]byte, min(length, copyChunk))
	for n < length && ctx.Err() == nil {
		got, err := f.ReadAt(ctx, buf[:min(length-n, copyChunk)], srcOff+n)
		if err != nil || got == 0 {
			return n, err
		}
		put, _, err := to.WriteAt(ctx, buf[:got], dstOff+n, vfs.Unstable)
		n += int64(put)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

var (
	_ vfs.File        = (*file)(nil)
	_ vfs.HoleSeeker  = (*file)(nil)
	_ vfs.Allocator   = (*file)(nil)
	_ vfs.RangeCopier = (*file)(nil)
)
