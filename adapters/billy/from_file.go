package billy

import (
	"errors"
	"io"
	"os"
	"sync"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/vfs"
)

// handle is a vfs.File as a billy.File, which has an offset.
type handle struct {
	file    vfs.File
	tree    *tree
	name    string
	appends bool

	mu     sync.Mutex // guards what follows
	off    int64
	locked bool
}

// Name implements billy.File.
func (h *handle) Name() string { return h.name }

// Stat is what os.File has.
func (h *handle) Stat() (os.FileInfo, error) {
	a, err := h.file.Node().GetAttr(background, vfs.AttrAll)
	if err != nil {
		return nil, failed("stat", h.name, err)
	}
	return info{h.name, a}, nil
}

// Read implements io.Reader.
func (h *handle) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(p) == 0 {
		return 0, nil
	}
	n, err := h.file.ReadAt(background, p, h.off)
	h.off += int64(n)
	if n > 0 || err != nil {
		return n, failed("read", h.name, err)
	}
	return 0, io.EOF
}

// ReadAt implements io.ReaderAt.
func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	n, err := h.file.ReadAt(background, p, off)
	switch {
	case err != nil:
		return n, failed("read", h.name, err)
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}

// Write implements io.Writer.
func (h *handle) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.appends {
		a, err := h.file.Node().GetAttr(background, vfs.AttrSize)
		if err != nil {
			return 0, failed("write", h.name, err)
		}
		h.off = int64(a.Size)
	}
	n, err := h.WriteAt(p, h.off)
	h.off += int64(n)
	return n, err
}

// WriteAt implements io.WriterAt.
func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	n, _, err := h.file.WriteAt(background, p, off, vfs.Unstable)
	return n, failed("write", h.name, err)
}

// Seek implements io.Seeker.
func (h *handle) Seek(off int64, whence int) (int64, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		off += h.off
	case io.SeekEnd:
		a, err := h.file.Node().GetAttr(background, vfs.AttrSize)
		if err != nil {
			return 0, failed("seek", h.name, err)
		}
		off += int64(a.Size)
	default:
		return 0, failed("seek", h.name, vfs.EINVAL)
	}
	if off < 0 {
		return 0, failed("seek", h.name, vfs.EINVAL)
	}
	h.off = off
	return off, nil
}

// Truncate implements billy.File.
func (h *handle) Truncate(size int64) error {
	if size < 0 {
		return failed("truncate", h.name, vfs.EINVAL)
	}
	set := vfs.SetAttr{Set: vfs.SetSize, Size: uint64(size), Via: h.file}
	return failed("truncate", h.name, h.file.Node().SetAttr(background, h.tree.cred, &set))
}

// Sync implements Syncer.
func (h *handle) Sync() error { return failed("sync", h.name, h.file.Sync(background, false)) }

// Close implements io.Closer.
func (h *handle) Close() error {
	return errors.Join(h.Unlock(), failed("close", h.name, h.file.Close()))
}

// Lock implements billy.File.
func (h *handle) Lock() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.locked {
		h.tree.locks.lock(string(h.file.Node().Handle()))
		h.locked = true
	}
	return nil
}

// Unlock implements billy.File.
func (h *handle) Unlock() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.locked {
		h.tree.locks.unlock(string(h.file.Node().Handle()))
		h.locked = false
	}
	return nil
}

// locks are the files that are locked, by their nodes' handles.
type locks struct {
	mu   sync.Mutex
	free sync.Cond
	held map[string]bool
}

func newLocks() *locks {
	l := &locks{held: make(map[string]bool)}
	l.free.L = &l.mu
	return l
}

func (l *locks) lock(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.held[node] {
		l.free.Wait()
	}
	l.held[node] = true
}

func (l *locks) unlock(node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, node)
	l.free.Broadcast()
}

var (
	_ billy.File = (*handle)(nil)
	_ Syncer     = (*handle)(nil)
)
