package fusefs

import (
	"context"
	"math"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/fsva/fsva/vfs"
)

// file is a regular file that was opened.
type file struct {
	node     *node
	entry    *entry
	cred     *vfs.Cred
	writable bool
	flags    uint32 // of open(2)

	fh     uint64
	noOpen bool // the file system knows no OPEN, so there is no handle to give back
	out    uint32
}

var (
	_ vfs.File        = (*file)(nil)
	_ vfs.HoleSeeker  = (*file)(nil)
	_ vfs.Allocator   = (*file)(nil)
	_ vfs.RangeCopier = (*file)(nil)
)

const (
	// maxIO is the most that one READ or WRITE moves: what the library's server
	// agrees on with the kernel unless it is told otherwise.
	maxIO = 128 << 10
	// noOpen among the FOPEN flags, of which it is none, stands for an OPEN that
	// is answered by ENOSYS: the kernel goes on without handle, too.
	noOpen = 1 << 31
	// streams are the files that cannot be read at any offset.
	streams = fuse.FOPEN_NONSEEKABLE | fuse.FOPEN_STREAM
)

// openFlags converts what to open for.
func openFlags(how vfs.OpenFlags) uint32 {
	switch {
	case how&vfs.OpenWrite == 0:
		return unix.O_RDONLY
	case how&vfs.OpenRead == 0:
		return unix.O_WRONLY
	}
	return unix.O_RDWR
}

// Open implements vfs.Node.
func (n *node) Open(ctx context.Context, cred *vfs.Cred, how vfs.OpenFlags) (opened vfs.File, err error) {
	err = n.shared(ctx, func(h *held) error {
		a, err := h.attr()
		if err != nil {
			return err
		}
		switch a.Type {
		case vfs.TypeRegular:
		case vfs.TypeDirectory:
			return vfs.EISDIR
		case vfs.TypeSymlink:
			return vfs.ELOOP
		default:
			return vfs.ENXIO
		}
		if n.fs.opt.ReadOnly && how&vfs.OpenWrite != 0 {
			return vfs.EROFS
		}
		if err := mayOpen(n.fs.judge(cred), &a, how); err != nil {
			return err
		}
		in := fuse.OpenIn{InHeader: n.fs.header(cred, h.entry), Flags: openFlags(how)}
		var out fuse.OpenOut
		err = n.fs.call(func() fuse.Status { return n.fs.raw.Open(cancel(ctx), &in, &out) })
		if err == notImplemented {
			out.OpenFlags, err = noOpen, nil
		}
		if err != nil {
			return gone(err)
		}
		f := h.opened(&out, cred, how)
		if out.OpenFlags&streams != 0 && out.OpenFlags&noOpen == 0 {
			f.release()
			return vfs.Errorf(vfs.EOPNOTSUPP, "the file is a stream (FOPEN_NONSEEKABLE), which guests cannot read")
		}
		opened = f
		return nil
	})
	return opened, err
}

// opened notes that the node is open.
func (h *held) opened(out *fuse.OpenOut, cred *vfs.Cred, how vfs.OpenFlags) *file {
	f := &file{
		node: h.node, entry: h.entry, cred: cred, writable: how&vfs.OpenWrite != 0, flags: openFlags(how),
		fh: out.Fh, noOpen: out.OpenFlags&noOpen != 0, out: out.OpenFlags &^ noOpen,
	}
	h.fs.nodes.open(h.entry, f)
	return f
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// held is the node, which is in use while the file is open.
func (f *file) held(ctx context.Context) *held { return &held{f.node, f.entry, ctx} }

// Close implements vfs.File. Servers cannot hand its error on: where the file
// system fails then to keep what was written, the verifier has guests write again
// what they have not committed.
func (f *file) Close() error {
	f.entry.op.RLock()
	err := f.flush()
	if err != nil {
		f.node.fs.verifier.Add(1)
	}
	f.entry.op.RUnlock()
	f.entry.op.Lock()
	defer f.entry.op.Unlock()
	f.release()
	return err
}

// flush makes a FLUSH, if the file system has one. op is held.
func (f *file) flush() error {
	if f.noOpen || f.out&fuse.FOPEN_NOFLUSH != 0 {
		return nil
	}
	fs := f.node.fs
	in := fuse.FlushIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh}
	err := fs.call(func() fuse.Status { return fs.raw.Flush(nil, &in) })
	if err == notImplemented || err == vfs.ENOTSUP {
		return nil
	}
	return err
}

// release gives the handle back.
func (f *file) release() {
	fs := f.node.fs
	if !f.noOpen {
		in := fuse.ReleaseIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh, Flags: f.flags}
		_ = fs.call(func() fuse.Status { fs.raw.Release(nil, &in); return fuse.OK }) // a panic is logged
	}
	fs.nodes.close(f.entry, f)
}

