package git

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/fsva/fsva/adapters/git/objects"
	"github.com/fsva/fsva/vfs"
)

// place is where a node is, which says all that a node is: a folder of refs, a
// ref, or an entry of a tree in the commit of a ref.
type place interface {
	handle() []byte
	attr(ctx context.Context, f *FS, want vfs.AttrMask) (vfs.Attr, error)
	// list is what a directory holds; ENOTDIR for anything else.
	list(ctx context.Context, f *FS) (listing, error)
	// parent is the directory that holds a directory; ENOENT for the root.
	parent(ctx context.Context, f *FS) (place, error)
	isDir() bool
}

// Handles, by their first byte. An entry's has the ref, the commit, the number
// in it, both big endian, and the beginning of the object's name.
const (
	folderHandle = 'f'
	refHandle    = 'r'
	entryHandle  = 'e'

	idLen      = len(plumbing.Hash{})
	checkLen   = 4
	keyHandles = 1 + len(key{})
	entryLen   = keyHandles + idLen + 8 + checkLen
)

// folder is a directory of refs.
type folder key

// ref is the directory of a ref, or of the revision.
type ref key

// entry is what an item of a directory in a commit is.
type entry struct {
	tip    *tip
	dir    *directory // that holds it
	item   int        // which of dir's
	number uint64     // in the commit
	up     uint64     // the number of dir, 0 for the commit's own
}

// tip is the commit that a ref points to, or did.
type tip struct {
	*commit
	ref   key
	first uint64 // file id of number 0
}

func newTip(ref key, c *commit) *tip {
	return &tip{c, ref, keyOf("commit", string(ref[:])+string(c.id[:])).number()}
}

// tip is the commit that a ref points to now; ESTALE if the ref is gone.
func (f *FS) tip(ctx context.Context, k key) (*tip, error) {
	r := f.snapshot(ctx).refs[k]
	if r == nil {
		return nil, vfs.ESTALE
	}
	c, err := f.peel(ctx, r.id)
	if errors.Is(err, errNoTree) {
		return nil, vfs.ESTALE
	}
	if err != nil {
		return nil, f.fail(r.id, err)
	}
	return newTip(k, c), nil
}

// Resolve implements vfs.FS.
func (f *FS) Resolve(ctx context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) < keyHandles {
		return nil, vfs.EBADHANDLE
	}
	k := key(handle[1:])
	s := f.snapshot(ctx)
	switch {
	case handle[0] == folderHandle && len(handle) == keyHandles:
		if s.folders[k] == nil {
			return nil, vfs.ESTALE
		}
		return f.node(folder(k)), nil
	case handle[0] == refHandle && len(handle) == keyHandles:
		if _, err := f.tip(ctx, k); err != nil {
			return nil, err
		}
		return f.node(ref(k)), nil
	case handle[0] == entryHandle && len(handle) == entryLen:
		if s.refs[k] == nil {
			return nil, vfs.ESTALE
		}
		e, err := f.find(ctx, k, handle[keyHandles:])
		if err != nil {
			return nil, err
		}
		return f.node(e), nil
	}
	return nil, vfs.EBADHANDLE
}

// find finds an entry by what its handle has behind the ref.
func (f *FS) find(ctx context.Context, ref key, rest []byte) (*entry, error) {
	id, rest := plumbing.Hash(rest[:idLen]), rest[idLen:]
	c, err := f.peel(ctx, id)
	if errors.Is(err, objects.ErrNotFound) || errors.Is(err, errNoTree) {
		return nil, vfs.ESTALE // a commit that no ref had any more, and gc took away
	}
	if err != nil {
		return nil, f.fail(id, err)
	}
	e, err := f.numbered(ctx, newTip(ref, c), binary.BigEndian.Uint64(rest))
	if err == nil && string(e.at().id[:checkLen]) != string(rest[8:]) {
		err = vfs.ESTALE
	}
	if err != nil {
		return nil, err
	}
	return e, nil
}

// numbered goes down to the entry of that number in a commit.
func (f *FS) numbered(ctx context.Context, t *tip, number uint64) (*entry, error) {
	dir, err := f.directory(ctx, t.tree)
	if err != nil {
		return nil, err
	}
	if number == 0 || number >= dir.total {
		return nil, vfs.ESTALE
	}
	for up := uint64(0); ; {
		e := child(t, dir, up, dir.holding(number-up))
		if e.number == number {
			return e, nil
		}
		if dir, err = f.below(ctx, e); err != nil {
			return nil, err
		}
		up = e.number
	}
}

// child is an item of a directory as a node.
func child(t *tip, dir *directory, up uint64, i int) *entry {
	return &entry{tip: t, dir: dir, item: i, number: up + dir.items[i].number, up: up}
}

func (e *entry) at() *item { return &e.dir.items[e.item] }

var errRecount = errors.New("another number of files is below this tree than there was")

