package rclone

import (
	"errors"
	"io"
	"os"

	gobilly "github.com/go-git/go-billy/v5"
	rvfs "github.com/rclone/rclone/vfs"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

// file is a file that was opened. adapters/billy opens each once and never calls
// two methods at once, but for ReadAt.
type file struct {
	tree   *tree
	name   string
	handle rvfs.Handle
	off    int64
	// entered says that the ledger has the file, all of which is in the cache:
	// before that nothing of it may be changed.
	entered bool
}

// OpenFile implements billy.Basic.
func (t *tree) OpenFile(name string, flag int, perm os.FileMode) (gobilly.File, error) {
	name = clean(name)
	f, err := await(t.patience, 1, func() (*file, error) { return t.open(name, flag, perm) }, func(f *file) { _ = f.close() })
	if err != nil {
		return nil, err
	}
	return f, nil
}

func (t *tree) open(name string, flag int, perm os.FileMode) (*file, error) {
	if err := t.claims.free(name); err != nil {
		return nil, err
	}
	if flag&os.O_CREATE != 0 {
		if err := t.mayBeNamed(name); err != nil {
			return nil, err
		}
	}
	if err := t.room(name, flag); err != nil {
		return nil, err
	}
	h, err := t.vfs.OpenFile(name, flag, perm)
	if errors.Is(err, vfs.ENOTDIR) {
		t.store.makeWay(name)
		h, err = t.vfs.OpenFile(name, flag, perm)
	}
	if err != nil {
		return nil, err
	}
	f := &file{tree: t, name: name, handle: h}
	// rclone opens its cache with the first use, and that may fail.
	_, err = h.Seek(0, io.SeekEnd)
	if errors.Is(err, vfs.ENOTDIR) {
		t.store.makeWay(name)
		_, err = h.Seek(0, io.SeekEnd)
	}
	if err == nil && flag&(os.O_CREATE|os.O_TRUNC) != 0 {
		err = f.enter(0)
	}
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// Name implements billy.File.
func (f *file) Name() string { return f.name }

// ReadAt implements billy.File. What goes on when nobody waits any more needs
// bytes of its own to read into.
func (f *file) ReadAt(p []byte, off int64) (int, error) {
	type part struct {
		bytes []byte
		n     int
		eof   bool
	}
	t := f.tree
	got, err := await(t.patience, 1, func() (part, error) {
		b := t.buffer(len(p))
		n, err := f.handle.ReadAt(b, off)
		if err == io.EOF {
			return part{b, n, true}, nil
		}
		if errors.Is(err, vfs.ENOSPC) { // of the cache, and no matter of who reads
			err = refuse(vfs.EIO, "%v", hide(err))
		}
		return part{b, n, false}, err
	}, nil)
	if err != nil {
		return 0, err
	}
	n := copy(p, got.bytes[:got.n])
	t.buffers.Put(&got.bytes)
	if got.eof {
		return n, io.EOF
	}
	return n, nil
}

// buffer returns n bytes.
func (t *tree) buffer(n int) []byte {
	if b, ok := t.buffers.Get().(*[]byte); ok && cap(*b) >= n {
		return (*b)[:n]
	}
	return make([]byte, n)
}

// enter has all of the file but what is about to be cut off, or its first keep
// bytes, in the cache, and then the ledger know it. rclone would fetch what is
// missing when the file is closed, and lose what was written if it cannot.
func (f *file) enter(keep int64) error {
	if f.entered {
		return nil
	}
	if err := f.fetch(keep); err != nil {
		return err
	}
	if err := f.tree.ledger.enter(f.name); err != nil {
		return err
	}
	f.entered = true
	return nil
}

// fetchStep is how much is fetched at a time, each in a call's time.
const fetchStep = 4 << 20

func (f *file) fetch(keep int64) error {
	if f.tree.store.dirty(f.name) { // then it was entered before
		return nil
	}
	b := make([]byte, min(keep, fetchStep))
	for _, gap := range f.tree.store.missing(f.name, keep) {
		for off := gap.Pos; off < gap.End(); off += int64(len(b)) {
			n, err := f.ReadAt(b[:min(int64(len(b)), gap.End()-off)], off)
			if err != nil && err != io.EOF {
				return err
			}
			if n == 0 {
				return refuse(vfs.EIO, "%s ends before what the remote told", f.name)
			}
		}
	}
	return nil
}

// change does what changes the file. The first change may wait for an upload that
// it has to stop.
func (f *file) change(keep int64, op func() error) error {
	if err := f.tree.room(f.name, os.O_RDWR); err != nil {
		return errnoOf(err)
	}
	if err := f.enter(keep); err != nil {
		return errnoOf(err)
	}
	return errnoOf(op())
}

func (f *file) size() int64 { return f.handle.Node().Size() }

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.change(f.size(), func() error {
		n, err = f.handle.WriteAt(p, off)
		return err
	})
	return n, err
}

// Truncate implements billy.File.
func (f *file) Truncate(size int64) error {
	return f.change(min(size, f.size()), func() error { return f.handle.Truncate(size) })
}

// Sync implements billy's Syncer: what was written is on the disk of the cache,
// and found there after a crash of the machine.
func (f *file) Sync() error {
	return f.tree.patience.do(1, func() error {
		if err := f.handle.Sync(); err != nil {
			return err
		}
		return errors.Join(f.tree.store.sync(f.name), f.tree.ledger.sync(f.name))
	})
}

// Read implements billy.File.
func (f *file) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	return n, err
}

// Write implements billy.File.
func (f *file) Write(p []byte) (int, error) {
	n, err := f.WriteAt(p, f.off)
	f.off += int64(n)
	return n, err
}

// Seek implements billy.File.
func (f *file) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		off += f.size()
	}
	if off < 0 {
		return f.off, vfs.EINVAL
	}
	f.off = off
	return off, nil
}

// Close implements billy.File. It is never refused: nobody calls it again, and
// rclone uploads no file that is open.
func (f *file) Close() error { return f.tree.patience.finish(f.close) }

func (f *file) close() error {
	err := f.handle.Close()
	if f.entered {
		f.tree.ledger.leave(f.name)
	}
	return err
}

// Lock implements billy.File. Locks of guests are the appliance's.
func (f *file) Lock() error { return gobilly.ErrNotSupported }

// Unlock implements billy.File.
func (f *file) Unlock() error { return gobilly.ErrNotSupported }

var (
	_ gobilly.File = (*file)(nil)
	_ io.WriterAt  = (*file)(nil)
	_ billy.Syncer = (*file)(nil)
)
