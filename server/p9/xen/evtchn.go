package xen

import (
	"encoding/binary"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Requests of /dev/xen/evtchn (Linux, include/uapi/xen/evtchn.h).
const (
	evtchnBindInterdomain = 0x84501
	evtchnNotify          = 0x44504
)

// evtchn is one event channel, bound through a descriptor of its own, so that
// closing the one is closing the other.
type evtchn struct {
	file *os.File
	port uint32 // ours
}

// bindInterdomain is struct ioctl_evtchn_bind_interdomain.
type bindInterdomain struct{ domain, port uint32 }

func bindEvtchn(path string, domain, port uint32) (*evtchn, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	local, err := ioctl(fd, evtchnBindInterdomain, unsafe.Pointer(&bindInterdomain{domain, port}))
	if err != nil {
		_ = unix.Close(fd)
		return nil, fmt.Errorf("bind event channel %d of domain %d: %w", port, domain, err)
	}
	return &evtchn{file: os.NewFile(uintptr(fd), path), port: uint32(local)}, nil
}

// wait also unmasks the port, which is masked with each event.
func (e *evtchn) wait() error {
	var port [4]byte
	if _, err := e.file.Read(port[:]); err != nil {
		return err
	}
	_, err := e.file.Write(port[:])
	return err
}

func (e *evtchn) notify() error {
	conn, err := e.file.SyscallConn()
	if err != nil {
		return err
	}
	var port [4]byte
	binary.NativeEndian.PutUint32(port[:], e.port)
	failed := conn.Control(func(fd uintptr) { _, err = ioctl(int(fd), evtchnNotify, unsafe.Pointer(&port)) })
	if failed != nil {
		return failed
	}
	return err
}

func (e *evtchn) Close() error { return e.file.Close() }
