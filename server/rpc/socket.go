package rpc

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxRaw is the most data in bytes that is moved by a raw system call: copying
// it takes some microseconds.
const maxRaw = 64 << 10

// recv reads from a socket without waiting.
//
// A call by the wrappers of package unix tells the Go scheduler that the thread
// may block. Where all threads were idle, as they are when a lone client sends
// its next call, that wakes the runtime's monitor thread, at twice the cost of
// the call. A raw call does not; it must be short, as nothing can take the
// thread's place meanwhile.
func recv(fd int, p []byte) (int, error) {
	if len(p) > maxRaw {
		return unix.Read(fd, p)
	}
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}

// send writes to a socket without waiting: see recv.
func send(fd int, p []byte, flags int) (int, error) {
	flags |= unix.MSG_NOSIGNAL | unix.MSG_DONTWAIT
	if len(p) > maxRaw {
		return unix.SendmsgN(fd, p, nil, nil, flags)
	}
	n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), uintptr(flags), 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), nil
}
