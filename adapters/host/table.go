package host

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// Bucket keeps what has to outlive the process. Its methods may be called from
// many goroutines at once; keys and values are the caller's again on return.
type Bucket interface {
	// Get returns nil and no error if there is no such key.
	Get(key []byte) ([]byte, error)
	Put(key, value []byte) error
	Delete(key []byte) error
}

// identity tells a node from all others that live or have lived on a file
// system without handles, as far as stat can: inode numbers are used again, a
// birth time goes with the node. Where statx(2) knows no birth time the time is
// zero, and a handle may lead to a later node with the same number.
type identity struct {
	ino   uint64
	birth unix.StatxTimestamp
}

func identify(fd int) (identity, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_NO_AUTOMOUNT, unix.STATX_INO|unix.STATX_BTIME, &st)
	return identity{st.Ino, st.Btime}, err
}

func (id identity) handle() []byte {
	h := make([]byte, 0, tableHandle)
	h = append(h, byTable)
	h = binary.BigEndian.AppendUint64(h, id.ino)
	h = binary.BigEndian.AppendUint64(h, uint64(id.birth.Sec))
	return binary.BigEndian.AppendUint32(h, id.birth.Nsec)
}

// place is where a node was last seen.
type place struct {
	dir  []byte
	name string
}

// table maps the handles of a file system without handles to places. Without a
// bucket it lives in memory, grows with the number of nodes seen and is lost
// with the process.
type table struct {
	bucket Bucket
	moves  atomic.Uint64 // renames that were recorded

	mu     sync.Mutex       // of every change, also in the bucket
	places map[string]place // if bucket is nil
}

// placeKey sets the keys of places apart from others in the bucket.
const placeKey = "place:"

func newTable(bucket Bucket) *table {
	return &table{bucket: bucket, places: make(map[string]place)}
}

// moveCount is 0 where there is no table.
func (t *table) moveCount() uint64 {
	if t == nil {
		return 0
	}
	return t.moves.Load()
}

func (p place) equal(q place) bool {
	return p.name == q.name && string(p.dir) == string(q.dir)
}

// get fails with ESTALE if the place is not known.
func (t *table) get(handle []byte) (place, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.load(handle)
}

func (t *table) load(handle []byte) (place, error) {
	if t.bucket == nil {
		p, ok := t.places[string(handle)]
		if !ok {
			return p, vfs.ESTALE
		}
		return p, nil
	}
	v, err := t.bucket.Get(append([]byte(placeKey), handle...))
	switch {
	case err != nil:
		return place{}, err
	case len(v) <= tableHandle:
		return place{}, vfs.ESTALE
	}
	return place{slices.Clone(v[:tableHandle]), string(v[tableHandle:])}, nil
}

func (t *table) store(handle []byte, p place) error {
	if t.bucket == nil {
		t.places[string(handle)] = p
		return nil
	}
	return t.bucket.Put(append([]byte(placeKey), handle...), append(slices.Clone(p.dir), p.name...))
}

// record remembers where a node is; the caller holds the lock of the directory.
// Writing is costlier than reading, and most lookups find what is known.
func (t *table) record(handle []byte, p place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, err := t.load(handle); err == nil && old.equal(p) {
		return nil
	}
	return t.store(handle, p)
}

// moved records where a node was moved to.
func (t *table) moved(handle []byte, to place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.moves.Add(1)
	return t.store(handle, to)
}

// corrected records that a node was not in the place from but in to, unless
// somebody who knows better has recorded another.
func (t *table) corrected(handle []byte, from, to place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, err := t.load(handle); err != nil || !old.equal(from) {
		return nil
	}
	return t.store(handle, to)
}

// drop forgets the place p of a node, unless it was seen elsewhere since.
func (t *table) drop(handle []byte, p place) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old, err := t.load(handle); err != nil || !old.equal(p) {
		return nil
	}
	if t.bucket == nil {
		delete(t.places, string(handle))
		return nil
	}
	return t.bucket.Delete(append([]byte(placeKey), handle...))
}

const (
	maxDepth  = 4096    // of directories: PATH_MAX allows no more for one path
	maxSearch = 100_000 // entries of a directory, looking for a renamed node
)

// openTableHandle opens the node where it was last seen, or searches that
// directory for it.
func (f *FS) openTableHandle(handle []byte, depth int) (int, error) {
	if depth > maxDepth {
		return -1, vfs.ESTALE
	}
	p, err := f.table.get(handle)
	if err != nil {
		return -1, err
	}
	dir, err := f.pathAt(p.dir, depth+1)
	if err != nil {
		return -1, err
	}
	defer dir.release()
	if fd, err := openIdentical(dir.fd, p.name, handle); err == nil {
		return fd, nil
	} else if !errors.Is(err, vfs.ESTALE) && !errors.Is(err, vfs.ENOENT) {
		return -1, err
	}
	name, err := searchIdentical(dir.fd, handle)
	if err != nil {
		return -1, err
	}
	fd, err := openIdentical(dir.fd, name, handle)
	if err != nil {
		return -1, vfs.ESTALE
	}
	if err := f.table.corrected(handle, p, place{p.dir, name}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// openIdentical opens name if it is the node with that handle.
func openIdentical(dirFD int, name string, handle []byte) (int, error) {
	fd, err := openName(dirFD, name, unix.O_PATH, 0)
	if err != nil {
		return -1, err
	}
	id, err := identify(fd)
	if err == nil && string(id.handle()) != string(handle) {
		err = vfs.ESTALE
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// searchIdentical looks through a directory for the inode number in handle.
func searchIdentical(dirFD int, handle []byte) (name string, err error) {
	fd, err := reopen(dirFD, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	ino := binary.BigEndian.Uint64(handle[1:])
	left := maxSearch
	_, err = readEntries(fd, func(e *rawEntry) bool {
		if e.ino == ino {
			name = string(e.name)
			return false
		}
		left--
		return left > 0
	})
	if err == nil && name == "" {
		err = vfs.ESTALE
	}
	return name, err
}
