package host

import (
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// access says what a descriptor can do. The kinds for data have the bits of
// vfs.OpenFlags.
type access uint8

const (
	pathOnly  access = 0
	readOnly         = access(vfs.OpenRead)
	writeOnly        = access(vfs.OpenWrite)
	readWrite        = readOnly | writeOnly
)

// descriptors is the one place that holds the descriptors of nodes: a bounded
// cache of them, shared by all who use a node, and the count of who has it
// open.
//
// Descriptors in use are not evicted, so the bound can be exceeded by the
// number of calls under way, of files pinned and of open files without a name.
type descriptors struct {
	seed   maphash.Seed
	shards []shard
	losses atomic.Uint64 // of nodes, moved on before descriptors are forgotten
	// closing is who closes what a lower bound leaves no room for.
	closing sync.WaitGroup
}

// shard is the part of the cache for the nodes whose handles hash to it. Its
// lock is a leaf.
type shard struct {
	mu     sync.Mutex
	max    int
	fds    map[fdKey]*descriptor
	idle   lru // the descriptors without users
	open   map[string]*openNode
	dying  map[string]int // nodes that lose a name just now: see removing
	doomed []int          // to be closed by unlock
}

func (s *shard) lock() { s.mu.Lock() }

// unlock closes what nobody needs any more, without the lock: the close that
// frees a large file, or flushes one to a server, takes its time.
func (s *shard) unlock() {
	doomed := s.doomed
	s.doomed = nil
	s.mu.Unlock()
	for _, fd := range doomed {
		unix.Close(fd)
	}
}

func (s *shard) doom(fd int) { s.doomed = append(s.doomed, fd) }

type fdKey struct {
	handle string
	access access
}

// descriptor is a reference-counted descriptor.
type descriptor struct {
	fd   int
	key  fdKey
	home *shard
	// Below under home.mu.
	users int
	gone  bool // no longer in home.fds: the last user closes it
	links lruLinks
}

// openNode counts the Files of a node.
type openNode struct {
	files, writers int
	// pin keeps a node whose last name was removed.
	pin  *descriptor
	back writeBack
}

// newDescriptors keeps at most limit descriptors, or its share of the budget if
// that is none.
func newDescriptors(limit int) *descriptors {
	const maxShards, perShard = 16, 64
	most := limit
	if limit <= 0 {
		most = min(quarter(), maxShare)
	}
	n := min(max(most/perShard, 1), maxShards)
	d := &descriptors{seed: maphash.MakeSeed(), shards: make([]shard, n)}
	for i := range d.shards {
		s := &d.shards[i]
		s.fds = make(map[fdKey]*descriptor)
		s.open = make(map[string]*openNode)
		s.dying = make(map[string]int)
	}
	if limit <= 0 {
		kept.join(d)
	} else {
		d.bound(limit)
	}
	return d
}

// bound sets how many descriptors are kept; a shard may keep none. It does not
// wait for a file system that does not answer.
func (d *descriptors) bound(limit int) {
	var doomed []int
	for i := range d.shards {
		s := &d.shards[i]
		s.lock()
		s.max = (limit + i) / len(d.shards) // these add up to limit
		s.evict()
		doomed, s.doomed = append(doomed, s.doomed...), nil
		s.unlock()
	}
	if len(doomed) == 0 {
		return
	}
	d.closing.Go(func() {
		for _, fd := range doomed {
			unix.Close(fd)
		}
	})
}

func (d *descriptors) shard(handle []byte) *shard {
	return &d.shards[maphash.Bytes(d.seed, handle)%uint64(len(d.shards))]
}

// get returns the cached descriptor, or nil. The caller releases it.
func (d *descriptors) get(handle []byte, a access) *descriptor {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	desc := s.fds[fdKey{string(handle), a}]
	if desc != nil {
		desc.use()
	}
	return desc
}

// any returns a cached descriptor of the node, whatever it can do, or nil. The
// caller releases it.
func (d *descriptors) any(handle []byte) *descriptor {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	for a := pathOnly; a <= readWrite; a++ {
		if desc := s.fds[fdKey{string(handle), a}]; desc != nil {
			desc.use()
			return desc
		}
	}
	return nil
}

// put gives fd to the cache and returns the descriptor to use, which is
// another one if somebody was faster. The caller releases it.
//
// before is what losses was before fd was opened. If a node was lost since, with
// its last name or the last File after that, it may have been this one, whose
// descriptors were forgotten without this one: to keep it would keep a removed file
// on the disk.
func (d *descriptors) put(handle []byte, a access, fd int, before uint64) *descriptor {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	if desc := s.fds[fdKey{string(handle), a}]; desc != nil {
		desc.use()
		s.doom(fd)
		return desc
	}
	desc := &descriptor{fd: fd, key: fdKey{string(handle), a}, home: s, users: 1}
	if d.losses.Load() != before && s.open[desc.key.handle] == nil && unlinked(fd) {
		desc.gone = true
		return desc
	}
	s.fds[desc.key] = desc
	s.evict()
	return desc
}

func (desc *descriptor) use() {
	if desc.users == 0 {
		desc.home.idle.remove(desc)
	}
	desc.users++
}

// release gives back one use.
func (desc *descriptor) release() {
	s := desc.home
	s.lock()
	defer s.unlock()
	desc.unuse()
}

func (desc *descriptor) unuse() {
	s := desc.home
	desc.users--
	switch {
	case desc.users > 0:
	case desc.gone:
		s.doom(desc.fd)
	default:
		s.idle.add(desc)
		s.evict()
	}
}

// evict closes what was not used for longest until the bound is kept.
func (s *shard) evict() {
	for len(s.fds) > s.max && s.idle.last != nil {
		s.forget(s.idle.last.key)
	}
}

// forget takes a descriptor out of the cache; it is closed when unused.
func (s *shard) forget(key fdKey) {
	desc := s.fds[key]
	if desc == nil {
		return
	}
	delete(s.fds, key)
	desc.gone = true
	if desc.users == 0 {
		s.idle.remove(desc)
		s.doom(desc.fd)
	}
}

// opened counts a File of the node behind desc, its path descriptor, and returns
// what the Files share. It fails with ESTALE if the node was removed since the
// caller got desc.
func (d *descriptors) opened(desc *descriptor, a access) (*writeBack, error) {
	s := desc.home
	s.lock()
	defer s.unlock()
	n := s.open[desc.key.handle]
	if desc.gone && (n == nil || n.pin == nil) && unlinked(desc.fd) {
		return nil, vfs.ESTALE
	}
	if n == nil {
		n = &openNode{}
		s.open[desc.key.handle] = n
	}
	if n.pin == nil && s.dying[desc.key.handle] > 0 {
		desc.use()
		n.pin = desc
	}
	n.files++
	if a&writeOnly != 0 {
		n.writers++
	}
	return &n.back, nil
}

// closed takes back what opened counted. Descriptors for writing go with the
// last writer, as execve(2) fails with ETXTBSY while there are any.
func (d *descriptors) closed(handle []byte, a access) {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	n := s.open[string(handle)]
	n.files--
	if a&writeOnly != 0 {
		n.writers--
	}
	if n.writers == 0 {
		s.forget(fdKey{string(handle), writeOnly})
		s.forget(fdKey{string(handle), readWrite})
	}
	if n.files > 0 {
		return
	}
	delete(s.open, string(handle))
	if n.pin != nil {
		d.losses.Add(1)
		s.forgetNode(n.pin.key.handle)
		n.pin.unuse()
	}
}

func (d *descriptors) isOpen(handle []byte) bool {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	return s.open[string(handle)] != nil
}

// removing is told that a name of a node is about to be removed, by one who has
// no descriptor of it. It returns false if the node is open: then one is needed,
// for nameRemoved. Otherwise removed follows, and a File that is made in between
// sees to it that it keeps the node.
func (d *descriptors) removing(handle []byte) bool {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	if s.open[string(handle)] != nil {
		return false
	}
	s.dying[string(handle)]++
	return true
}

// removed ends removing. Whether the node has other names does not matter: its
// descriptors can be opened again.
func (d *descriptors) removed(handle []byte) {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	if s.dying[string(handle)]--; s.dying[string(handle)] == 0 {
		delete(s.dying, string(handle))
	}
	if s.open[string(handle)] == nil {
		d.losses.Add(1)
		s.forgetNode(string(handle))
	}
}

// nameRemoved is told that a name of the node behind desc, a path descriptor
// that the caller holds, was removed. reachable says that the handle still
// leads to the node. If not, the node is kept while it is open and forgotten
// otherwise.
func (d *descriptors) nameRemoved(desc *descriptor, reachable bool) {
	if reachable {
		return
	}
	s := desc.home
	s.lock()
	defer s.unlock()
	n := s.open[desc.key.handle]
	switch {
	case n == nil:
		d.losses.Add(1)
		s.forgetNode(desc.key.handle)
	case n.pin == nil:
		desc.use()
		n.pin = desc
	}
}

func (s *shard) forgetNode(handle string) {
	for a := pathOnly; a <= readWrite; a++ {
		s.forget(fdKey{handle, a})
	}
}

// forget drops all descriptors of a node that turned out to be gone.
func (d *descriptors) forget(handle []byte) {
	s := d.shard(handle)
	s.lock()
	defer s.unlock()
	s.forgetNode(string(handle))
}

// count returns how many descriptors there are.
func (d *descriptors) count() (n int) {
	for i := range d.shards {
		s := &d.shards[i]
		s.lock()
		n += len(s.fds)
		s.unlock()
	}
	return n
}

// close closes everything; nobody uses any of it.
func (d *descriptors) close() error {
	kept.leave(d)
	d.closing.Wait()
	var errs []error
	for i := range d.shards {
		s := &d.shards[i]
		s.lock()
		for _, desc := range s.fds {
			errs = append(errs, unix.Close(desc.fd))
		}
		clear(s.fds)
		s.idle = lru{}
		s.unlock()
	}
	return errors.Join(errs...)
}
