package rclone

import (
	"errors"
	"os"
	"path"
	"strings"
	"sync"
	"time"

	gobilly "github.com/go-git/go-billy/v5"
	"github.com/rclone/rclone/fs"
	"github.com/rclone/rclone/lib/encoder"
	rvfs "github.com/rclone/rclone/vfs"
	"golang.org/x/sync/errgroup"

	"github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

// tree is rclone's vfs as a billy.Filesystem. Names are paths from the root, with
// or without a slash before them. Each call is bounded by patience.
type tree struct {
	vfs      *rvfs.VFS
	remote   *remote
	patience *patience
	claims   *claims
	store    *store
	ledger   *ledger
	set      settings
	// exclusive says that nobody else changes the remote.
	exclusive bool
	started   time.Time
	buffers   sync.Pool
}

// info is what a node was when it was looked at.
type info struct {
	name  string
	size  int64
	mode  os.FileMode
	mtime time.Time
}

func (i *info) Name() string       { return i.name }
func (i *info) Size() int64        { return i.size }
func (i *info) Mode() os.FileMode  { return i.mode }
func (i *info) ModTime() time.Time { return i.mtime }
func (i *info) IsDir() bool        { return i.mode.IsDir() }
func (i *info) Sys() any           { return nil }

const (
	dirMode  = os.ModeDir | 0o755
	fileMode = 0o644
	linkMode = os.ModeSymlink | 0o777
)

// look makes an info of a node. It may ask the remote: some tell the time of a
// file only one by one.
func (t *tree) look(n rvfs.Node) *info {
	i := &info{name: encoder.OS.FromStandardName(n.Name()), size: n.Size(), mode: fileMode, mtime: n.ModTime()}
	switch {
	case n.IsDir():
		i.mode, i.size, i.mtime = dirMode, 0, t.dirTime(n)
	case n.Mode()&os.ModeSymlink != 0:
		i.mode = linkMode
	}
	return i
}

// dirTime is when a directory has changed. Where the remote does not know, it
// changes each time rclone may find something new in it, so that guests look.
func (t *tree) dirTime(n rvfs.Node) time.Time {
	if known := t.remote.features.DirModTimeUpdatesOnWrite || !t.remote.features.BucketBased; known && n.Path() != "" {
		return n.ModTime()
	}
	if t.exclusive {
		return t.started
	}
	return t.started.Add(time.Since(t.started).Truncate(t.set.dirCache))
}

// clean is a name as rclone's vfs has it: in the form that all of rclone agrees
// on, in which control characters are written as others.
func clean(name string) string {
	return encoder.OS.ToStandardPath(strings.Trim(path.Clean("/"+name), "/"))
}

// Lstat implements billy.Symlink.
func (t *tree) Lstat(name string) (os.FileInfo, error) {
	i, err := await(t.patience, 1, func() (*info, error) {
		n, err := t.vfs.Stat(clean(name))
		if err != nil {
			return nil, err
		}
		return t.look(n), nil
	}, nil)
	if err != nil {
		return nil, err
	}
	return i, nil
}

// Stat implements billy.Basic. Links are for guests to follow.
func (t *tree) Stat(name string) (os.FileInfo, error) { return t.Lstat(name) }

// lookers is how many files of a directory are looked at at a time, where that
// takes a request for each.
const lookers = 32

// ReadDir implements billy.Dir.
func (t *tree) ReadDir(name string) ([]os.FileInfo, error) {
	return await(t.patience, 1, func() ([]os.FileInfo, error) {
		n, err := t.vfs.Stat(clean(name))
		if err != nil {
			return nil, err
		}
		d, ok := n.(*rvfs.Dir)
		if !ok {
			return nil, refuse(vfs.ENOTDIR, "%s is no directory", name)
		}
		nodes, err := d.ReadDirAll()
		if err != nil {
			return nil, err
		}
		infos := make([]os.FileInfo, len(nodes))
		if !t.remote.features.SlowModTime {
			for i, n := range nodes {
				infos[i] = t.look(n)
			}
			return infos, nil
		}
		var group errgroup.Group
		group.SetLimit(lookers)
		for i, n := range nodes {
			group.Go(func() error {
				infos[i] = t.look(n)
				return nil
			})
		}
		return infos, group.Wait()
	}, nil)
}

// mayBeNamed refuses names that would come back as something else, and those
// that are claimed.
func (t *tree) mayBeNamed(name string) error {
	if t.set.links && strings.HasSuffix(name, fs.LinkSuffix) {
		return refuse(vfs.EINVAL, "names that end in %s are those of symbolic links", fs.LinkSuffix)
	}
	return t.claims.free(clean(name))
}

// Mkdir implements billy's Mkdirer.
func (t *tree) Mkdir(name string, perm os.FileMode) error {
	if err := t.mayBeNamed(name); err != nil {
		return errnoOf(err)
	}
	return t.patience.do(1, func() error { return t.vfs.Mkdir(clean(name), perm) })
}

// MkdirAll implements billy.Dir.
func (t *tree) MkdirAll(name string, perm os.FileMode) error {
	return t.patience.do(1, func() error { return t.vfs.MkdirAll(clean(name), perm) })
}

// Remove implements billy.Basic.
func (t *tree) Remove(name string) error {
	name = clean(name)
	return t.change(1, func(c *claim) error {
		n, err := t.vfs.Stat(name)
		if err != nil {
			return err
		}
		if !n.IsDir() && t.ledger.has(name) {
			return t.removeChanged(c, name, n)
		}
		if err := c.commit(); err != nil {
			return err
		}
		return n.Remove()
	}, name)
}

// removeChanged removes a file of which the cache may have more than the remote.
// rclone empties the cache first, so that a remote that fails would keep an old
// version and the new one would be lost: here it is the other way round.
func (t *tree) removeChanged(c *claim, name string, n rvfs.Node) error {
	release, err := t.hold(c, name)
	if err != nil {
		return err
	}
	defer func() {
		release()
		t.store.tidy(name)
	}()
	if o, ok := n.DirEntry().(fs.Object); ok && o != nil {
		if err := o.Remove(t.context()); err != nil && !gone(err) {
			return err
		}
	}
	if err := c.commit(); err != nil {
		return err // and the file is uploaded again
	}
	t.ledger.drop(name)
	if err = n.Remove(); err == nil || !gone(err) {
		return err
	}
	dir, leaf, err := t.vfs.StatParent(name)
	if err == nil {
		dir.DelVirtual(leaf)
	}
	return err
}

// Rename implements billy.Basic.
func (t *tree) Rename(from, to string) error {
	if err := t.mayBeNamed(to); err != nil {
		return errnoOf(err)
	}
	from, to = clean(from), clean(to)
	if t.ledger.has(to) && from != to {
		return t.change(renames, func(c *claim) error { return t.replace(c, from, to) }, from, to, replaced)
	}
	return t.change(renames, func(c *claim) error { return t.rename(c, from, to) }, from, to)
}

// replaced is where a file waits that is renamed over: in the directory that
// adapters/billy hides, by a name that it removes after a crash.
const replaced = ".fsva-removed/ffffffffffffffff"

// replace renames over a file that is not uploaded. rclone would not stop the
// upload, and end with the cache saying that the new file is on the remote.
func (t *tree) replace(c *claim, from, to string) error {
	if err := t.vfs.MkdirAll(path.Dir(replaced), 0o700); err != nil {
		return err
	}
	if err := t.rename(c, to, replaced); err != nil {
		return err
	}
	if err := t.rename(c, from, to); err != nil {
		return errors.Join(err, t.rename(c, replaced, to))
	}
	if n, err := t.vfs.Stat(replaced); err == nil {
		// What stays is removed at the next start.
		_ = t.removeChanged(c, replaced, n)
	}
	return nil
}

func (t *tree) rename(c *claim, from, to string) error {
	n, err := t.vfs.Stat(from)
	if err != nil {
		return err
	}
	release, err := t.hold(c, from)
	if err != nil {
		return err
	}
	if err := c.commit(); err != nil {
		release()
		return err
	}
	way := to
	if n.IsDir() {
		way += "/."
	}
	t.store.makeWay(way)
	settle, err := t.ledger.move(from, to)
	if err == nil {
		err = t.vfs.Rename(from, to)
	}
	waiting := t.ledger.below(to)
	settle(err == nil)
	release()
	switch {
	case err != nil:
		t.relist(from)
		t.relist(to)
	case n.IsDir():
		t.relocate(to, waiting)
	}
	t.store.forgetDirs()
	return err
}

// relocate puts right what rclone knows of a directory that was renamed, below
// which there are files that are not uploaded.
//
// It should have kept the directories that such files are in, at whatever depth,
// with all that is in them: those files have the objects of their old names still,
// where there is nothing any more, or something else. So they are listed again.
//
// And it may have forgotten them with the files: it counts the files that only it
// knows for each directory and those above it, and leaves the counts where they
// are when a directory moves. Nobody would find the files until they are uploaded.
func (t *tree) relocate(dir string, waiting []string) {
	root, err := t.vfs.Root()
	if err != nil {
		return // it never is one
	}
	done := make(map[string]bool)
	for _, name := range waiting {
		for ; name != dir && !done[parent(name)]; name = parent(name) {
			root.ForgetPath(name, fs.EntryObject) // lists its parent again
			done[parent(name)] = true
		}
	}
	for _, name := range waiting {
		if _, err := t.vfs.Stat(name); errors.Is(err, os.ErrNotExist) && t.store.dirty(name) {
			t.adoptOrTell(name)
		}
	}
}

// relist has rclone ask the remote again for what is at a name: it gives a node
// its new name before the remote has, and leaves it that when the remote fails.
func (t *tree) relist(name string) {
	dir, leaf, err := t.vfs.StatParent(name)
	if err != nil {
		return // then it is not known, and asked for anyway
	}
	dir.DelVirtual(leaf)
	root, err := t.vfs.Root()
	if err == nil {
		root.ForgetPath(name, fs.EntryDirectory)
	}
}

// Chtimes implements billy.Change where it costs no copy of the file: S3 has no
// other way to change a time. What is not uploaded gets it with the upload.
func (t *tree) Chtimes(name string, atime, mtime time.Time) error {
	name = clean(name)
	if t.remote.features.SlowModTime && !t.ledger.has(name) {
		return gobilly.ErrNotSupported
	}
	return t.patience.do(1, func() error {
		n, err := t.vfs.Stat(name)
		if err != nil {
			return err
		}
		if n.IsDir() {
			return refuse(vfs.EOPNOTSUPP, "%s is a directory", name)
		}
		return n.SetModTime(mtime)
	})
}

// Chmod implements billy.Change: modes and owners are adapters/billy's to keep.
func (t *tree) Chmod(string, os.FileMode) error { return gobilly.ErrNotSupported }

// Lchown implements billy.Change.
func (t *tree) Lchown(string, int, int) error { return gobilly.ErrNotSupported }

// Chown implements billy.Change.
func (t *tree) Chown(string, int, int) error { return gobilly.ErrNotSupported }

// Symlink implements billy.Symlink.
func (t *tree) Symlink(target, link string) error {
	switch {
	case !t.set.links:
		return gobilly.ErrNotSupported
	case strings.ContainsRune(target, '\\'):
		return vfs.Errorf(vfs.EINVAL, "rclone takes the \\ in the target of a symbolic link for a /")
	}
	if err := t.mayBeNamed(link); err != nil {
		return errnoOf(err)
	}
	return t.patience.do(1, func() error { return t.vfs.Symlink(target, clean(link)) })
}

// Readlink implements billy.Symlink.
func (t *tree) Readlink(link string) (string, error) {
	return await(t.patience, 1, func() (string, error) {
		n, err := t.vfs.Stat(clean(link))
		if err != nil {
			return "", err
		}
		if n.Size() > vfs.MaxSymlink {
			return "", refuse(vfs.EIO, "the target of %s has %d bytes", link, n.Size())
		}
		return t.vfs.Readlink(clean(link))
	}, nil)
}

// StatFS implements billy's StatFSer. What is free is what the cache still
// takes, where the remote does not tell or has more.
func (t *tree) StatFS() (vfs.StatFS, error) {
	type space struct{ total, free int64 }
	s, err := await(t.patience, 1, func() (space, error) {
		total, _, free := t.vfs.Statfs()
		return space{total, free}, nil
	}, nil)
	if err != nil || s.total < 0 || s.free < 0 {
		s = space{1 << 50, 1 << 50}
	}
	const files = 1 << 40
	free := uint64(s.free)
	if local, err := freeBytes(t.store.data); err == nil {
		free = min(free, local)
	}
	return vfs.StatFS{
		BlockSize: 4096, TotalBytes: max(uint64(s.total), free), FreeBytes: free, AvailBytes: free,
		TotalFiles: files, FreeFiles: files, AvailFiles: files,
		MaxName: vfs.MaxName, MaxFileSize: 1 << 43, MaxLink: 1, TimeGranularity: 1,
	}, nil
}

// Join implements billy.Basic.
func (t *tree) Join(names ...string) string { return path.Join(names...) }

// Open implements billy.Basic.
func (t *tree) Open(name string) (gobilly.File, error) { return t.OpenFile(name, os.O_RDONLY, 0) }

// Create implements billy.Basic.
func (t *tree) Create(name string) (gobilly.File, error) {
	return t.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Root implements billy.Chroot.
func (t *tree) Root() string { return "/" }

// Chroot implements billy.Chroot.
func (t *tree) Chroot(string) (gobilly.Filesystem, error) { return nil, gobilly.ErrNotSupported }

// TempFile implements billy.TempFile.
func (t *tree) TempFile(string, string) (gobilly.File, error) { return nil, gobilly.ErrNotSupported }

// cutLink takes away what rclone adds to the name of a symbolic link.
func cutLink(name string, links bool) (string, bool) {
	if !links {
		return name, false
	}
	return strings.CutSuffix(name, fs.LinkSuffix)
}

// parent is the directory that has a name.
func parent(name string) string { return strings.TrimPrefix(path.Dir(name), ".") }

var (
	_ gobilly.Filesystem = (*tree)(nil)
	_ gobilly.Change     = (*tree)(nil)
	_ billy.Mkdirer      = (*tree)(nil)
	_ billy.StatFSer     = (*tree)(nil)
)
