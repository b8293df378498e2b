package tree

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// File is the one file that a source is in. It notices when others write to it:
// what an index says of it is then not so any more, so from there on every read
// fails with EIO, which is logged once. A file that was replaced, by a rename
// for example, stays what it was as long as it is open.
type File struct {
	file  *os.File
	log   zerolog.Logger
	size  int64
	mtime time.Time
	spoil atomic.Bool // it has changed, or the disk under it has failed
}

// OpenFile opens a regular file for reading.
func OpenFile(path string, log zerolog.Logger) (*File, error) {
	// A FIFO would wait for a writer but for O_NONBLOCK.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return &File{file: f, log: log, size: st.Size(), mtime: st.ModTime()}, nil
}

// Size is in bytes.
func (f *File) Size() int64 { return f.size }

// Mtime is when it was last written to.
func (f *File) Mtime() vfs.Timespec { return vfs.TimespecOf(f.mtime) }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.file.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.fail(fmt.Sprintf("cannot be read: %v", err))
		return 0, vfs.Errorf(vfs.EIO, "read %s", f.file.Name())
	}
	if changed := f.Unchanged(); changed != nil {
		return 0, changed
	}
	return n, err
}

// Unchanged returns an error if somebody has written to the file since it was
// opened, as far as its size and modification time tell.
func (f *File) Unchanged() error {
	st, err := f.file.Stat()
	if err == nil && st.Size() == f.size && st.ModTime().Equal(f.mtime) && !f.spoil.Load() {
		return nil
	}
	f.fail("has been written to; what is served of it would be wrong. Add the export again")
	return vfs.Errorf(vfs.EIO, "%s has changed", f.file.Name())
}

func (f *File) fail(why string) {
	if !f.spoil.Swap(true) {
		f.log.Error().Str("file", f.file.Name()).Msg("the file of an export " + why)
	}
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// sampled is how much of either end of a file is in its fingerprint: that has
// the superblocks of images, and of archives the first header and the list.
const sampled = 64 << 10

// Fingerprint tells the file from what it was before or another file: by its
// size, modification time, and both ends. kind is of the adapter and what else
// decides how it numbers items; another version that numbers otherwise has
// another kind.
func (f *File) Fingerprint(kind string) (Fingerprint, error) {
	h := sha256.New()
	fmt.Fprintf(h, "%q", kind)
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(f.size)))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(f.mtime.UnixNano())))
	for _, off := range []int64{0, max(0, f.size-sampled)} {
		if _, err := io.Copy(h, io.NewSectionReader(f, off, min(sampled, f.size))); err != nil {
			return Fingerprint{}, err
		}
	}
	return Fingerprint(h.Sum(nil)[:len(Fingerprint{})]), nil
}
