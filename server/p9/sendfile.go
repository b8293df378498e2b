package p9

import (
	"net"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// sendfileMin is the number of bytes from which a read goes from the page cache
// to the socket without passing through this process.
const sendfileMin = 32 << 10

// filePart is the data of an Rread that follows the rest of it from a file.
type filePart struct {
	file vfs.Descriptor // nil if there is none; pinned
	fd   int
	off  int64
	n    int
	// unreadable is set if the file cannot be read after all.
	unreadable *atomic.Bool
}

// partOf makes a part of n bytes of a file, if the file has them and the kernel
// has them in memory, as far as its last byte tells: while a reply is sent,
// others wait. Of a file that is marked as unreadable it makes none.
func partOf(d vfs.Descriptor, off int64, n int, unreadable *atomic.Bool) (p filePart, ok bool) {
	if unreadable.Load() {
		return p, false
	}
	fd, err := d.PinFD()
	if err != nil {
		return p, false
	}
	var last [1]byte
	got, err := unix.Preadv2(fd, [][]byte{last[:]}, off+int64(n)-1, unix.RWF_NOWAIT)
	if err != nil || got != 1 {
		d.UnpinFD()
		return p, false
	}
	return filePart{file: d, fd: fd, off: off, n: n, unreadable: unreadable}, true
}

// sendFile sends a part behind the bytes b.
func (c *conn) sendFile(b []byte, p *filePart) {
	c.writing.Lock()
	err := c.writeMore(b)
	if err == nil {
		err = c.writeFile(p)
	}
	c.writing.Unlock()
	p.file.UnpinFD()
	if err != nil {
		c.fail(err)
	}
}

// writeMore writes b and has the kernel wait for what comes behind it.
func (c *conn) writeMore(b []byte) error {
	var failed error
	err := c.raw.Write(func(fd uintptr) bool {
		for len(b) > 0 {
			n, err := unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil:
				failed = err
				return true
			default:
				b = b[n:]
			}
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return err
}

// writeFile writes the part. Where the file has become shorter zeroes go out
// for the rest, since its length has been promised. If it cannot be read, the
// connection ends.
func (c *conn) writeFile(p *filePart) error {
	err := c.raw.Write(func(fd uintptr) bool {
		for p.n > 0 {
			n, err := unix.Sendfile(int(fd), p.fd, &p.off, p.n)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				return false
			case err != nil, n == 0:
				return true // copyFile goes on
			default:
				p.n -= n
			}
		}
		return true
	})
	if err != nil || p.n == 0 {
		return err
	}
	return c.copyFile(p)
}

// copyFile writes the part through memory: where the file has become shorter, or
// a file system has no splice. Where sendfile has failed, this tells whether the
// file cannot be read or nothing can be sent.
func (c *conn) copyFile(p *filePart) error {
	buf := make([]byte, p.n)
	for at := 0; at < len(buf); {
		n, err := unix.Pread(p.fd, buf[at:], p.off+int64(at))
		if err != nil && err != unix.EINTR {
			p.unreadable.Store(true)
			return err
		}
		if n == 0 && err == nil {
			break
		}
		at += max(n, 0)
	}
	_, err := c.nc.Write(buf)
	return err
}

// rawConn returns the descriptor of a connection, nil if it has none.
func rawConn(nc net.Conn) syscall.RawConn {
	if sc, ok := nc.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
