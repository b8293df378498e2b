package virtio9p

import (
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

func total(pieces [][]byte) (n int) {
	for _, p := range pieces {
		n += len(p)
	}
	return n
}

// collect copies from pieces to p and returns how much.
func collect(p []byte, pieces [][]byte) (n int) {
	for _, piece := range pieces {
		n += copy(p[n:], piece)
	}
	return n
}

// scatter copies p, which fits, to pieces.
func scatter(pieces [][]byte, p []byte) {
	for _, piece := range pieces {
		p = p[copy(piece, p):]
	}
}

// part returns the n bytes of pieces from off on, which are there.
func part(pieces [][]byte, off, n int) (sub [][]byte) {
	for _, p := range pieces {
		if off >= len(p) {
			off -= len(p)
			continue
		}
		p = p[off:]
		p = p[:min(len(p), n)]
		off, n = 0, n-len(p)
		if len(p) > 0 {
			sub = append(sub, p)
		}
	}
	return sub
}

// maxPieces is what readv(2) and writev(2) take at once (IOV_MAX).
const maxPieces = 1024

// readPieces fills pieces from a connection, writePieces sends them. Only the
// kernel touches what they point to: where the guest's memory is gone, these
// fail with EFAULT. Where they wait for the other end, p is told.
func readPieces(raw syscall.RawConn, pieces [][]byte, p *patience) error {
	return transfer(raw.Read, unix.Readv, pieces, p)
}

func writePieces(raw syscall.RawConn, pieces [][]byte, p *patience) error {
	return transfer(raw.Write, unix.Writev, pieces, p)
}

func transfer(ready func(func(fd uintptr) bool) error, op func(fd int, pieces [][]byte) (int, error), pieces [][]byte, p *patience) error {
	for left := total(pieces); left > 0; {
		var n int
		var err error
		if e := ready(func(fd uintptr) bool {
			n, err = op(int(fd), pieces[:min(len(pieces), maxPieces)])
			if err == unix.EAGAIN {
				p.stalls()
				return false
			}
			return true
		}); e != nil {
			return e
		}
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		}
		left -= n
		pieces = part(pieces, n, left)
	}
	return nil
}
