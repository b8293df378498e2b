package billy_test

import (
	"errors"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-git/go-billy/v5"
)

// plain is a file system in memory that does what billy's interfaces say and
// not a bit more: it has no optional interface, keeps neither modes nor owners,
// does not replace the target of a Rename, follows the name and not the file
// when something open is renamed, and shows what was written once the file is
// closed.
type plain struct {
	mu    sync.Mutex
	nodes map[string]*plainNode // by clean path without the leading "/"; the root is ""
}

type plainNode struct {
	mode   os.FileMode // type bits only
	data   plainData
	target string
	mtime  time.Time
	names  map[string]bool // of a directory
}

// plainData is a sparse string of bytes.
type plainData struct {
	size   int64
	blocks map[int64]*[plainBlock]byte
}

const plainBlock = 4096

func newPlain() *plain {
	return &plain{nodes: map[string]*plainNode{"": {mode: os.ModeDir, mtime: time.Now(), names: map[string]bool{}}}}
}

func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

func fail(op, name string, err error) error { return &os.PathError{Op: op, Path: name, Err: err} }

// dir returns the directory that holds name.
func (p *plain) dir(name string) (*plainNode, error) {
	d := p.nodes[strings.TrimPrefix(path.Dir("/"+name), "/")]
	if d == nil {
		return nil, fail("open", name, os.ErrNotExist)
	}
	if !d.mode.IsDir() {
		return nil, fail("open", name, syscall.ENOTDIR)
	}
	return d, nil
}

// add makes a node whose name must be free.
func (p *plain) add(name string, n *plainNode) error {
	d, err := p.dir(name)
	if err != nil {
		return err
	}
	if p.nodes[name] != nil {
		return fail("create", name, os.ErrExist)
	}
	d.names[path.Base(name)] = true
	d.mtime, n.mtime = time.Now(), time.Now()
	p.nodes[name] = n
	return nil
}

func (p *plain) Create(name string) (billy.File, error) {
	return p.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o666)
}

func (p *plain) Open(name string) (billy.File, error) { return p.OpenFile(name, os.O_RDONLY, 0) }

func (p *plain) OpenFile(name string, flag int, _ os.FileMode) (billy.File, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name = clean(name)
	n := p.nodes[name]
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, fail("open", name, os.ErrNotExist)
	case n == nil:
		n = &plainNode{}
		if err := p.add(name, n); err != nil {
			return nil, err
		}
	case flag&os.O_EXCL != 0:
		return nil, fail("open", name, os.ErrExist)
	case !n.mode.IsRegular():
		return nil, fail("open", name, errors.New("is no file"))
	}
	f := &plainFile{fs: p, name: name, data: n.data.clone(), flag: flag & (os.O_RDONLY | os.O_WRONLY | os.O_RDWR)}
	if flag&os.O_TRUNC != 0 {
		f.data, f.dirty = plainData{}, true
	}
	return f, nil
}

func (p *plain) Stat(name string) (os.FileInfo, error) { return p.Lstat(name) }

func (p *plain) Lstat(name string) (os.FileInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name = clean(name)
	n := p.nodes[name]
	if n == nil {
		return nil, fail("lstat", name, os.ErrNotExist)
	}
	return n.info(name), nil
}

func (n *plainNode) info(name string) os.FileInfo {
	size, perm := n.data.size, os.FileMode(0o644)
	switch n.mode {
	case os.ModeSymlink:
		size = int64(len(n.target))
	case os.ModeDir:
		perm = 0o755
	}
	return plainInfo{path.Base("/" + name), size, n.mode | perm, n.mtime}
}

func (p *plain) Rename(from, to string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	from, to = clean(from), clean(to)
	n := p.nodes[from]
	if n == nil {
		return fail("rename", from, os.ErrNotExist)
	}
	mtime := n.mtime
	if err := p.add(to, n); err != nil {
		return err
	}
	n.mtime = mtime
	d, err := p.dir(from)
	if err != nil {
		return err
	}
	delete(d.names, path.Base(from))
	delete(p.nodes, from)
	d.mtime = time.Now()
	for name, below := range maps.Clone(p.nodes) {
		if rest, ok := strings.CutPrefix(name, from+"/"); ok {
			delete(p.nodes, name)
			p.nodes[to+"/"+rest] = below
		}
	}
	return nil
}

func (p *plain) Remove(name string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	name = clean(name)
	n := p.nodes[name]
	if n == nil {
		return fail("remove", name, os.ErrNotExist)
	}
	if len(n.names) > 0 {
		return fail("remove", name, errors.New("is not empty"))
	}
	d, err := p.dir(name)
	if err != nil {
		return err
	}
	delete(d.names, path.Base(name))
	d.mtime = time.Now()
	delete(p.nodes, name)
	return nil
}

func (p *plain) Join(elem ...string) string { return path.Join(elem...) }

func (p *plain) TempFile(string, string) (billy.File, error) { return nil, billy.ErrNotSupported }
func (p *plain) Chroot(string) (billy.Filesystem, error)     { return nil, billy.ErrNotSupported }
func (p *plain) Root() string                                { return "/" }

