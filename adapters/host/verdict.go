package host

import (
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// verdicts remember what the kernel has allowed whom, since asking it as
// somebody else means to change the credentials of a thread and back, which
// costs more than the call itself. Every change of permissions (chmod, chown,
// ACLs, flags) moves the ctime, so a verdict holds while the ctime stays. Only
// grants are kept: a refusal is always the kernel's own, with its errno.
//
// A ctime that just came about could cover another change in the same tick, so
// where ctimes are coarse a grant is kept only when the ctime is older than
// any tick. One of a whole second may be of a file system that keeps no more,
// which nothing tells for sure.
type verdicts struct {
	settled time.Duration // age of a ctime that can be relied on
	now     func() time.Time
	mu      sync.Mutex
	granted map[string]verdict // by handle and credentials
}

type verdict struct {
	ctime uint64
	mode  uint32 // R_OK, W_OK, X_OK
}

// maxVerdicts bounds the memory to about 10 MiB.
const maxVerdicts = 1 << 16

// Ages at which a ctime is that of no further change: of the clock's tick, and of
// a second and a tick.
const (
	settledTick   = 100 * time.Millisecond
	settledSecond = 2 * time.Second
)

// newVerdicts returns nil where ctimes cannot be relied on: a remote file
// system may hear late of a change, and FAT keeps none (fat_truncate_time).
func newVerdicts(kind fsKind, fine bool) *verdicts {
	if kind.remote || kind.noCtime {
		return nil
	}
	v := &verdicts{now: time.Now, granted: make(map[string]verdict)}
	if !fine {
		v.settled = settledTick
	}
	return v
}

// tells reports whether any later change will have another ctime.
func (v *verdicts) tells(ctime uint64) bool {
	settled := v.settled
	if ctime%1e9 == 0 {
		settled = settledSecond
	}
	return settled == 0 || v.now().UnixNano()-int64(ctime) >= int64(settled)
}

// verdictKey appends to b what names the subject and the object of a verdict.
func verdictKey(b []byte, handle string, cred *vfs.Cred) []byte {
	b = append(b, byte(len(handle)))
	b = append(b, handle...)
	b = binary.NativeEndian.AppendUint32(b, cred.UID)
	b = binary.NativeEndian.AppendUint32(b, cred.GID)
	for _, g := range cred.Groups {
		b = binary.NativeEndian.AppendUint32(b, g)
	}
	return b
}

// keyRoom is enough for any key, so that making one allocates nothing.
type keyRoom [1 + vfs.MaxNodeHandle + 4*(2+vfs.MaxGroups)]byte

// allow reports whether cred was granted mode on the node with handle and
// ctime.
func (v *verdicts) allow(handle string, ctime uint64, cred *vfs.Cred, mode uint32) bool {
	if v == nil {
		return false
	}
	var room keyRoom
	key := verdictKey(room[:0], handle, cred)
	v.mu.Lock()
	defer v.mu.Unlock()
	got, known := v.granted[string(key)]
	return known && got.ctime == ctime && got.mode&mode == mode
}

// grant notes that the kernel has granted mode. ctime was read before it was
// asked.
func (v *verdicts) grant(handle string, ctime uint64, cred *vfs.Cred, mode uint32) {
	if v == nil || !v.tells(ctime) {
		return
	}
	var room keyRoom
	key := verdictKey(room[:0], handle, cred)
	v.mu.Lock()
	defer v.mu.Unlock()
	got, known := v.granted[string(key)]
	if known && got.ctime == ctime {
		mode |= got.mode
	}
	if !known && len(v.granted) >= maxVerdicts {
		for k := range v.granted {
			delete(v.granted, k)
			break
		}
	}
	v.granted[string(key)] = verdict{ctime, mode}
}

// may asks whether cred may access a node in the way that mode says (access(2)).
// st, from before, tells the ctime.
func (f *FS) may(cred *vfs.Cred, desc *descriptor, st *unix.Statx_t, mode uint32) error {
	if !f.actsAsProcess(cred) && f.verdicts.allow(desc.key.handle, ctime(st), cred, mode) {
		return nil
	}
	return f.needing(mode, cred, desc, st, func() error { return mayAccess(desc.fd, mode) })
}

// needing runs a call that succeeds only for who may access the node in the way
// that mode says: as cred, unless that is known already.
func (f *FS) needing(mode uint32, cred *vfs.Cred, desc *descriptor, st *unix.Statx_t, call func() error) error {
	if f.actsAsProcess(cred) || f.verdicts.allow(desc.key.handle, ctime(st), cred, mode) {
		return call()
	}
	err := f.asking(cred, call)
	if err == nil {
		f.verdicts.grant(desc.key.handle, ctime(st), cred, mode)
	}
	return err
}

// openEntry returns a path descriptor of an entry of the directory dir, if
// cred may search it. st tells the directory's ctime.
func (f *FS) openEntry(dir *descriptor, st *unix.Statx_t, cred *vfs.Cred, name string) (fd int, err error) {
	err = f.needing(unix.X_OK, cred, dir, st, func() (err error) {
		fd, err = openName(dir.fd, name, unix.O_PATH, 0)
		return err
	})
	return fd, f.checkMount(dir, name, err)
}

// entryHandle returns the kernel's handle of an entry of the directory dir, if
// cred may search it. Nothing is opened: most entries that are asked for have a
// descriptor in the cache, or never need one.
func (f *FS) entryHandle(dir *descriptor, st *unix.Statx_t, cred *vfs.Cred, name string) (handle []byte, err error) {
	var mount int32
	err = f.needing(unix.X_OK, cred, dir, st, func() (err error) {
		handle, mount, err = kernelHandleAt(dir.fd, name, 0)
		return err
	})
	if err == nil && mount != f.mountID {
		err = vfs.EXDEV
	}
	return handle, f.checkMount(dir, name, err)
}
