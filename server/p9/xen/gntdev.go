package xen

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of /dev/xen/gntdev (Linux, include/uapi/xen/gntdev.h).
const (
	gntdevMapGrantRef   = 0x184700
	gntdevUnmapGrantRef = 0x104701
)

// gntdev maps grants of other domains. The kernel gives all of them back when
// the process ends.
type gntdev struct {
	fd int
}

func openGntdev(path string) (gntdev, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return gntdev{}, fmt.Errorf("open %s: %w", path, err)
	}
	return gntdev{fd}, nil
}

func (g gntdev) close() { _ = unix.Close(g.fd) }

// grantRef is struct ioctl_gntdev_grant_ref.
type grantRef struct{ domain, ref uint32 }

// mapRequest is struct ioctl_gntdev_map_grant_ref, whose array is as long as
// count says.
type mapRequest struct {
	count, _ uint32
	index    uint64 // returned: where to mmap
	refs     [maxGrants]grantRef
}

// unmapRequest is struct ioctl_gntdev_unmap_grant_ref.
type unmapRequest struct {
	index    uint64
	count, _ uint32
}

// maxGrants is how many pages are mapped at once: the data of one ring.
const maxGrants = 1 << maxOrder

func (g gntdev) mapGrants(domain uint32, refs []uint32) ([]byte, func(), error) {
	if len(refs) == 0 || len(refs) > maxGrants {
		return nil, nil, fmt.Errorf("map %d grants", len(refs))
	}
	q := mapRequest{count: uint32(len(refs))}
	for i, ref := range refs {
		q.refs[i] = grantRef{domain, ref}
	}
	if _, err := ioctl(g.fd, gntdevMapGrantRef, unsafe.Pointer(&q)); err != nil {
		return nil, nil, fmt.Errorf("map %d grants of domain %d: %w", len(refs), domain, err)
	}
	forget := func() {
		// It fails for an index that the kernel did not give us only.
		_, _ = ioctl(g.fd, gntdevUnmapGrantRef, unsafe.Pointer(&unmapRequest{index: q.index, count: q.count}))
	}
	pages, err := unix.Mmap(g.fd, int64(q.index), len(refs)*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		forget()
		return nil, nil, fmt.Errorf("map %d grants of domain %d: %w", len(refs), domain, err)
	}
	return pages, func() {
		_ = unix.Munmap(pages) // it fails for what is no mapping only
		forget()
	}, nil
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) (int, error) {
	n, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