// ReadAt implements vfs.File.
func (f *file) ReadAt(ctx context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	f.entry.op.RLock()
	defer f.entry.op.RUnlock()
	direct := f.out&fuse.FOPEN_DIRECT_IO != 0
	if !direct { // the kernel asks for no bytes behind the size, and some rely on that
		a, err := f.held(ctx).attr()
		if err != nil {
			return 0, err
		}
		p = p[:min(uint64(len(p)), a.Size-min(uint64(off), a.Size))]
	}
	for n < len(p) {
		part := p[n:min(len(p), n+maxIO)]
		got, err := f.read(ctx, part, off+int64(n))
		if err != nil {
			return n, err
		}
		n += got
		// With direct I/O less than was asked for is not yet the end.
		if got == 0 || got < len(part) && !direct {
			break
		}
	}
	return n, nil
}

// read makes one READ.
func (f *file) read(ctx context.Context, p []byte, off int64) (n int, err error) {
	fs := f.node.fs
	in := fuse.ReadIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh, Offset: uint64(off), Size: uint32(len(p)), Flags: f.flags}
	err = fs.call(func() fuse.Status {
		result, code := fs.raw.Read(cancel(ctx), &in, p)
		if result == nil {
			return code
		}
		defer result.Done()
		if code == fuse.OK {
			var data []byte
			data, code = result.Bytes(p)
			n = copy(p, data) // which may be p already
		}
		return code
	})
	return n, gone(err)
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(_ context.Context, p []byte, off int64, want vfs.Stability) (n int, done vfs.Stability, err error) {
	switch {
	case off < 0:
		return 0, want, vfs.EINVAL
	case int64(len(p)) > math.MaxInt64-off:
		return 0, want, vfs.EFBIG
	}
	if err := f.changeable(); err != nil {
		return 0, want, err
	}
	f.entry.op.Lock()
	defer f.entry.op.Unlock()
	n, err = f.write(p, off)
	if n > 0 {
		f.written()
	}
	if err == nil && want != vfs.Unstable {
		err = f.sync(want == vfs.DataSync)
	}
	if err != nil {
		return n, vfs.Unstable, err
	}
	return n, want, nil
}

// changeable says why the data cannot be changed, or nothing.
func (f *file) changeable() error {
	switch {
	case f.node.fs.opt.ReadOnly:
		return vfs.EROFS
	case !f.writable:
		return unix.EBADF
	}
	return nil
}

func (f *file) write(p []byte, off int64) (n int, err error) {
	fs := f.node.fs
	for n < len(p) {
		part := p[n:min(len(p), n+maxIO)]
		in := fuse.WriteIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh, Offset: uint64(off) + uint64(n), Size: uint32(len(part)), Flags: f.flags}
		var put uint32
		err := fs.call(func() (code fuse.Status) {
			put, code = fs.raw.Writev(nil, &in, [][]byte{part})
			if code == fuse.ENOSYS {
				put, code = fs.raw.Write(nil, &in, part)
			}
			return code
		})
		switch {
		case err != nil:
			return n, gone(err)
		case put > uint32(len(part)):
			return n, errBroken
		case put == 0:
			return n, vfs.EIO
		}
		n += int(put)
	}
	return n, nil
}

// written notes that the data has changed. That set-id bits could not be taken
// away is no reason to say that it was not. op is held for writing.
func (f *file) written() {
	h := f.held(context.Background())
	h.changed()
	if h.setID.Load() {
		if a, err := h.attr(); err == nil {
			_ = h.dropSetID(f.cred, &a)
		}
	}
}

// Sync implements vfs.File. COMMIT comes through an open of its own, and the file
// system may hold what was written by the handle that it was written through: all
// of them are synced.
func (f *file) Sync(_ context.Context, dataOnly bool) error {
	f.entry.op.Lock()
	defer f.entry.op.Unlock()
	files := f.node.fs.nodes.writers(f.entry)
	if !slices.Contains(files, f) {
		files = append(files, f)
	}
	var first error
	for _, each := range files {
		if err := each.sync(dataOnly); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// sync makes what was written through the handle durable. op is held.
func (f *file) sync(dataOnly bool) error {
	err := f.fsync(dataOnly)
	if err != nil {
		f.node.fs.verifier.Add(1)
	}
	return err
}

// fsync makes an FSYNC. Where there is none, the file system may still keep what
// is written until a FLUSH, as it would be made when the file is closed. ENOTSUP is
// what the library says then.
func (f *file) fsync(dataOnly bool) error {
	const fdatasync = 1 // FUSE_FSYNC_FDATASYNC
	fs := f.node.fs
	in := fuse.FsyncIn{InHeader: fs.header(f.cred, f.entry), Fh: f.fh}
	if dataOnly {
		in.FsyncFlags = fdatasync
	}
	err := fs.call(func() fuse.Status { return fs.raw.Fsync(nil, &in) })
	if err == notImplemented || err == vfs.ENOTSUP {
		return f.flush()
	}
	return err
}