func (p *plain) ReadDir(name string) ([]os.FileInfo, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	name = clean(name)
	d := p.nodes[name]
	if d == nil {
		return nil, fail("readdir", name, os.ErrNotExist)
	}
	var infos []os.FileInfo
	for _, base := range slices.Sorted(maps.Keys(d.names)) {
		at := strings.TrimPrefix(name+"/"+base, "/")
		infos = append(infos, p.nodes[at].info(at))
	}
	return infos, nil
}

func (p *plain) MkdirAll(name string, _ os.FileMode) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	name = clean(name)
	for i := range len(name) + 1 {
		if i < len(name) && name[i] != '/' {
			continue
		}
		if n := p.nodes[name[:i]]; n == nil {
			if err := p.add(name[:i], &plainNode{mode: os.ModeDir, names: map[string]bool{}}); err != nil {
				return err
			}
		} else if !n.mode.IsDir() {
			return fail("mkdir", name, syscall.ENOTDIR)
		}
	}
	return nil
}

func (p *plain) Symlink(target, link string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.add(clean(link), &plainNode{mode: os.ModeSymlink, target: target})
}

func (p *plain) Readlink(name string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.nodes[clean(name)]
	if n == nil || n.mode&os.ModeSymlink == 0 {
		return "", fail("readlink", name, os.ErrInvalid)
	}
	return n.target, nil
}

type plainInfo struct {
	name  string
	size  int64
	mode  os.FileMode
	mtime time.Time
}

func (i plainInfo) Name() string       { return i.name }
func (i plainInfo) Size() int64        { return i.size }
func (i plainInfo) Mode() os.FileMode  { return i.mode }
func (i plainInfo) ModTime() time.Time { return i.mtime }
func (i plainInfo) IsDir() bool        { return i.mode.IsDir() }
func (i plainInfo) Sys() any           { return nil }

// plainFile works on a copy that Close puts in the place of what then has its
// name.
type plainFile struct {
	fs    *plain
	name  string
	flag  int
	data  plainData
	off   int64
	dirty bool
}

func (f *plainFile) Name() string { return f.name }

func (f *plainFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, f.off)
	f.off += int64(n)
	return n, err
}

func (f *plainFile) ReadAt(p []byte, off int64) (int, error) {
	if f.flag == os.O_WRONLY {
		return 0, fail("read", f.name, os.ErrPermission)
	}
	return f.data.read(p, off)
}

func (f *plainFile) Seek(off int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		off += f.off
	case io.SeekEnd:
		off += f.data.size
	}
	f.off = off
	return off, nil
}

func (f *plainFile) Write(p []byte) (int, error) {
	if f.flag == os.O_RDONLY {
		return 0, fail("write", f.name, os.ErrPermission)
	}
	f.data.write(p, f.off)
	f.off += int64(len(p))
	f.dirty = true
	return len(p), nil
}

func (f *plainFile) Truncate(size int64) error {
	if f.flag == os.O_RDONLY {
		return fail("truncate", f.name, os.ErrPermission)
	}
	f.data.truncate(size)
	f.dirty = true
	return nil
}

func (f *plainFile) Close() error {
	if !f.dirty {
		return nil
	}
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	n := f.fs.nodes[f.name]
	if n == nil {
		return fail("close", f.name, os.ErrNotExist)
	}
	n.data, n.mtime = f.data, time.Now()
	return nil
}

func (f *plainFile) Lock() error   { return billy.ErrNotSupported }
func (f *plainFile) Unlock() error { return billy.ErrNotSupported }

func (d *plainData) clone() plainData {
	c := plainData{size: d.size, blocks: make(map[int64]*[plainBlock]byte, len(d.blocks))}
	for i, b := range d.blocks {
		copied := *b
		c.blocks[i] = &copied
	}
	return c
}

func (d *plainData) read(p []byte, off int64) (n int, err error) {
	for n < len(p) && off < d.size {
		part := p[n:min(len(p), n+int(min(d.size-off, plainBlock-off%plainBlock)))]
		clear(part)
		if b := d.blocks[off/plainBlock]; b != nil {
			copy(part, b[off%plainBlock:])
		}
		n, off = n+len(part), off+int64(len(part))
	}
	if n < len(p) {
		err = io.EOF
	}
	return n, err
}

func (d *plainData) write(p []byte, off int64) {
	for len(p) > 0 {
		b := d.blocks[off/plainBlock]
		if b == nil {
			b = new([plainBlock]byte)
			if d.blocks == nil {
				d.blocks = make(map[int64]*[plainBlock]byte)
			}
			d.blocks[off/plainBlock] = b
		}
		n := copy(b[off%plainBlock:], p)
		p, off = p[n:], off+int64(n)
		d.size = max(d.size, off)
	}
}

func (d *plainData) truncate(size int64) {
	for i, b := range d.blocks {
		if i*plainBlock >= size {
			delete(d.blocks, i)
		} else if (i+1)*plainBlock > size {
			clear(b[size-i*plainBlock:])
		}
	}
	d.size = size
}

var _ billy.Filesystem = (*plain)(nil)
