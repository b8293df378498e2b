package host

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// Options change how a directory is served. The zero value is useful.
type Options struct {
	Log zerolog.Logger
	// Exclusive promises that only this FS changes the tree, so that the
	// change attributes of a directory before and after an operation can
	// be told apart from changes by others (DirChange.Atomic).
	Exclusive bool
	// SyncMetadata makes every change of a directory or of attributes
	// durable before the call returns, as NFS asks of a server
	// (RFC 1813 §4.8). Without it they are as durable as the mounted file
	// system makes them by itself.
	SyncMetadata bool
	// State keeps what must outlive the process: the table of handles
	// where the file system has none, and the count of failed write-backs.
	// If it is nil, the former is lost with the process.
	State Bucket
	// MaxOpen bounds the descriptors that are kept for nodes. 0 means an equal
	// share of a quarter of RLIMIT_NOFILE, which all FSs with 0 have together;
	// at most 16384.
	MaxOpen int

	noHandles bool // for tests: use the table where the kernel has handles
}

// FS is a directory of a mounted file system. It implements [vfs.FS].
type FS struct {
	log          zerolog.Logger
	exclusive    bool
	syncMetadata bool
	state        Bucket

	rootFD  int // O_PATH
	mountFD int // O_RDONLY, for open_by_handle_at(2)
	mountID int32
	// mountRoot: the export is a whole file system.
	mountRoot          bool
	devMajor, devMinor uint32
	kind               fsKind
	root               *node
	caps               vfs.Caps

	ids      *identities // nil: SingleUser
	table    *table      // nil: the kernel has handles
	fds      *descriptors
	changes  *changes  // nil: ctimes tell changes apart
	verdicts *verdicts // nil: ctimes do not tell when permissions change

	// dirLocks serialise the changes of a directory. At most two are taken
	// at once, in the order of the array; they come before all other locks.
	dirLocks [256]sync.Mutex

	boot     uint64        // hash of the boot id
	failures atomic.Uint64 // failed write-backs, changed under failing
	failing  sync.Mutex
	mounts   sync.Map // names of mount points already logged
}

var _ vfs.FS = (*FS)(nil)

// Open serves the directory dir. It sets the umask of the process to 0 and, if
// the process can act as other users, gives up its supplementary groups.
func Open(dir string, opts Options) (*FS, error) {
	f := &FS{
		log:          opts.Log,
		exclusive:    opts.Exclusive,
		syncMetadata: opts.SyncMetadata,
		state:        opts.State,
		rootFD:       -1,
		mountFD:      -1,
		ids:          newIdentities(),
		fds:          newDescriptors(opts.MaxOpen),
	}
	if err := f.openRoot(dir, opts.noHandles); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.readVerifier(); err != nil {
		f.Close()
		return nil, err
	}
	unix.Umask(0)
	if f.ids == nil {
		f.log.Info().Int("uid", os.Geteuid()).Str("dir", dir).
			Msg("no right to act as other users: every request is made as this one (run as root to change that)")
	}
	return f, nil
}

func (f *FS) openRoot(dir string, noHandles bool) (err error) {
	if f.rootFD, err = unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0); err != nil {
		return openError(dir, err)
	}
	var st unix.Statx_t
	const mask = unix.STATX_BASIC_STATS | unix.STATX_BTIME | unix.STATX_MNT_ID
	if err = unix.Statx(f.rootFD, "", unix.AT_EMPTY_PATH, mask, &st); err != nil {
		return openError(dir, err)
	}
	f.devMajor, f.devMinor = st.Dev_major, st.Dev_minor
	f.mountRoot = st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0
	if f.mountFD, err = reopen(f.rootFD, unix.O_RDONLY|unix.O_DIRECTORY); err != nil {
		if errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("host: %s: /proc is not mounted here; mount it", dir)
		}
		return openError(dir, err)
	}
	var fst unix.Statfs_t
	if err = unix.Fstatfs(f.mountFD, &fst); err != nil {
		return openError(dir, err)
	}
	f.kind = kindOf(fst.Type)
	fine := fineGrained(fst.Type, &st)
	f.verdicts = newVerdicts(f.kind, fine)
	if !fine {
		f.changes = &changes{ahead: make(map[string]uint64)}
	}
	if noHandles || fst.Type == unix.FUSE_SUPER_MAGIC || !f.probeHandles() {
		f.table = newTable(f.state)
		f.log.Info().Str("dir", dir).
			Msg("the file system has no lasting handles: nodes are found by their inode numbers and where they were last seen")
	}
	f.root = &node{fs: f}
	if f.root.handle, err = f.handleOf(f.rootFD, nil, ""); err != nil {
		return openError(dir, err)
	}
	f.caps = f.probeCaps(&fst)
	return nil
}

