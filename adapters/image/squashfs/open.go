package squashfs

import (
	"io"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/adapters/image/disk"
	"github.com/fsva/fsva/adapters/tree"
	"github.com/fsva/fsva/vfs"
)

// Options say what a file system is served as.
type Options struct {
	Fingerprint tree.Fingerprint
	Log         zerolog.Logger
	// Closer is closed with the FS.
	Closer io.Closer
}

// maxDepth is more than a path can have directories (PATH_MAX).
const maxDepth = 2048

// Open opens the file system on a device of size bytes. If it fails the caller
// closes what opt has.
func Open(dev io.ReaderAt, size int64, opt Options) (*tree.FS, error) {
	m, err := readImage(dev, size)
	if err != nil {
		return nil, err
	}
	w := &walk{image: m, b: tree.NewBuilder(tree.Options{Log: opt.Log}), seen: map[uint64]bool{}}
	root, err := m.inode(m.root)
	if err != nil {
		return nil, err
	}
	if root.typ != vfs.TypeDirectory {
		return nil, disk.Corrupt("the root is no directory")
	}
	if err := w.add("", m.root, root, 0); err != nil {
		return nil, err
	}
	return w.b.Build(newSource(m, opt.Closer), opt.Fingerprint)
}

// walk adds all of an image to a tree.
type walk struct {
	image *image
	b     *tree.Builder
	seen  map[uint64]bool // directories
}

// add adds an inode, and what is in it.
func (w *walk) add(path string, reference uint64, i *inode, depth int) error {
	e := tree.Entry{
		Path: path, Type: i.typ, Mode: i.mode, UID: i.uid, GID: i.gid, Mtime: vfs.Timespec{Sec: int64(i.mtime)},
		Size: i.size, Holes: i.holes, Item: reference, Target: i.target, Rdev: i.rdev,
	}
	if i.typ != vfs.TypeDirectory && i.nlink > 1 {
		e.Inode = uint64(i.number) + 1
	}
	var err error
	if e.Xattrs, err = w.image.attributes(i.xattr); err != nil {
		return err
	}
	if err := w.b.Add(e); err != nil || i.typ != vfs.TypeDirectory {
		return err
	}
	if w.seen[reference] {
		return disk.Corrupt("directory %d is in several directories", i.number)
	}
	w.seen[reference] = true
	if len(w.seen) > tree.DefaultMaxNodes { // more than the tree has, which leaves some out
		return vfs.Errorf(vfs.EFBIG, "more than %d directories", tree.DefaultMaxNodes)
	}
	if depth > maxDepth {
		return disk.Corrupt("more than %d directories in one another", maxDepth)
	}
	return w.directory(path, i, depth)
}

// listEnds is what the size of a directory counts besides its list: "." and "..".
const listEnds = 3

// directory adds what is in a directory: headers with up to 256 names each.
func (w *walk) directory(path string, i *inode, depth int) error {
	c := w.image.cursor(w.image.directories, i.start)
	for left := int64(i.size) - listEnds; left > 0; {
		p, err := c.read(12)
		if err != nil {
			return err
		}
		left -= 12
		count, start := le.Uint32(p), le.Uint32(p[4:])
		if count >= 256 {
			return disk.Corrupt("directory %d has a malformed list", i.number)
		}
		for range count + 1 {
			if p, err = c.read(8); err != nil {
				return err
			}
			name, err := c.read(int(le.Uint16(p[6:])) + 1)
			if err != nil {
				return err
			}
			if left -= 8 + int64(len(name)); left < 0 {
				return disk.Corrupt("directory %d has a malformed list", i.number)
			}
			if vfs.CheckName(string(name)) != nil {
				continue
			}
			reference := uint64(start)<<16 | uint64(le.Uint16(p))
			child, err := w.image.inode(reference)
			if err != nil {
				return err
			}
			if err := w.add(path+"/"+string(name), reference, child, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// spaces are the name spaces of attributes, and outOfLine the bit that says that
// a value is elsewhere (squashfs_fs.h).
var spaces = [...]string{"user.", "trusted.", "security."}

const outOfLine = 0x100

// maxAttributes bounds the attributes of a file, in bytes.
const maxAttributes = 1 << 20

// attributes are the extended attributes with an index.
func (m *image) attributes(index uint32) (map[string][]byte, error) {
	if index == noXattrs {
		return nil, nil
	}
	p, err := m.entry(m.xattrs, index)
	if err != nil {
		return nil, err
	}
	c := m.cursor(m.xattrValues, le.Uint64(p))
	list, total := map[string][]byte{}, 0
	for range le.Uint32(p[8:]) {
		head, err := c.read(4)
		if err != nil {
			return nil, err
		}
		name, err := c.read(int(le.Uint16(head[2:])))
		if err != nil {
			return nil, err
		}
		value, err := m.value(c, le.Uint16(head)&outOfLine != 0)
		if err != nil {
			return nil, err
		}
		if total += len(name) + len(value) + 1; total > maxAttributes {
			return nil, disk.Corrupt("extended attributes of more than %d bytes", maxAttributes)
		}
		if space := le.Uint16(head) &^ outOfLine; int(space) < len(spaces) {
			list[spaces[space]+string(name)] = value
		}
	}
	return list, nil
}

// value reads a value, or follows the reference that it is.
func (m *image) value(c *cursor, elsewhere bool) ([]byte, error) {
	p, err := c.read(4)
	if err != nil {
		return nil, err
	}
	size := le.Uint32(p)
	if size > vfs.MaxXattr {
		return nil, disk.Corrupt("an extended attribute of %d bytes", size)
	}
	value, err := c.read(int(size))
	if err != nil || !elsewhere {
		return value, err
	}
	if len(value) < 8 {
		return nil, disk.Corrupt("an extended attribute is a reference of %d bytes", size)
	}
	return m.value(m.cursor(m.xattrValues, le.Uint64(value)), false)
}
