// Package iofs serves any [fs.FS] of Go's io/fs as a read-only file system: an
// embed.FS, an archive/zip.Reader, an os.Root's, or one's own. io/fs has neither
// numbers of files nor a way to learn of changes, so there are two ways.
//
// [New] takes a snapshot of names and attributes when it is called, by the rules of
// package tree: for what does not change. Nodes are numbered in the order of
// fs.WalkDir and handles carry a fingerprint of all names, kinds, sizes and times.
// So handles hold over a restart with the same tree without any state, and are
// ESTALE with another.
//
// [NewBilly] is for what changes while it is served: package billy asks it whenever
// a guest asks, and keeps a number for each path in its state.
//
// Either way content is read when a guest asks for it, by what the files can do:
// io.ReaderAt is best, io.Seeker next; from others what comes before has to be read
// first.
package iofs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// Options are what a tree needs besides its fs.FS.
type Options struct {
	// Log is told what was left out. Its zero value logs nothing.
	Log zerolog.Logger
	// UID and GID own what does not say who does: everything, unless its Sys
	// is a *syscall.Stat_t as in os.DirFS.
	UID, GID uint32
	// MaxNodes bounds the tree: 0 is tree.DefaultMaxNodes.
	MaxNodes int
}

// New lists all of fsys and makes a file system of it. fsys is used by many
// goroutines at once for as long as the file system is not closed; if it has a
// Close, that is the caller's to call.
func New(ctx context.Context, fsys fs.FS, opt Options) (vfs.FS, error) {
	root, err := fs.Stat(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("the root of an io/fs file system: %w", err)
	}
	w := &walk{
		ctx: ctx, opt: opt, source: &source{fsys: fsys}, sum: sha256.New(),
		builder: tree.NewBuilder(tree.Options{Log: opt.Log, Time: timespec(root.ModTime()), MaxNodes: opt.MaxNodes}),
	}
	if err := fs.WalkDir(fsys, ".", w.visit); err != nil {
		return nil, err
	}
	f, err := w.builder.Build(w.source, tree.Fingerprint(w.sum.Sum(nil)[:len(tree.Fingerprint{})]))
	if err != nil {
		return nil, err // not f: a nil *tree.FS is no nil vfs.FS
	}
	return f, nil
}

// walk is a listing under way.
type walk struct {
	ctx     context.Context
	opt     Options
	source  *source
	builder *tree.Builder
	sum     hash.Hash
}

// visit implements fs.WalkDirFunc. What has vanished since its directory was
// listed is not there; any other error ends the walk.
func (w *walk) visit(path string, d fs.DirEntry, err error) error {
	if w.ctx.Err() != nil {
		return vfs.EAGAIN
	}
	var info fs.FileInfo
	if err == nil {
		info, err = d.Info()
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && path != ".":
		return nil
	case err != nil:
		return fmt.Errorf("list %q: %w", path, err)
	}
	e := w.entry(path, info)
	if e.Type == vfs.TypeSymlink {
		// A file system that cannot read links leaves the target empty, and
		// package tree leaves out what has none.
		e.Target, err = fs.ReadLink(w.source.fsys, path)
		if err != nil && !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("read link %q: %w", path, err)
		}
	}
	fmt.Fprintf(w.sum, "%q %d %o %d %d %d %q\n", path, e.Type, e.Mode, e.Size, e.Mtime.Sec, e.Mtime.Nsec, e.Target)
	return w.builder.Add(e)
}

// entry is what a file is to a tree.
func (w *walk) entry(path string, info fs.FileInfo) tree.Entry {
	e := tree.Entry{
		Path: path, UID: w.opt.UID, GID: w.opt.GID, Mtime: timespec(info.ModTime()),
		Type: vfs.TypeOf(info.Mode()), Mode: vfs.ModeOf(info.Mode()),
	}
	st, known := info.Sys().(*syscall.Stat_t)
	if known {
		e.UID, e.GID = st.Uid, st.Gid
		e.Rdev = vfs.Rdev{Major: unix.Major(st.Rdev), Minor: unix.Minor(st.Rdev)}
	}
	switch {
	case e.Type == vfs.TypeRegular:
		e.Size = uint64(info.Size()) // one below 0 is too large for a file
		e.Item = w.source.add(path)
	case (e.Type == vfs.TypeBlock || e.Type == vfs.TypeChar) && !known:
		e.Type = vfs.TypeUnknown // nothing says which device
	}
	return e
}

// timespec has no time for files that have none, such as those of embed.FS.
func timespec(t time.Time) vfs.Timespec {
	if t.IsZero() {
		return vfs.Timespec{}
	}
	return vfs.TimespecOf(t)
}
