package fusefs

import (
	"context"
	"math"

	"golang.org/x/sys/unix"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// SeekData implements vfs.HoleSeeker.
func (f *file) SeekData(ctx context.Context, off int64) (int64, error) {
	return f.seek(ctx, off, unix.SEEK_DATA)
}

// SeekHole implements vfs.HoleSeeker.
func (f *file) SeekHole(ctx context.Context, off int64) (int64, error) {
	return f.seek(ctx, off, unix.SEEK_HOLE)
}

// seek makes an LSEEK. A file system without it has no holes.
func (f *file) seek(ctx context.Context, off int64, whence uint32) (int64, error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	f.entry.op.RLock()
	defer f.entry.op.RUnlock()
	h := f.held(ctx)
	a, err := h.attr()
	switch {
	case err != nil:
		return 0, err
	case uint64(off) >= a.Size:
		return 0, vfs.ENXIO
	}
	fs := f.node.fs
	in := fuse.LseekIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh, Offset: uint64(off), Whence: whence}
	var out fuse.LseekOut
	err = fs.call(func() fuse.Status { return fs.raw.Lseek(cancel(ctx), &in, &out) })
	switch {
	case err == notImplemented || err == vfs.ENOTSUP:
		if whence == unix.SEEK_DATA {
			return off, nil
		}
		return int64(a.Size), nil
	case err != nil:
		return 0, err
	case out.Offset > math.MaxInt64 || out.Offset < uint64(off):
		return 0, errBroken
	}
	return int64(out.Offset), nil
}

// Allocate implements vfs.Allocator.
func (f *file) Allocate(_ context.Context, off, length int64) error {
	return f.fallocate(0, off, length)
}

// Deallocate implements vfs.Allocator.
func (f *file) Deallocate(_ context.Context, off, length int64) error {
	return f.fallocate(unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, length)
}

func (f *file) fallocate(mode uint32, off, length int64) error {
	switch {
	case off < 0 || length <= 0:
		return vfs.EINVAL
	case off > math.MaxInt64-length:
		return vfs.EFBIG
	}
	if err := f.changeable(); err != nil {
		return err
	}
	f.entry.op.Lock()
	defer f.entry.op.Unlock()
	fs := f.node.fs
	in := fuse.FallocateIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh, Offset: uint64(off), Length: uint64(length), Mode: mode}
	if err := fs.call(func() fuse.Status { return fs.raw.Fallocate(nil, &in) }); err != nil {
		return gone(err)
	}
	f.written()
	return nil
}

// copyMost bounds what one CopyRange moves, and so the time a caller waits.
const copyMost = 16 << 20

// CopyRange implements vfs.RangeCopier. Where the file system has no
// COPY_FILE_RANGE the data goes through memory.
func (f *file) CopyRange(ctx context.Context, srcOff int64, to vfs.File, dstOff, length int64) (n int64, err error) {
	dst, ok := to.(*file)
	switch {
	case !ok || dst.node.fs != f.node.fs:
		return 0, vfs.EXDEV
	case srcOff < 0 || dstOff < 0 || length < 0:
		return 0, vfs.EINVAL
	case srcOff > math.MaxInt64-length || dstOff > math.MaxInt64-length:
		return 0, vfs.EFBIG
	case f.entry == dst.entry && srcOff < dstOff+length && dstOff < srcOff+length:
		return 0, vfs.EINVAL // overlap: copy_file_range(2)
	}
	if err := dst.changeable(); err != nil {
		return 0, err
	}
	length = min(length, copyMost)
	n, err = f.copyInside(srcOff, dst, dstOff, length)
	if n == 0 && (err == notImplemented || err == vfs.ENOTSUP || err == vfs.EXDEV) {
		return f.copyThrough(ctx, srcOff, dst, dstOff, length)
	}
	return n, err
}

func (f *file) copyInside(srcOff int64, dst *file, dstOff, length int64) (int64, error) {
	dst.entry.op.Lock()
	defer dst.entry.op.Unlock()
	fs := f.node.fs
	in := fuse.CopyFileRangeIn{
		InHeader: fs.header(f.cred, f.entry), FhIn: f.fh, OffIn: uint64(srcOff),
		NodeIdOut: dst.entry.id, FhOut: dst.fh, OffOut: uint64(dstOff), Len: uint64(length),
	}
	var n uint32
	err := fs.call(func() (code fuse.Status) {
		n, code = fs.raw.CopyFileRange(nil, &in)
		return code
	})
	if err == nil && int64(n) > length {
		err = errBroken
	}
	if err != nil {
		return 0, err
	}
	if n > 0 {
		dst.written()
	}
	return int64(n), nil
}

func (f *file) copyThrough(ctx context.Context, srcOff int64, dst *file, dstOff, length int64) (n int64, err error) {
	buf := make([]byte, min(length, 1<<20))
	for n < length && ctx.Err() == nil { // what is done is done: a short copy
		part := buf[:min(length-n, int64(len(buf)))]
		got, err := f.ReadAt(ctx, part, srcOff+n)
		if err != nil {
			return n, err
		}
		put, _, err := dst.WriteAt(ctx, part[:got], dstOff+n, vfs.Unstable)
		n += int64(put)
		if err != nil {
			return n, err
		}
		if got < len(part) {
			break
		}
	}
	return n, nil
}
