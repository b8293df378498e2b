package virtio

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// noFD is the descriptor of an event that nobody waits for.
const noFD = -1

// event is an eventfd(2) that the front end gave us to signal.
type event struct {
	mu sync.Mutex // guards fd against being closed while it is written to; a leaf
	fd int
}

// set takes over fd and closes the one before. The descriptor must not block:
// one whose counter is full has been signalled already.
func (e *event) set(fd int) error {
	if fd != noFD {
		if err := unix.SetNonblock(fd, true); err != nil {
			unix.Close(fd)
			return refuse("event: %w", err)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd != noFD {
		unix.Close(e.fd)
	}
	e.fd = fd
	return nil
}

var one = u64Payload(1)

// signal adds one to the counter. If that fails, it is the front end that does
// not hear from us, and it will be the first to know.
func (e *event) signal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fd != noFD {
		_, _ = unix.Write(e.fd, one)
	}
}

// newKick takes over the eventfd by which the guest notifies us. A goroutine
// that waits for it holds no thread, and a deadline ends its wait.
func newKick(fd int) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("kick: %w", err)
	}
	f := os.NewFile(uintptr(fd), "kick")
	if err := f.SetReadDeadline(time.Time{}); err != nil {
		f.Close()
		return nil, fmt.Errorf("kick: %w", err)
	}
	return f, nil
}
