// Package disk is what the readers of file systems in images have in common: how
// they read a device, and files that lie on it in pieces.
package disk

import (
	"context"
	"fmt"
	"io"
	"sort"

	"github.com/fsva/fsva/vfs"
)

// Corrupt is the error for something that no sound image has: EIO to guests.
func Corrupt(format string, args ...any) error { return vfs.Errorf(vfs.EIO, format, args...) }

// ReadFull reads all of p at off. A device that ends before is corrupt.
func ReadFull(dev io.ReaderAt, p []byte, off int64) error {
	n, err := dev.ReadAt(p, off)
	switch {
	case n == len(p):
		return nil
	case err == nil || err == io.EOF:
		return Corrupt("the image is cut short: it ends at byte %d", off+int64(n))
	}
	return fmt.Errorf("read: %w", err)
}

// Extent is a piece of a file: where it is on the device, and its bytes.
type Extent struct{ Off, Size int64 }

// File is what is in a file that lies in extents, one after the other. It
// implements tree.Content.
type File struct {
	dev     io.ReaderAt
	extents []Extent
	ends    []int64 // of the extents, in the file
}

// NewFile makes a file of extents, which are kept.
func NewFile(dev io.ReaderAt, extents []Extent) *File {
	f := &File{dev, extents, make([]int64, len(extents))}
	end := int64(0)
	for i, e := range extents {
		end += e.Size
		f.ends[i] = end
	}
	return f
}

// Memory is what the file takes, in bytes.
func (f *File) Memory() int64 { return int64(len(f.extents))*24 + 96 }

// ReadAt implements tree.Content: all of p is within the file.
func (f *File) ReadAt(_ context.Context, p []byte, off int64) error {
	i := sort.Search(len(f.ends), func(i int) bool { return f.ends[i] > off })
	for ; len(p) > 0; i++ {
		if i == len(f.ends) {
			return Corrupt("a file ends %d bytes before its end", len(p))
		}
		left := f.ends[i] - off // of the extent
		part := p[:min(int64(len(p)), left)]
		if err := ReadFull(f.dev, part, f.extents[i].Off+f.extents[i].Size-left); err != nil {
			return err
		}
		p, off = p[len(part):], off+int64(len(part))
	}
	return nil
}

// Close implements tree.Content.
func (f *File) Close() error { return nil }