// below is the directory that an entry is. It has as many nodes below it as were
// counted: else their numbers would be those of others.
func (f *FS) below(ctx context.Context, e *entry) (*directory, error) {
	d, err := f.directory(ctx, e.at().id)
	if err == nil && d.total != e.dir.span(e.item) {
		err = f.fail(e.at().id, errRecount)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

const (
	blockSize = 4096
	dirMode   = 0o755
	fileMode  = 0o644
)

// directoryAttr is that of all directories. They do not count the directories in
// them: one link says so to find(1), as in btrfs.
func directoryAttr(id, change uint64, at vfs.Timespec) vfs.Attr {
	return vfs.Attr{
		Valid: vfs.AttrStat | vfs.AttrChange, Type: vfs.TypeDirectory, Mode: dirMode, Nlink: 1, Size: blockSize, Used: blockSize,
		FileID: id, Change: change, Atime: at, Mtime: at, Ctime: at,
	}
}

func (p folder) handle() []byte { return append([]byte{folderHandle}, p[:]...) }
func (p folder) isDir() bool    { return true }

func (p folder) at(ctx context.Context, f *FS) (*snapshot, *refFolder, error) {
	s := f.snapshot(ctx)
	d := s.folders[key(p)]
	if d == nil {
		return nil, nil, vfs.ESTALE
	}
	return s, d, nil
}

func (p folder) attr(ctx context.Context, f *FS, _ vfs.AttrMask) (vfs.Attr, error) {
	s, d, err := p.at(ctx, f)
	if err != nil {
		return vfs.Attr{}, err
	}
	return directoryAttr(key(p).number(), d.change, vfs.TimespecOf(s.stamp.newest)), nil
}

func (p folder) list(ctx context.Context, f *FS) (listing, error) {
	_, d, err := p.at(ctx, f)
	if err != nil {
		return nil, err
	}
	return folderListing{f, d}, nil
}

func (p folder) parent(ctx context.Context, f *FS) (place, error) {
	_, d, err := p.at(ctx, f)
	if err != nil {
		return nil, err
	}
	if d.parent == nil {
		return nil, vfs.ENOENT
	}
	return folder(d.parent.key), nil
}

func (p ref) handle() []byte { return append([]byte{refHandle}, p[:]...) }
func (p ref) isDir() bool    { return true }

func (p ref) attr(ctx context.Context, f *FS, _ vfs.AttrMask) (vfs.Attr, error) {
	t, err := f.tip(ctx, key(p))
	if err != nil {
		return vfs.Attr{}, err
	}
	return directoryAttr(key(p).number(), key(t.id[:]).number(), t.time), nil
}

func (p ref) list(ctx context.Context, f *FS) (listing, error) {
	t, err := f.tip(ctx, key(p))
	if err != nil {
		return nil, err
	}
	d, err := f.directory(ctx, t.tree)
	if err != nil {
		return nil, err
	}
	return tipListing{treeListing{t, d, 0}}, nil
}

func (p ref) parent(ctx context.Context, f *FS) (place, error) {
	r := f.snapshot(ctx).refs[key(p)]
	switch {
	case r == nil:
		return nil, vfs.ESTALE
	case r.parent == nil:
		return nil, vfs.ENOENT
	}
	return folder(r.parent.key), nil
}

func (e *entry) handle() []byte {
	h := append(make([]byte, 0, entryLen), entryHandle)
	h = append(append(h, e.tip.ref[:]...), e.tip.id[:]...)
	h = binary.BigEndian.AppendUint64(h, e.number)
	return append(h, e.at().id[:checkLen]...)
}

func (e *entry) isDir() bool    { return e.at().kind.isDir() }
func (e *entry) fileID() uint64 { return (e.tip.first + e.number) &^ (1 << 63) }
func (e *entry) change() uint64 { return key(e.tip.id[:]).number() }

func (e *entry) fileType() vfs.FileType {
	switch e.at().kind {
	case subtree, submodule:
		return vfs.TypeDirectory
	case symlink:
		return vfs.TypeSymlink
	}
	return vfs.TypeRegular
}

func (e *entry) mode() uint32 {
	switch e.at().kind {
	case plain:
		return fileMode
	case symlink:
		return 0o777 // symlink(7)
	}
	return dirMode
}

func (e *entry) attr(_ context.Context, f *FS, want vfs.AttrMask) (vfs.Attr, error) {
	if e.isDir() {
		return directoryAttr(e.fileID(), e.change(), e.tip.time), nil
	}
	a := vfs.Attr{
		Valid: vfs.AttrStat | vfs.AttrChange, Type: e.fileType(), Mode: e.mode(), Nlink: 1,
		FileID: e.fileID(), Change: e.change(), Atime: e.tip.time, Mtime: e.tip.time, Ctime: e.tip.time,
	}
	const bytes = vfs.AttrSize | vfs.AttrSpace
	if want&bytes == 0 {
		a.Valid &^= bytes
		return a, nil
	}
	size, err := f.size(e.at())
	a.Size, a.Used = uint64(size), uint64(size+blockSize-1)&^(blockSize-1)
	return a, err
}

// size is that of a blob. It is kept, since the header of a delta does not tell.
func (f *FS) size(it *item) (int64, error) {
	if size := atomic.LoadInt64(&it.size); size >= 0 {
		return size, nil
	}
	size, err := f.objects.Size(it.id)
	if err != nil {
		return 0, f.fail(it.id, err)
	}
	atomic.StoreInt64(&it.size, size)
	return size, nil
}

func (e *entry) list(ctx context.Context, f *FS) (listing, error) {
	switch e.at().kind {
	case submodule:
		return treeListing{e.tip, &directory{total: 1}, e.number}, nil
	case subtree:
		d, err := f.below(ctx, e)
		if err != nil {
			return nil, err
		}
		return treeListing{e.tip, d, e.number}, nil
	}
	return nil, vfs.ENOTDIR
}

func (e *entry) parent(ctx context.Context, f *FS) (place, error) {
	switch {
	case !e.isDir():
		return nil, vfs.ENOTDIR
	case e.up == 0:
		return ref(e.tip.ref), nil
	}
	up, err := f.numbered(ctx, e.tip, e.up)
	if err != nil {
		return nil, err
	}
	return up, nil
}
