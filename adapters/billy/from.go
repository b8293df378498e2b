package billy

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path"
	"strings"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/vfs"
)

// FromVFS makes a billy.Filesystem of a vfs.FS, in which everything is done as
// cred. It has all the optional interfaces of this package as far as fs can do
// what they ask, and billy.Change.
//
// Names are paths from the root; a ".." in one is taken literally before
// anything is looked up, one in a symbolic link is the parent of where the link
// is. Symbolic links that are absolute begin at the root, too. As in billy's own
// file systems, directories that are missing on the way to a new name are made.
// The FileInfos have [Attrer] and a *syscall.Stat_t. Errors are *os.PathErrors
// with an Errno.
//
// The file locks of billy exclude each other among those who use the same
// FromVFS; servers of fs know nothing of them.
func FromVFS(fs vfs.FS, cred *vfs.Cred) billy.Filesystem {
	return &tree{fs: fs, cred: cred, root: fs.Root(), name: top, locks: newLocks()}
}

// tree is a vfs.FS, or a directory of one, as a billy.Filesystem.
type tree struct {
	fs    vfs.FS
	cred  *vfs.Cred
	root  vfs.Node
	name  string // of the root, as Root tells it
	locks *locks
}

// maxLinks is how many symbolic links a path may lead through (path_resolution(7)).
const maxLinks = 40

var background = context.Background()

// split returns the components of a path.
func split(name string) []string {
	return strings.FieldsFunc(path.Clean("/"+name), func(r rune) bool { return r == '/' })
}

