package billy

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-git/go-billy/v5"

	"github.com/fsva/fsva/adapters/billy/index"
	"github.com/fsva/fsva/vfs"
)

// Options say how a billy file system becomes a vfs.FS. Zero values mean the
// defaults.
type Options struct {
	// State is a directory for what has to be remembered: numbers, and
	// attributes that the file system has no place for. It belongs to this
	// file system alone. Without it handles end with the process
	// (vfs.Caps.Volatile).
	State string

	// Owner is what nodes belong to that nobody has given an owner, where
	// the file system does not tell one.
	Owner Owner

	// MaxFileSize is the largest file in bytes; default 16 TiB. A StatFSer
	// knows better.
	MaxFileSize uint64

	// MaxOpen bounds how many billy.Files are open at once; default 256. A
	// file beyond that is closed in between and opened again.
	MaxOpen int

	// Forget is how long a node may go without being named until its number
	// can be taken away; default 90 days. See FS.Compact.
	Forget time.Duration

	// ReadOnly refuses changes.
	ReadOnly bool

	// Clock is time.Now, but for tests.
	Clock func() time.Time
}

// Owner is the ownership of nodes whose own nobody knows.
type Owner struct {
	UID, GID uint32
	// Mask is taken away from the file system's modes, as umask(2) does.
	Mask uint32
	// Fixed makes it the owner of everything: owners and modes cannot be
	// changed (EPERM), and new nodes belong to it whoever makes them.
	Fixed bool
}

// FS is a billy.Filesystem as a vfs.FS. The package comment has its lock order.
type FS struct {
	under billy.Filesystem
	can   abilities
	opt   Options
	names *index.Table
	tree  sync.RWMutex
	files files
	lists listings

	verifier atomic.Uint64

	stop    context.CancelFunc // of the goroutine that compacts
	stopped sync.WaitGroup
}

const (
	defaultMaxFile = 1 << 44
	defaultMaxOpen = 256
	defaultForget  = 90 * 24 * time.Hour
)

