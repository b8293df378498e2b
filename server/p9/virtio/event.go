package virtio

import (
	"fmt"
	"sync"

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

// kick is the eventfd by which the guest notifies us. Who waits for it holds a
// thread: to have one woken by Go's poller, which must wake others to do so,
// costs more than most requests.
type kick struct {
	fd        int
	interrupt event // ends a wait
	poll      int   // an epoll(7) of both
}

// newKick takes over fd.
func newKick(fd int) (*kick, error) {
	k := &kick{fd: fd, interrupt: event{fd: noFD}, poll: noFD}
	if err := k.open(); err != nil {
		k.close()
		return nil, fmt.Errorf("kick: %w", err)
	}
	return k, nil
}

func (k *kick) open() (err error) {
	if k.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if k.interrupt.fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	// Edge-triggered events come once for each notification, so that nothing
	// need be read: that would be another system call, and could block on what
	// is no eventfd.
	for _, fd := range []int{k.fd, k.interrupt.fd} {
		on := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET}
		if err := unix.EpollCtl(k.poll, unix.EPOLL_CTL_ADD, fd, &on); err != nil {
			return err
		}
	}
	return nil
}

// wait returns after a kick or an interrupt since the last wait.
func (k *kick) wait() error {
	var events [2]unix.EpollEvent
	for {
		if _, err := unix.EpollWait(k.poll, events[:], -1); err != unix.EINTR {
			return err
		}
	}
}

func (k *kick) close() {
	for _, fd := range []int{k.fd, k.interrupt.fd, k.poll} {
		if fd != noFD {
			unix.Close(fd)
		}
	}
}
