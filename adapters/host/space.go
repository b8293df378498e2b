package host

import (
	"context"
	"errors"
	"math"
	"slices"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// SeekData implements vfs.HoleSeeker.
func (f *file) SeekData(_ context.Context, off int64) (int64, error) {
	return f.seek(off, unix.SEEK_DATA)
}

// SeekHole implements vfs.HoleSeeker.
func (f *file) SeekHole(_ context.Context, off int64) (int64, error) {
	return f.seek(off, unix.SEEK_HOLE)
}

// seek moves the offset of the shared descriptor too, which nobody uses.
func (f *file) seek(off int64, whence int) (int64, error) {
	desc, err := f.descriptor()
	if err != nil {
		return 0, err
	}
	defer desc.release()
	return unix.Seek(desc.fd, off, whence)
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
	return f.change(func(fd int) error {
		_, err := retry(func() (int, error) { return 0, unix.Fallocate(fd, mode, off, length) })
		return err
	})
}

// copyMost bounds what one CopyRange moves through memory, and so the time a
// caller waits for it.
const copyMost = 16 << 20

var copyBuffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// CopyRange implements vfs.RangeCopier. Where the kernel cannot copy between
// the two files the data goes through memory, at most 16 MiB at a time.
func (f *file) CopyRange(ctx context.Context, srcOff int64, to vfs.File, dstOff, length int64) (int64, error) {
	dst, ok := to.(*file)
	switch {
	case !ok || dst.node.fs != f.node.fs:
		return 0, vfs.EXDEV
	case srcOff < 0 || dstOff < 0 || length < 0:
		return 0, vfs.EINVAL
	case srcOff > math.MaxInt64-length || dstOff > math.MaxInt64-length:
		return 0, vfs.EFBIG
	case f.same(dst) && srcOff < dstOff+length && dstOff < srcOff+length:
		return 0, vfs.EINVAL // overlap: copy_file_range(2)
	}
	n, err := f.copyInKernel(dst, srcOff, dstOff, length)
	if n == 0 && cannotCopy(err) {
		return f.copyThrough(ctx, dst, srcOff, dstOff, min(length, copyMost))
	}
	return n, err
}

func (f *file) same(g *file) bool { return slices.Equal(f.node.handle, g.node.handle) }

// cannotCopy tells "not here" from a failure (copy_file_range(2)).
func cannotCopy(err error) bool {
	return errors.Is(err, unix.EXDEV) || errors.Is(err, unix.EINVAL) ||
		errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS)
}

func (f *file) copyInKernel(dst *file, srcOff, dstOff, length int64) (n int64, err error) {
	src, err := f.descriptor()
	if err != nil {
		return 0, err
	}
	defer src.release()
	const most = 1 << 30 // one call takes no more than an int
	err = dst.change(func(fd int) error {
		got, err := retry(func() (int, error) {
			from, to := srcOff, dstOff
			return unix.CopyFileRange(src.fd, &from, fd, &to, int(min(length, most)), 0)
		})
		n = int64(max(got, 0))
		return err
	})
	return n, err
}

func (f *file) copyThrough(ctx context.Context, dst *file, srcOff, dstOff, length int64) (n int64, err error) {
	buf := copyBuffers.Get().(*[256 << 10]byte)
	defer copyBuffers.Put(buf)
	for n < length {
		if err := ctx.Err(); err != nil {
			break // what is done is done: a short copy
		}
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

// CloneRange implements vfs.Cloner.
func (f *file) CloneRange(_ context.Context, srcOff int64, to vfs.File, dstOff, length int64) error {
	dst, ok := to.(*file)
	if !ok || dst.node.fs != f.node.fs {
		return vfs.EXDEV
	}
	if srcOff < 0 || dstOff < 0 || length < 0 {
		return vfs.EINVAL
	}
	src, err := f.descriptor()
	if err != nil {
		return err
	}
	defer src.release()
	return dst.change(func(fd int) error {
		r := unix.FileCloneRange{
			Src_fd:      int64(src.fd),
			Src_offset:  uint64(srcOff),
			Src_length:  uint64(length),
			Dest_offset: uint64(dstOff),
		}
		_, err := retry(func() (int, error) { return 0, unix.IoctlFileCloneRange(fd, &r) })
		if errors.Is(err, unix.ENOTTY) { // no such ioctl here
			return vfs.EOPNOTSUPP
		}
		return err
	})
}