// New makes a vfs.FS of a billy file system, which it has for itself until
// Close: changes that others make are noticed when they are met. under must
// take calls from many goroutines at once; calls for one file come one after
// the other, but for ReadAt. Close does not close it, since billy has no word
// for that.
func New(under billy.Filesystem, opt Options) (*FS, error) {
	f := &FS{under: under, can: find(under), opt: opt}
	if f.opt.MaxFileSize == 0 {
		f.opt.MaxFileSize = defaultMaxFile
	}
	if f.opt.MaxOpen == 0 {
		f.opt.MaxOpen = defaultMaxOpen
	}
	if f.opt.Forget == 0 {
		f.opt.Forget = defaultForget
	}
	if f.opt.Clock == nil {
		f.opt.Clock = time.Now
	}
	f.can.readOnly = f.can.readOnly || opt.ReadOnly
	f.files.byIno, f.files.unsynced = make(map[uint64]*body), make(map[uint64]struct{})
	f.lists.byDir = make(map[uint64]*listing)
	var random [8]byte
	rand.Read(random[:]) // never fails
	f.verifier.Store(binary.BigEndian.Uint64(random[:]))

	var err error
	if f.names, err = index.Open(opt.State); err != nil {
		return nil, err
	}
	if err := f.recover(); err != nil {
		f.names.Close()
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	f.stopped.Go(func() { f.compactDaily(ctx) })
	return f, nil
}

// recover makes the root's record, ends the rename that a crash cut short and
// cleans up what was removed while it was open.
func (f *FS) recover() error {
	err := f.names.Update(func(tx *index.Tx) error {
		_, err := tx.Node(index.Root)
		if errors.Is(err, index.ErrUnknown) {
			_, err = tx.Add(&index.Record{Ino: index.Root, Type: vfs.TypeDirectory})
		}
		return err
	})
	if err != nil {
		return err
	}
	if !f.can.readOnly {
		if err := f.finishMove(); err != nil {
			return fmt.Errorf("the rename that a crash cut short: %w", err)
		}
		if err := f.cleanGraveyard(); err != nil {
			return fmt.Errorf("what is left in %s: %w", graveyard, err)
		}
	}
	return f.names.Commit()
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node {
	var root *node
	_ = f.names.View(func(tx *index.Tx) error {
		r, err := tx.Node(index.Root)
		if err == nil {
			root = f.node(r)
		}
		return err
	})
	if root == nil { // the database cannot be read: every call will say so
		root = f.node(&index.Record{Ino: index.Root, Type: vfs.TypeDirectory})
	}
	return root
}

// handleLen is that of a number and a tag.
const handleLen = 16

// Resolve implements vfs.FS.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if len(handle) != handleLen {
		return nil, vfs.EBADHANDLE
	}
	ino, tag := binary.BigEndian.Uint64(handle), binary.BigEndian.Uint64(handle[8:])
	var r *index.Record
	err := f.names.View(func(tx *index.Tx) (err error) {
		r, err = tx.Node(ino)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case r.Tag != tag:
		return nil, vfs.ESTALE
	}
	if err := f.seen(r); err != nil {
		return nil, err
	}
	return f.node(r), nil
}

// today is the day since 1970.
func (f *FS) today() uint32 { return uint32(f.opt.Clock().Unix() / (24 * 3600)) }

// seen notes that somebody has named a node: once a day, and nobody waits for
// that to be durable.
func (f *FS) seen(r *index.Record) error {
	day := f.today()
	if r.Seen == day {
		return nil
	}
	return f.names.Update(func(tx *index.Tx) error {
		now, err := tx.Node(r.Ino)
		if err != nil {
			return err
		}
		now.Seen = day
		tx.Put(now)
		return nil
	})
}

// StatFS implements vfs.FS. Without a StatFSer nothing is known of space, and a
// petabyte of it is claimed so that nobody stops at a guess.
func (f *FS) StatFS(context.Context) (vfs.StatFS, error) {
	if f.can.statfs != nil {
		s, err := f.can.statfs.StatFS()
		return s, errnoOf(err)
	}
	const unknown, files = 1 << 50, 1 << 40
	return vfs.StatFS{
		BlockSize: 4096, TotalBytes: unknown, FreeBytes: unknown, AvailBytes: unknown,
		TotalFiles: files, FreeFiles: files, AvailFiles: files,
		MaxName: vfs.MaxName, MaxFileSize: f.opt.MaxFileSize, MaxLink: 1, TimeGranularity: 1,
	}, nil
}

// Caps implements vfs.FS.
func (f *FS) Caps() vfs.Caps {
	return vfs.Caps{
		ReadOnly: f.can.readOnly, HardLinks: f.can.link != nil, SpecialFiles: f.can.node != nil, Xattrs: f.can.xattr != nil,
		Volatile: f.opt.State == "", ChangeMonotonic: true, SingleUser: f.opt.Owner.Fixed,
	}
}

// WriteVerifier implements vfs.FS. It changes with every start, since nothing
// is known of what the file system keeps, and when a write was lost.
func (f *FS) WriteVerifier() uint64 { return f.verifier.Load() }

// Close implements vfs.FS.
func (f *FS) Close() error {
	f.stop()
	f.stopped.Wait()
	err := f.files.closeAll()
	if !f.can.readOnly {
		f.levelGraveyard()
	}
	return errors.Join(err, f.names.Close())
}

// writable fails with EROFS where nothing may be changed.
func (f *FS) writable() error {
	if f.can.readOnly {
		return vfs.EROFS
	}
	return nil
}

// path is the name of a node for the file system: the names that lead there,
// or where it waits for its last Close.
func (f *FS) path(tx *index.Tx, r *index.Record) (string, error) {
	if r.Removed {
		return f.grave(r.Ino), nil
	}
	names, err := tx.Path(r)
	if err != nil {
		return "", err
	}
	if len(names) == 0 {
		return top, nil
	}
	return f.under.Join(names...), nil
}

// top is the root for a billy.Filesystem.
const top = "/"

func (f *FS) join(dir, name string) string {
	if dir == top {
		return f.under.Join(name)
	}
	return f.under.Join(dir, name)
}

// lstat is Lstat, where a root that the file system does not have (as one in
// memory that is empty) is a directory all the same.
func (f *FS) lstat(path string) (os.FileInfo, error) {
	fi, err := f.under.Lstat(path)
	if path == top && errors.Is(err, os.ErrNotExist) {
		return emptyRoot{}, nil
	}
	return fi, err
}

// emptyRoot is the root of a file system that has none.
type emptyRoot struct{}

func (emptyRoot) Name() string       { return top }
func (emptyRoot) Size() int64        { return 0 }
func (emptyRoot) Mode() os.FileMode  { return os.ModeDir | 0o755 }
func (emptyRoot) ModTime() time.Time { return time.Unix(0, 0) }
func (emptyRoot) IsDir() bool        { return true }
func (emptyRoot) Sys() any           { return nil }

// graveyard is where files go that are removed while they are open. It is in
// the root and no guest can see it.
const graveyard = ".fsva-removed"

func (f *FS) grave(ino uint64) string {
	return f.under.Join(graveyard, strconv.FormatUint(ino, 16))
}

// hidden reports that a name is the adapter's own.
func hidden(dir uint64, name string) bool { return dir == index.Root && name == graveyard }

var _ vfs.FS = (*FS)(nil)