// probeHandles reports whether the kernel makes handles of nodes and nodes of
// handles here. It says so of FUSE, too, where a handle lasts as long as the
// kernel remembers the node and then depends on what the file system makes of a
// LOOKUP of "." (fuse_get_dentry), of which nothing tells beforehand.
func (f *FS) probeHandles() bool {
	handle, mount, err := kernelHandleOf(f.rootFD)
	if err != nil {
		return false
	}
	f.mountID = mount
	fd, err := f.openKernelHandle(handle)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	a, err1 := identify(fd)
	b, err2 := identify(f.rootFD)
	return err1 == nil && err2 == nil && a == b
}

func openError(dir string, err error) error {
	hint := ""
	switch {
	case errors.Is(err, unix.ENOENT):
		hint = "; create the directory or correct the path"
	case errors.Is(err, unix.ENOTDIR):
		hint = "; an export is a directory: name the one that holds the file"
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		hint = fmt.Sprintf("; give user %d read and search permission on it and its parents, or run as root", os.Geteuid())
	}
	return fmt.Errorf("host: cannot serve %s: %w%s", dir, err, hint)
}

// Root implements vfs.FS.
func (f *FS) Root() vfs.Node { return f.root }

// Resolve implements vfs.FS.
func (f *FS) Resolve(_ context.Context, handle []byte) (vfs.Node, error) {
	if err := f.checkHandle(handle); err != nil {
		return nil, err
	}
	desc, err := f.known(handle)
	if err != nil {
		return nil, err
	}
	desc.release()
	return &node{fs: f, handle: append([]byte(nil), handle...)}, nil
}

// Caps implements vfs.FS.
func (f *FS) Caps() vfs.Caps { return f.caps }

// Close implements vfs.FS.
func (f *FS) Close() error {
	err := f.fds.close()
	for _, fd := range []int{f.rootFD, f.mountFD} {
		if fd >= 0 {
			err = errors.Join(err, unix.Close(fd))
		}
	}
	return err
}

// failuresKey holds the number of failed write-backs since the machine started,
// behind the boot's hash.
var failuresKey = []byte("write-failures")

// readVerifier finds what WriteVerifier is made of. The page cache lives as
// long as the machine runs, so a restart of the process changes nothing.
func (f *FS) readVerifier() error {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("host: cannot tell when the machine started: %w; mount /proc", err)
	}
	h := fnv.New64a()
	h.Write(id)
	f.boot = h.Sum64()
	if f.state == nil {
		return nil
	}
	v, err := f.state.Get(failuresKey)
	if err != nil {
		return fmt.Errorf("host: read the state: %w", err)
	}
	if len(v) == 16 && binary.BigEndian.Uint64(v) == f.boot {
		f.failures.Store(binary.BigEndian.Uint64(v[8:]))
	}
	return nil
}

// WriteVerifier implements vfs.FS.
func (f *FS) WriteVerifier() uint64 {
	// The multiplier spreads small counts over all bits, so that no count
	// makes one boot look like another.
	return f.boot + f.failures.Load()*0x9e3779b97f4a7c15
}
