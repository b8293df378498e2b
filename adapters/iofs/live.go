package iofs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"sync"
	"syscall"
	"time"

	"github.com/go-git/go-billy/v5"

	adapter "github.com/fsva/fsva/adapters/billy"
	"github.com/fsva/fsva/vfs"
)

// NewBilly makes a read-only billy file system of one that changes while it is
// served, for package billy. fsys is used by many goroutines at once.
//
// Package billy asks it for attributes whenever a guest asks for them, so times
// have to move when files and directories change. What has no time seems to
// change every second, so that guests look again.
func NewBilly(fsys fs.FS) billy.Filesystem { return &filesystem{fsys, time.Now} }

// filesystem is an fs.FS. It implements billy.Filesystem.
type filesystem struct {
	fsys fs.FS
	now  func() time.Time
}

// inside is a name of billy's for an fs.FS: slashed, rooted at ".".
func inside(name string) string {
	if name = path.Clean("/" + name); name == "/" {
		return "."
	}
	return name[1:]
}

func (f *filesystem) Open(name string) (billy.File, error) { return f.OpenFile(name, os.O_RDONLY, 0) }

func (f *filesystem) OpenFile(name string, flag int, _ os.FileMode) (billy.File, error) {
	if flag != os.O_RDONLY {
		return nil, billy.ErrReadOnly
	}
	l := &latest{fsys: f.fsys, path: inside(name)}
	if err := l.open(); err != nil {
		return nil, err
	}
	return &file{latest: l, ReadSeeker: io.NewSectionReader(l, 0, l.was.Size()), name: name}, nil
}

func (f *filesystem) Stat(name string) (os.FileInfo, error) {
	return f.shown(fs.Stat(f.fsys, inside(name)))
}

func (f *filesystem) Lstat(name string) (os.FileInfo, error) {
	return f.shown(fs.Lstat(f.fsys, inside(name)))
}

func (f *filesystem) ReadDir(name string) ([]os.FileInfo, error) {
	entries, err := fs.ReadDir(f.fsys, inside(name))
	if err != nil {
		return nil, err
	}
	infos := make([]os.FileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := f.shown(e.Info())
		switch {
		case errors.Is(err, fs.ErrNotExist): // it has gone meanwhile, or is nothing to show
		case err != nil:
			return nil, err
		default:
			infos = append(infos, info)
		}
	}
	return infos, nil
}

func (f *filesystem) Readlink(name string) (string, error) { return fs.ReadLink(f.fsys, inside(name)) }

// shown is what is told of a file. A link whose target nobody tells, a device
// without its number and what is of no kind are not there.
func (f *filesystem) shown(info fs.FileInfo, err error) (os.FileInfo, error) {
	if err != nil {
		return nil, err
	}
	shows := true
	switch vfs.TypeOf(info.Mode()) {
	case vfs.TypeSymlink:
		_, shows = f.fsys.(fs.ReadLinkFS)
	case vfs.TypeBlock, vfs.TypeChar:
		_, shows = info.Sys().(*syscall.Stat_t)
	case vfs.TypeUnknown:
		shows = false
	}
	switch {
	case !shows:
		return nil, fs.ErrNotExist
	case info.ModTime().IsZero():
		return undated{info, f.now().Unix()}, nil
	}
	return info, nil
}

// undated is a file whose time nobody tells. It implements billy.Attrer.
type undated struct {
	fs.FileInfo
	second int64
}

// ModTime implements fs.FileInfo.
func (undated) ModTime() time.Time { return time.Unix(0, 0) }

// Attr implements billy.Attrer.
func (u undated) Attr() vfs.Attr { return vfs.Attr{Valid: vfs.AttrChange, Change: uint64(u.second)} }

func (f *filesystem) Join(parts ...string) string { return path.Join(parts...) }

func (f *filesystem) Root() string { return "/" }

func (f *filesystem) Chroot(name string) (billy.Filesystem, error) {
	sub, err := fs.Sub(f.fsys, inside(name))
	return &filesystem{sub, f.now}, err
}

// Capabilities implements billy.Capable.
func (f *filesystem) Capabilities() billy.Capability {
	return billy.ReadCapability | billy.SeekCapability
}

// StatFS implements billy.StatFSer: of space nothing is known, and none is free.
func (f *filesystem) StatFS() (vfs.StatFS, error) {
	return vfs.StatFS{BlockSize: 4096, MaxName: vfs.MaxName, MaxFileSize: math.MaxInt64, MaxLink: 1, TimeGranularity: 1}, nil
}

// What would change something.

func (f *filesystem) Create(string) (billy.File, error) { return nil, billy.ErrReadOnly }

func (f *filesystem) Rename(_, _ string) error { return billy.ErrReadOnly }

func (f *filesystem) Remove(string) error { return billy.ErrReadOnly }

func (f *filesystem) MkdirAll(string, os.FileMode) error { return billy.ErrReadOnly }

func (f *filesystem) Symlink(_, _ string) error { return billy.ErrReadOnly }

func (f *filesystem) TempFile(_, _ string) (billy.File, error) { return nil, billy.ErrReadOnly }

// latest is what is at a path, whatever was there when it was opened: to guests a
// file that was replaced is the same file with other content. It implements
// io.ReaderAt.
type latest struct {
	fsys fs.FS
	path string

	// mu is held shared to read, and exclusively to open what is there now.
	mu   sync.RWMutex
	from reader
	was  fs.FileInfo // when from was opened
}

// open opens what is there, unless that is open already.
func (l *latest) open() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	is, err := fs.Stat(l.fsys, l.path)
	if err != nil || l.from != nil && sameContent(l.was, is) {
		return err
	}
	from, err := openReader(l.fsys, l.path)
	if err != nil {
		return err
	}
	if l.from != nil {
		l.from.Close()
	}
	l.from, l.was = from, is
	return nil
}

// sameContent reports whether nothing shows that a file has been changed.
func sameContent(was, is fs.FileInfo) bool {
	return was.Size() == is.Size() && was.ModTime().Equal(is.ModTime())
}

// ReadAt implements io.ReaderAt. What has gone is read on.
func (l *latest) ReadAt(p []byte, off int64) (int, error) {
	if is, err := fs.Stat(l.fsys, l.path); err == nil && !l.has(is) {
		if err := l.open(); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if off >= l.was.Size() { // where fstest.MapFS, for one, has no io.EOF
		return 0, io.EOF
	}
	return l.from.read(context.Background(), p, off)
}

func (l *latest) has(is fs.FileInfo) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return sameContent(l.was, is)
}

func (l *latest) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.from.Close()
}

// file is a file that was opened. It implements billy.File.
type file struct {
	*latest
	io.ReadSeeker // as long as it was when it was opened
	name          string
}

func (f *file) Name() string { return f.name }

func (f *file) Write([]byte) (int, error) { return 0, billy.ErrReadOnly }

func (f *file) Truncate(int64) error { return billy.ErrReadOnly }

func (f *file) Lock() error { return billy.ErrNotSupported }

func (f *file) Unlock() error { return billy.ErrNotSupported }

var (
	_ billy.Filesystem = (*filesystem)(nil)
	_ billy.Capable    = (*filesystem)(nil)
	_ adapter.StatFSer = (*filesystem)(nil)
	_ adapter.Attrer   = undated{}
)
