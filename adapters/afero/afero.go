// Package afero serves any [afero.Fs] of github.com/spf13/afero v1, by way of
// package billy.
//
//	under := afero.NewBilly(mine, "/srv/data")
//	fs, err := billy.New(under, billy.Options{State: "/var/lib/mine"})
//
// What afero has no words for, package billy keeps in its state or does without,
// as for any billy file system: numbers of files, owners and modes, hard links,
// extended attributes, special files, free space. Symbolic links are there if the
// afero.Fs is an afero.Symlinker. Files that are not *os.File are synced by Sync
// and Close.
package afero

import (
	"errors"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"github.com/go-git/go-billy/v5"
	"github.com/spf13/afero"

	adapter "github.com/fsva/fsva/adapters/billy"
)

// NewBilly makes a billy file system of what is in a directory of an afero one.
// Of afero.OsFs name the directory here: an afero.BasePathFs changes the targets
// of symbolic links.
func NewBilly(under afero.Fs, root string) billy.Filesystem { return &filesystem{under, root} }

// filesystem is an afero.Fs. It implements billy.Filesystem.
type filesystem struct {
	under afero.Fs
	root  string
}

// path is where a name is in the afero.Fs. No name leads out of root.
func (f *filesystem) path(name string) string { return path.Join(f.root, path.Clean("/"+name)) }

func (f *filesystem) Create(name string) (billy.File, error) {
	return f.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

func (f *filesystem) Open(name string) (billy.File, error) { return f.OpenFile(name, os.O_RDONLY, 0) }

func (f *filesystem) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	if flag&os.O_EXCL != 0 {
		// afero.MemMapFs looks at nothing but O_CREATE.
		if _, err := f.Lstat(name); err == nil {
			return nil, &os.PathError{Op: "open", Path: name, Err: syscall.EEXIST}
		}
	}
	file, err := f.under.OpenFile(f.path(name), flag, perm)
	if err != nil {
		return nil, err
	}
	return open(file, name, flag&(os.O_WRONLY|os.O_RDWR) != 0), nil
}

func (f *filesystem) Stat(name string) (os.FileInfo, error) { return f.under.Stat(f.path(name)) }

func (f *filesystem) Rename(from, to string) error { return f.under.Rename(f.path(from), f.path(to)) }

func (f *filesystem) Remove(name string) error { return f.under.Remove(f.path(name)) }

func (f *filesystem) Join(parts ...string) string { return path.Join(parts...) }

func (f *filesystem) TempFile(dir, prefix string) (billy.File, error) {
	file, err := afero.TempFile(f.under, f.path(dir), prefix)
	if err != nil {
		return nil, err
	}
	return open(file, path.Join(dir, path.Base(file.Name())), true), nil
}

func (f *filesystem) ReadDir(name string) ([]os.FileInfo, error) {
	dir, err := f.under.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	all, err := dir.Readdir(-1)
	slices.SortFunc(all, func(a, b os.FileInfo) int { return strings.Compare(a.Name(), b.Name()) })
	return all, err
}

func (f *filesystem) MkdirAll(name string, perm os.FileMode) error {
	return f.under.MkdirAll(f.path(name), perm)
}

// Mkdir implements adapters/billy.Mkdirer.
func (f *filesystem) Mkdir(name string, perm os.FileMode) error {
	return f.under.Mkdir(f.path(name), perm)
}

func (f *filesystem) Lstat(name string) (os.FileInfo, error) {
	if l, ok := f.under.(afero.Lstater); ok {
		info, _, err := l.LstatIfPossible(f.path(name))
		return info, err
	}
	return f.under.Stat(f.path(name))
}

func (f *filesystem) Symlink(target, link string) error {
	l, ok := f.under.(afero.Linker)
	if !ok {
		return billy.ErrNotSupported
	}
	return unsupported(l.SymlinkIfPossible(target, f.path(link)))
}

func (f *filesystem) Readlink(link string) (string, error) {
	l, ok := f.under.(afero.LinkReader)
	if !ok {
		return "", billy.ErrNotSupported
	}
	target, err := l.ReadlinkIfPossible(f.path(link))
	return target, unsupported(err)
}

// unsupported turns what wrappers say whose Fs has no links into billy's word.
func unsupported(err error) error {
	if errors.Is(err, afero.ErrNoSymlink) || errors.Is(err, afero.ErrNoReadlink) {
		return billy.ErrNotSupported
	}
	return err
}

func (f *filesystem) Chroot(name string) (billy.Filesystem, error) {
	return &filesystem{f.under, f.path(name)}, nil
}

func (f *filesystem) Root() string { return f.root }

// Capabilities implements billy.Capable: afero has no locks.
func (f *filesystem) Capabilities() billy.Capability {
	return billy.DefaultCapabilities &^ billy.LockCapability
}

// open is an afero.File by its name in the billy file system. Every afero.File has
// Sync, but of one that is not the kernel's nobody knows whether Sync or Close is
// what sends the data away: it gets both at each sync.
func open(file afero.File, name string, writes bool) billy.File {
	o := opened{file, name}
	if local, ok := file.(*os.File); ok {
		return synced{o, local}
	}
	if writes {
		return sent{o, file}
	}
	return o
}

// unsynced is what an afero.File has but for Sync.
type unsynced interface {
	io.ReadWriteSeeker
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
}

// opened is a file without Sync, which package billy closes, and opens again, to
// sync it. It implements billy.File and io.WriterAt.
type opened struct {
	unsynced
	name string
}

func (o opened) Name() string { return o.name }

func (o opened) Lock() error { return billy.ErrNotSupported }

func (o opened) Unlock() error { return billy.ErrNotSupported }

// synced is a file of the kernel. It implements adapters/billy.Syncer.
type synced struct {
	opened
	file *os.File
}

func (s synced) Sync() error { return s.file.Sync() }

// sent is any other that is open for writing.
type sent struct {
	opened
	file afero.File
}

func (s sent) Close() error { return errors.Join(s.file.Sync(), s.file.Close()) }

var (
	_ billy.Filesystem = (*filesystem)(nil)
	_ billy.Capable    = (*filesystem)(nil)
	_ adapter.Mkdirer  = (*filesystem)(nil)
	_ adapter.Syncer   = synced{}
)
