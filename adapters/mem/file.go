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
	if err := n.mayOpen(cred, how); err != nil {
		return nil, err
	}
	n.opens++
	return &file{inode: n, cred: cred, how: how}, nil
}

func (n *inode) mayOpen(cred *vfs.Cred, how vfs.OpenFlags) error {
	if how&vfs.OpenReclaim != 0 || how&vfs.OpenOwner != 0 && cred.UID == n.uid {
		return nil
	}
	var rwx uint32
	if how&vfs.OpenRead != 0 {
		rwx |= mayRead
	}
	if how&vfs.OpenWrite != 0 {
		rwx |= mayWrite
	}
	return n.permit(cred, rwx)
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.inode }

// Close implements vfs.File.
func (f *file) Close() error {
	n := f.inode
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
	now := vfs.TimespecOf(time.Now())
	n.mu.RLock()
	length := max(min(int64(len(p)), n.data.size-off), 0)
	n.data.read(p[:length], off)
	overdue := n.overdue(now)
	n.mu.RUnlock()
	if overdue {
		n.noteRead(now)
	}
	return int(length), nil
}

// WriteAt implements vfs.File. Memory is as stable as this file system gets.
func (f *file) WriteAt(_ context.Context, p []byte, off int64, _ vfs.Stability) (int, vfs.Stability, error) {
	switch {
	case off < 0:
		return 0, vfs.FileSync, vfs.EINVAL
	case len(p) == 0:
		return 0, vfs.FileSync, nil
	case off >= maxFileSize:
		return 0, vfs.FileSync, vfs.EFBIG
	}
	fits := p[:min(int64(len(p)), maxFileSize-off)]
	n := f.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	done, err := n.data.write(n.fs, fits, off)
	if done > 0 {
		n.dropSetID(f.cred)
		n.changed(true)
	}
	if err == nil && len(fits) < len(p) {
		err = vfs.EFBIG
	}
	return done, vfs.FileSync, err
}

// Sync implements vfs.File.
func (f *file) Sync(context.Context, bool) error { return nil }

// checkRange checks a range of fallocate(2).
func checkRange(off, length int64) error {
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
	if err := checkRange(off, length); err != nil {
		return err
	}
	if off+length > maxFileSize {
		return vfs.EFBIG
	}
	n := f.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.data.allocate(n.fs, off, length); err != nil {
		return err
	}
	n.dropSetID(f.cred)
	n.changed(true)
	return nil
}

// Deallocate implements vfs.Allocator.
func (f *file) Deallocate(_ context.Context, off, length int64) error {
	if err := checkRange(off, length); err != nil {
		return err
	}
	n := f.inode
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.data.punch(n.fs, off, length); err != nil {
		return err
	}
	n.dropSetID(f.cred)
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

var (
	_ vfs.File       = (*file)(nil)
	_ vfs.HoleSeeker = (*file)(nil)
	_ vfs.Allocator  = (*file)(nil)
)
