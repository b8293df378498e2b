package virtio

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxRegions is what SET_MEM_TABLE can carry.
const maxRegions = 8

// regionInfo is one entry of SET_MEM_TABLE.
type regionInfo struct {
	guest  uint64 // guest-physical address
	size   uint64
	user   uint64 // the same place in the front end's address space
	offset uint64 // where the region starts in its file
}

// region is a part of the guest's memory that is mapped here.
type region struct {
	regionInfo
	data    []byte // size bytes
	mapping []byte // what mmap gave: data and what the file has before it
}

// memory is the guest's memory as one SET_MEM_TABLE describes it. It does not
// change: another table is another memory. Who uses it holds a reference, so
// that a request that is being answered keeps its buffers mapped while the
// front end exchanges the table.
type memory struct {
	regions []region // by guest address
	refs    atomic.Int32
}

// mapMemory maps each region from its file. The caller has one reference; the
// descriptors remain the caller's.
func mapMemory(infos []regionInfo, fds []int) (*memory, error) {
	m := &memory{}
	m.refs.Store(1)
	for i, info := range infos {
		r, err := mapRegion(info, fds[i])
		if err != nil {
			m.release()
			return nil, fmt.Errorf("memory region %d: %w", i, err)
		}
		m.regions = append(m.regions, r)
	}
	slices.SortFunc(m.regions, func(a, b region) int { return cmp.Compare(a.guest, b.guest) })
	for i := 1; i < len(m.regions); i++ {
		if m.regions[i-1].guest+m.regions[i-1].size > m.regions[i].guest {
			m.release()
			return nil, errors.New("memory regions overlap")
		}
	}
	return m, nil
}

func mapRegion(info regionInfo, fd int) (region, error) {
	length := info.offset + info.size
	switch {
	case info.size == 0:
		return region{}, errors.New("empty")
	case length < info.size || length > math.MaxInt64,
		info.guest+info.size < info.size, info.user+info.size < info.size:
		return region{}, errors.New("addresses wrap around")
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return region{}, fmt.Errorf("fstat: %w", err)
	}
	if err := checkInMemory(fd); err != nil {
		return region{}, err
	}
	if st.Size < int64(length) {
		return region{}, fmt.Errorf("file of %d bytes ends before the region does, at %d", st.Size, length)
	}
	// The mapping starts with the file, as mmap_offset need not be a multiple
	// of a huge page. Its length must be one for munmap(2), and hugetlbfs gives
	// the size of its pages as the block size. More than the file has may be
	// mapped; it is not accessed.
	if page := uint64(st.Blksize); page > 0 {
		length = (length + page - 1) / page * page
	}
	mapping, err := unix.Mmap(fd, 0, int(length), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	if err != nil {
		return region{}, fmt.Errorf("mmap: %w", err)
	}
	// A core dump of the server is no place for the guest's memory. The kernel
	// can be built without this, and then there is nothing to be done.
	_ = unix.Madvise(mapping, unix.MADV_DONTDUMP)
	return region{info, mapping[info.offset:][:info.size:info.size], mapping}, nil
}

// checkInMemory refuses files that are not the kernel's own memory. What reads a
// mapping waits in the kernel until the file's page is there, and Go's scheduler
// does not know: a front end with a file on a FUSE mount of its own could have a
// thread wait for ever, with it the garbage collector, and with that everybody.
func checkInMemory(fd int) error {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return fmt.Errorf("fstatfs: %w", err)
	}
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC, unix.HUGETLBFS_MAGIC:
		return nil
	}
	return fmt.Errorf("file of a file system of type %#x: must be a memfd, or lie on tmpfs or hugetlbfs", uint32(st.Type))
}

// acquire adds a reference. The caller knows of one that exists.
func (m *memory) acquire() { m.refs.Add(1) }

// release gives a reference back. With the last one the memory is unmapped.
func (m *memory) release() {
	if m.refs.Add(-1) > 0 {
		return
	}
	for _, r := range m.regions {
		// It fails for what is no mapping only.
		_ = unix.Munmap(r.mapping)
	}
	m.regions = nil
}

// guest returns n bytes at a guest-physical address, which lie in one region.
func (m *memory) guest(addr, n uint64) ([]byte, error) {
	b := m.from(addr)
	if n > uint64(len(b)) {
		return nil, addressError{addr, n}
	}
	return b[:n:n], nil
}

// from returns what follows a guest-physical address in its region: nothing if
// it is in none.
func (m *memory) from(addr uint64) []byte {
	for i := range m.regions {
		if r := &m.regions[i]; addr >= r.guest && addr-r.guest < r.size {
			return r.data[addr-r.guest:]
		}
	}
	return nil
}

// user returns n bytes at an address of the front end, which lie in one region.
func (m *memory) user(addr, n uint64) ([]byte, error) {
	for i := range m.regions {
		if r := &m.regions[i]; addr >= r.user && addr-r.user < r.size && n <= r.size-(addr-r.user) {
			return r.data[addr-r.user:][:n:n], nil
		}
	}
	return nil, addressError{addr, n}
}

// appendGuest appends the pieces of a buffer of n bytes at a guest-physical
// address. A buffer has several where it goes from one region into the next.
func (m *memory) appendGuest(pieces [][]byte, addr, n uint64) ([][]byte, error) {
	for at, left := addr, n; left > 0; {
		b := m.from(at)
		if len(b) == 0 {
			return pieces, addressError{addr, n}
		}
		if uint64(len(b)) > left {
			b = b[:left:left]
		}
		pieces = append(pieces, b)
		// It cannot wrap around: regions do not.
		at, left = at+uint64(len(b)), left-uint64(len(b))
	}
	return pieces, nil
}

// addressError is an address that the memory table does not have.
type addressError struct{ addr, n uint64 }

func (e addressError) Error() string {
	return fmt.Sprintf("%d bytes at %#x are not in the guest's memory", e.n, e.addr)
}
