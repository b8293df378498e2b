package rpc

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// send writes everything in b that has not been written, parts and all, and
// empties it. Calls from several goroutines write one after the other.
func (c *Conn) send(r *Reply) error {
	c.writing.Lock()
	err := c.write(r)
	c.writing.Unlock()
	r.reset()
	if err != nil {
		c.fail(fmt.Errorf("send: %w", err))
	}
	return err
}

// sendEarly writes replies that are whole while the one behind them is not.
func (c *Conn) sendEarly(b []byte) {
	c.writing.Lock()
	err := c.writeBytes(b)
	c.writing.Unlock()
	if err != nil {
		c.fail(fmt.Errorf("send: %w", err))
	}
}

// reset empties the reply.
func (r *Reply) reset() {
	r.Rewind(Mark{})
	r.sent, r.base, r.results = 0, 0, 0
}

func (c *Conn) write(r *Reply) error {
	if len(r.parts) == 0 {
		return c.writeBytes(r.Buf[r.sent:])
	}
	var bufs net.Buffers
	at := r.sent
	flush := func(more bool) error {
		if len(bufs) == 0 {
			return nil
		}
		err := c.writeBuffers(bufs, more)
		bufs = nil
		return err
	}
	for i := range r.parts {
		p := &r.parts[i]
		if p.at > at {
			bufs = append(bufs, r.Buf[at:p.at])
			at = p.at
		}
		if p.buf != nil {
			bufs = append(bufs, p.buf.B[:p.n])
			continue
		}
		if p.n == 0 {
			continue
		}
		if c.raw == nil {
			data, err := p.appendTo(nil)
			if err != nil {
				return err
			}
			bufs = append(bufs, data)
			continue
		}
		if err := flush(true); err != nil {
			return err
		}
		if err := c.sendFile(p); err != nil {
			return err
		}
	}
	if at < len(r.Buf) {
		bufs = append(bufs, r.Buf[at:])
	}
	return flush(false)
}

// writeBytes writes b, at best by one system call and without timers.
func (c *Conn) writeBytes(b []byte) error {
	if c.raw == nil {
		return c.writeSlowly(b)
	}
	c.out = b
	if err := c.raw.Write(c.writeReady); err != nil {
		return err
	}
	if c.outErr != nil {
		return c.outErr
	}
	if len(c.out) == 0 {
		return nil
	}
	return c.writeSlowly(c.out)
}

// writeOnce writes what the socket takes now.
func (c *Conn) writeOnce(fd uintptr) bool {
	c.outErr = nil
	for len(c.out) > 0 {
		n, err := send(int(fd), c.out, c.outFlags)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return true // writeSlowly waits
		case err != nil:
			c.outErr = err
			return true
		default:
			c.out = c.out[n:]
		}
	}
	return true
}

// writeSlowly writes b while the client takes some of it within the timeout.
func (c *Conn) writeSlowly(b []byte) error {
	defer c.nc.SetWriteDeadline(time.Time{})
	for len(b) > 0 {
		queued := c.queued()
		c.nc.SetWriteDeadline(time.Now().Add(c.server.opt.WriteTimeout))
		n, err := c.nc.Write(b[:min(len(b), 64<<10)])
		if err != nil && !c.takes(err, n, queued) {
			return err
		}
		b = b[n:]
	}
	return nil
}

// queued returns how many bytes the client has yet to acknowledge (tcp(7),
// SIOCOUTQ), 0 where that cannot be told.
func (c *Conn) queued() (n int) {
	if c.raw != nil {
		c.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ) })
	}
	return n
}

// takes reports whether to go on after err. A socket has room again only when a
// third of its buffer is free, which can take a slow client longer than the
// timeout: it takes something if n more bytes went out, or if there are fewer
// queued than before the wait.
func (c *Conn) takes(err error, n, queued int) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) && (n > 0 || c.queued() < queued)
}

// writeBuffers writes several pieces; more says that others follow at once.
func (c *Conn) writeBuffers(bufs net.Buffers, more bool) error {
	if c.raw != nil && len(bufs) == 1 {
		if more {
			c.outFlags = unix.MSG_MORE
		}
		err := c.writeBytes(bufs[0])
		c.outFlags = 0
		return err
	}
	defer c.nc.SetWriteDeadline(time.Time{})
	for len(bufs) > 0 {
		queued := c.queued()
		c.nc.SetWriteDeadline(time.Now().Add(c.server.opt.WriteTimeout))
		n, err := bufs.WriteTo(c.nc)
		if err != nil && !c.takes(err, int(n), queued) {
			return err
		}
	}
	return nil
}

// sendFile sends a part from the page cache. Where the file has become shorter
// zeroes go out for the rest. A file that cannot be read ends the connection:
// its length has been promised.
func (c *Conn) sendFile(p *part) error {
	off, left := p.off, p.n
	queued := 0
	defer c.nc.SetWriteDeadline(time.Time{})
	some := func(fd uintptr) bool {
		for left > 0 {
			n, err := unix.Sendfile(int(fd), p.fd, &off, left)
			switch {
			case err == unix.EINTR:
			case err == unix.EAGAIN:
				queued, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
				c.nc.SetWriteDeadline(time.Now().Add(c.server.opt.WriteTimeout))
				return false
			case err != nil, n == 0: // copyFile goes on
				return true
			default:
				left -= n
			}
		}
		return true
	}
	err := c.raw.Write(some)
	for c.takes(err, 0, queued) {
		c.nc.SetWriteDeadline(time.Now().Add(c.server.opt.WriteTimeout))
		err = c.raw.Write(some)
	}
	if err != nil {
		return err
	}
	// Where sendfile has failed, this tells whether the file cannot be read or
	// nothing can be sent, or does it where a file system has no splice.
	return c.copyFile(p, off, left)
}

// copyFile sends n bytes of a part's file at off through memory.
func (c *Conn) copyFile(p *part, off int64, n int) error {
	const piece = 256 << 10
	for n > 0 {
		b := GetBuffer(min(n, piece))
		clear(b.B)
		err := p.readAt(b.B, off)
		if err == nil {
			err = c.writeSlowly(b.B)
		}
		off, n = off+int64(len(b.B)), n-len(b.B)
		b.Release()
		if err != nil {
			return err
		}
	}
	return nil
}