// walk finds the node that a path names. follow says what to do with a symbolic
// link at its end.
func (t *tree) walk(name string, follow bool) (vfs.Node, error) {
	at := []vfs.Node{t.root} // and what is above it
	todo := split(name)
	for links := 0; len(todo) > 0; {
		step := todo[0]
		todo = todo[1:]
		switch {
		case step == "" || step == ".":
			continue
		case step == "..":
			at = at[:max(len(at)-1, 1)]
			continue
		case vfs.CheckName(step) != nil:
			return nil, vfs.CheckName(step)
		}
		n, err := at[len(at)-1].Lookup(background, t.cred, step)
		if err != nil {
			return nil, err
		}
		at = append(at, n)
		if len(todo) == 0 && !follow {
			break
		}
		target, err := n.ReadLink(background, t.cred)
		if vfs.ErrnoOf(err) == vfs.EINVAL { // it is none
			continue
		}
		if err != nil {
			return nil, err
		}
		if links++; links > maxLinks {
			return nil, vfs.ELOOP
		}
		at = at[:len(at)-1]
		if strings.HasPrefix(target, "/") {
			at = at[:1]
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return at[len(at)-1], nil
}

// parent finds the directory for a name, and makes it with make.
func (t *tree) parent(name string, make bool) (dir vfs.Node, base string, err error) {
	parts := split(name)
	if len(parts) == 0 {
		return nil, "", vfs.EBUSY // the root itself
	}
	base = parts[len(parts)-1]
	if err := vfs.CheckName(base); err != nil {
		return nil, "", err
	}
	above := strings.Join(parts[:len(parts)-1], "/")
	dir, err = t.walk(above, true)
	if make && vfs.ErrnoOf(err) == vfs.ENOENT {
		if err = t.mkdirAll(above, 0o777); err == nil {
			dir, err = t.walk(above, true)
		}
	}
	return dir, base, err
}

func failed(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: err}
}

// Join implements billy.Basic.
func (t *tree) Join(elem ...string) string { return path.Join(elem...) }

// Root implements billy.Chroot.
func (t *tree) Root() string { return t.name }

// Chroot implements billy.Chroot.
func (t *tree) Chroot(name string) (billy.Filesystem, error) {
	dir, err := t.walk(name, true)
	if err == nil {
		var a vfs.Attr
		if a, err = dir.GetAttr(background, vfs.AttrType); err == nil && a.Type != vfs.TypeDirectory {
			err = vfs.ENOTDIR
		}
	}
	if err != nil {
		return nil, failed("chroot", name, err)
	}
	sub := *t
	sub.root, sub.name = dir, path.Join(t.name, name)
	return &sub, nil
}

// Capabilities implements billy.Capable.
func (t *tree) Capabilities() billy.Capability {
	if t.fs.Caps().ReadOnly {
		return billy.ReadCapability | billy.SeekCapability | billy.LockCapability
	}
	return billy.AllCapabilities
}

// Create implements billy.Basic.
func (t *tree) Create(name string) (billy.File, error) {
	return t.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

// Open implements billy.Basic.
func (t *tree) Open(name string) (billy.File, error) { return t.OpenFile(name, os.O_RDONLY, 0) }

// OpenFile implements billy.Basic.
func (t *tree) OpenFile(name string, flag int, perm os.FileMode) (billy.File, error) {
	f, err := t.open(name, flag, perm)
	if err != nil {
		return nil, failed("open", name, err)
	}
	return &handle{tree: t, file: f, name: name, appends: flag&os.O_APPEND != 0}, nil
}

func (t *tree) open(name string, flag int, perm os.FileMode) (vfs.File, error) {
	var how vfs.OpenFlags
	switch flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR) {
	case os.O_RDONLY:
		how = vfs.OpenRead
	case os.O_WRONLY:
		how = vfs.OpenWrite
	default:
		how = vfs.OpenRead | vfs.OpenWrite
	}
	if flag&os.O_CREATE != 0 {
		f, err := t.create(name, perm, how)
		if vfs.ErrnoOf(err) != vfs.EEXIST || flag&os.O_EXCL != 0 {
			return f, err
		}
	}
	n, err := t.walk(name, true)
	if err != nil {
		return nil, err
	}
	f, err := n.Open(background, t.cred, how)
	if err != nil || flag&os.O_TRUNC == 0 {
		return f, err
	}
	if err := n.SetAttr(background, t.cred, &vfs.SetAttr{Set: vfs.SetSize, Via: f}); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (t *tree) create(name string, perm os.FileMode, how vfs.OpenFlags) (vfs.File, error) {
	dir, base, err := t.parent(name, true)
	if err != nil {
		return nil, err
	}
	_, f, _, err := dir.Create(background, t.cred, base, withMode(vfs.ModeOf(perm)), how)
	return f, err
}

func withMode(mode uint32) *vfs.SetAttr { return &vfs.SetAttr{Set: vfs.SetMode, Mode: mode} }

// Stat implements billy.Basic.
func (t *tree) Stat(name string) (os.FileInfo, error) { return t.stat("stat", name, true) }

// Lstat implements billy.Symlink.
func (t *tree) Lstat(name string) (os.FileInfo, error) { return t.stat("lstat", name, false) }

func (t *tree) stat(op, name string, follow bool) (os.FileInfo, error) {
	n, err := t.walk(name, follow)
	if err != nil {
		return nil, failed(op, name, err)
	}
	a, err := n.GetAttr(background, vfs.AttrAll)
	if err != nil {
		return nil, failed(op, name, err)
	}
	return info{path.Base(path.Clean("/" + name)), a}, nil
}

// Rename implements billy.Basic.
func (t *tree) Rename(from, to string) error {
	src, oldName, err := t.parent(from, false)
	if err != nil {
		return failed("rename", from, err)
	}
	if _, err := src.Lookup(background, t.cred, oldName); err != nil {
		return failed("rename", from, err)
	}
	dst, newName, err := t.parent(to, true)
	if err != nil {
		return failed("rename", to, err)
	}
	_, _, err = src.Rename(background, t.cred, oldName, dst, newName, 0)
	return failed("rename", from, err)
}

// Remove implements billy.Basic.
func (t *tree) Remove(name string) error {
	dir, base, err := t.parent(name, false)
	if err == nil {
		_, err = dir.Remove(background, t.cred, base, false)
		if vfs.ErrnoOf(err) == vfs.EISDIR {
			_, err = dir.Remove(background, t.cred, base, true)
		}
	}
	return failed("remove", name, err)
}

// MkdirAll implements billy.Dir.
func (t *tree) MkdirAll(name string, perm os.FileMode) error {
	return failed("mkdir", name, t.mkdirAll(name, perm))
}

func (t *tree) mkdirAll(name string, perm os.FileMode) error {
	parts := split(name)
	for i := range parts {
		at := strings.Join(parts[:i+1], "/")
		if err := t.mkdir(at, perm); err == nil || vfs.ErrnoOf(err) != vfs.EEXIST {
			if err != nil {
				return err
			}
			continue
		}
		n, err := t.walk(at, true)
		if err != nil {
			return err
		}
		if a, err := n.GetAttr(background, vfs.AttrType); err != nil || a.Type != vfs.TypeDirectory {
			return orElse(err, vfs.ENOTDIR)
		}
	}
	return nil
}

func (t *tree) mkdir(name string, perm os.FileMode) error {
	dir, base, err := t.parent(name, false)
	if err == nil {
		_, _, err = dir.Mkdir(background, t.cred, base, withMode(vfs.ModeOf(perm)))
	}
	return err
}

// Mkdir implements Mkdirer.
func (t *tree) Mkdir(name string, perm os.FileMode) error {
	return failed("mkdir", name, t.mkdir(name, perm))
}

// TempFile implements billy.TempFile.
func (t *tree) TempFile(dir, prefix string) (billy.File, error) {
	for range 1000 {
		f, err := t.OpenFile(path.Join(dir, prefix+rand.Text()), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
	}
	return nil, failed("open", path.Join(dir, prefix), vfs.EEXIST)
}

// Symlink implements billy.Symlink.
func (t *tree) Symlink(target, link string) error {
	dir, base, err := t.parent(link, true)
	if err == nil {
		_, _, err = dir.Symlink(background, t.cred, base, target, nil)
	}
	return failed("symlink", link, err)
}

// Readlink implements billy.Symlink.
func (t *tree) Readlink(name string) (string, error) {
	n, err := t.walk(name, false)
	if err != nil {
		return "", failed("readlink", name, err)
	}
	target, err := n.ReadLink(background, t.cred)
	return target, failed("readlink", name, err)
}

var (
	_ billy.Filesystem = (*tree)(nil)
	_ billy.Capable    = (*tree)(nil)
	_ io.WriterAt      = (*handle)(nil)
)
