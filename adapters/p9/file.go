package p9fs

import (
	"context"
	"io"
	"math"

	"github.com/hugelgupf/p9/p9"

	"github.com/fsva/fsva/vfs"
)

// file is a regular file that was opened, with an opened File of its own.
type file struct {
	node  *node
	entry *entry
	fid   *fid
	cred  *vfs.Cred
	how   vfs.OpenFlags

	// via is where fid was walked to, and anchor the File of that directory
	// that fid has been told of by Renamed. table.mu guards both.
	via    place
	anchor *fid
}

// openFlags converts what to open for.
func openFlags(how vfs.OpenFlags) p9.OpenFlags {
	switch {
	case how&vfs.OpenWrite == 0:
		return p9.ReadOnly
	case how&vfs.OpenRead == 0:
		return p9.WriteOnly
	}
	return p9.ReadWrite
}

// Open implements vfs.Node.
func (n *node) Open(_ context.Context, cred *vfs.Cred, how vfs.OpenFlags) (opened vfs.File, err error) {
	if n.fs.opt.ReadOnly && how&vfs.OpenWrite != 0 {
		return nil, vfs.EROFS
	}
	err = n.shared(func(h *held) error {
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
		who := n.fs.as(cred)
		if err := mayOpen(who, &a, how); err != nil {
			return err
		}
		f, err := h.open(openFlags(how))
		if err != nil {
			return err
		}
		opened = h.opened(f, who, how)
		return nil
	})
	return opened, err
}

// open returns an opened File of its own.
func (h *held) open(flags p9.OpenFlags) (*fid, error) {
	base, err := h.fs.nodes.unopened(h)
	if err != nil {
		return nil, err
	}
	defer base.unref()
	f, err := base.clone()
	if err != nil {
		return nil, err
	}
	qid, _, err := f.file.Open(flags)
	if err == nil && qid.Path != h.entry.id {
		// A File that goes by its name opens what has the name now. Some
		// return no QID from Open, so it is asked for.
		if qid, _, _, err = f.file.GetAttr(p9.AttrMask{Mode: true}); err == nil && qid.Path != h.entry.id {
			err = vfs.ESTALE
		}
	}
	if err != nil {
		f.unref()
		// The library's server says EINVAL where the name was removed, and
		// the flags are never invalid.
		if err = gone(err); err == vfs.EINVAL {
			err = vfs.ESTALE
		}
		return nil, err
	}
	return f, nil
}

// unopened returns a File to clone: h's own, unless that is the opened one of
// a removed file.
func (t *table) unopened(h *held) (*fid, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !h.dead:
		return h.fid.ref(), nil
	case h.entry.fid == nil:
		return nil, vfs.ESTALE
	}
	return h.entry.fid.ref(), nil
}

// opened makes a vfs.File of an opened File.
func (h *held) opened(f *fid, cred *vfs.Cred, how vfs.OpenFlags) *file {
	o := &file{node: h.node, entry: h.entry, fid: f, cred: cred, how: how}
	h.fs.nodes.open(h.entry, o, h.fid)
	return o
}

// Node implements vfs.File.
func (f *file) Node() vfs.Node { return f.node }

// ReadAt implements vfs.File. A File may read less than it could, so only
// reading nothing is the end.
func (f *file) ReadAt(_ context.Context, p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, vfs.EINVAL
	}
	f.node.fs.tree.RLock()
	defer f.node.fs.tree.RUnlock()
	f.entry.op.RLock()
	defer f.entry.op.RUnlock()
	for n < len(p) {
		got, err := f.fid.file.ReadAt(p[n:], off+int64(n))
		if got < 0 || got > len(p)-n {
			return n, errBroken
		}
		n += got
		switch {
		case err == io.EOF || err == nil && got == 0:
			return n, nil
		case err != nil:
			return n, errno(err)
		}
	}
	return n, nil
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(_ context.Context, p []byte, off int64, want vfs.Stability) (n int, done vfs.Stability, err error) {
	switch {
	case off < 0:
		return 0, want, vfs.EINVAL
	case int64(len(p)) > math.MaxInt64-off:
		return 0, want, vfs.EFBIG
	}
	f.node.fs.tree.RLock()
	defer f.node.fs.tree.RUnlock()
	n, err = f.write(p, off)
	if n > 0 && f.cred.UID != 0 && f.entry.setID.Load() {
		f.dropSetID()
	}
	if err == nil && want != vfs.Unstable {
		err = f.sync()
	}
	if err != nil {
		return n, vfs.Unstable, err
	}
	if want != vfs.Unstable {
		return n, vfs.FileSync, nil
	}
	return n, vfs.Unstable, nil
}

func (f *file) write(p []byte, off int64) (n int, err error) {
	f.entry.op.RLock()
	defer f.entry.op.RUnlock()
	for n < len(p) {
		put, err := f.fid.file.WriteAt(p[n:], off+int64(n))
		if put < 0 || put > len(p)-n {
			return n, errBroken
		}
		n += put
		if put > 0 {
			f.held().changed()
		}
		switch {
		case err != nil:
			return n, errno(err)
		case put == 0:
			return n, vfs.EIO
		}
	}
	return n, nil
}

// held is the node by means of the opened File.
func (f *file) held() *held { return &held{f.node, f.entry, f.fid} }

// dropSetID takes the set-id bits away from a file that was written. That it
// fails is no reason to say that the data was not.
func (f *file) dropSetID() {
	f.entry.op.Lock()
	defer f.entry.op.Unlock()
	h := f.held()
	if a, err := h.attr(); err == nil {
		_ = h.dropSetID(f.cred, &a)
	}
}

// Sync implements vfs.File. 9P knows but one kind of fsync.
func (f *file) Sync(context.Context, bool) error {
	f.node.fs.tree.RLock()
	defer f.node.fs.tree.RUnlock()
	return f.sync()
}

func (f *file) sync() error {
	f.entry.op.RLock()
	defer f.entry.op.RUnlock()
	err := f.fid.file.FSync()
	if err != nil {
		f.node.fs.verifier.Add(1)
	}
	return errno(err)
}

// Close implements vfs.File.
func (f *file) Close() error {
	f.node.fs.nodes.close(f.entry, f)
	return nil
}

var _ vfs.File = (*file)(nil)
