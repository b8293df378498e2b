package nfs

import (
	"context"
	"math"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// Holes and reserved space (RFC 7862 §6 and §7).

// allocate is ALLOCATE (RFC 7862 §15.1).
func (c *compound) allocate() nfs4.Status {
	return c.changeSpace(vfs.Allocator.Allocate)
}

// deallocate is DEALLOCATE (RFC 7862 §15.4).
func (c *compound) deallocate() nfs4.Status {
	return c.changeSpace(vfs.Allocator.Deallocate)
}

func (c *compound) changeSpace(change func(vfs.Allocator, context.Context, int64, int64) error) nfs4.Status {
	sid := c.takeStateID()
	offset, length := c.args.Uint64(), c.args.Uint64()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if !c.cur.exp.FS.Caps().Allocate {
		return nfs4.ErrNotsupp
	}
	f, st := c.fileFor(&c.cur, sid, lock.ShareWrite)
	if st != nfs4.OK {
		return st
	}
	defer f.release()
	if offset > math.MaxInt64 || length > math.MaxInt64-offset {
		return nfs4.ErrFbig
	}
	a, ok := f.File.(vfs.Allocator)
	if !ok {
		return nfs4.ErrNotsupp
	}
	c.call.MayBlock()
	err := change(a, c.call.Ctx, int64(offset), int64(length))
	if err == nil {
		err = c.makeDurable(f.File)
	}
	return statusOf(err)
}

// ioAdvise is IO_ADVISE (RFC 7862 §15.5). The answer names the hints that are
// followed: none.
func (c *compound) ioAdvise() nfs4.Status {
	sid := c.takeStateID()
	c.args.Uint64() // offset
	c.args.Uint64() // count
	decodeBitmap(c.args)
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	f, st := c.fileFor(&c.cur, sid, lock.ShareRead)
	if st != nfs4.OK {
		return st
	}
	f.release()
	c.reply.Uint32(0)
	return nfs4.OK
}

// layout tells where a file of some size has data. To one whose file system
// does not say, all is data.
type layout struct {
	vfs.File
	size int64
}

func (c *compound) layoutOf(f vfs.File) (layout, error) {
	size, err := c.sizeOf(f)
	return layout{f, int64(min(size, math.MaxInt64))}, err
}

// data returns the first byte of data at or after off, which lies before the
// end; the size if none follows.
func (l *layout) data(ctx context.Context, off int64) (int64, error) {
	h, ok := l.File.(vfs.HoleSeeker)
	if !ok {
		return off, nil
	}
	at, err := h.SeekData(ctx, off)
	if vfs.ErrnoOf(err) == vfs.ENXIO {
		return l.size, nil
	}
	return min(at, l.size), err
}

// hole returns the first byte of a hole at or after off, which lies before the
// end: there is always one at the end.
func (l *layout) hole(ctx context.Context, off int64) (int64, error) {
	h, ok := l.File.(vfs.HoleSeeker)
	if !ok {
		return l.size, nil
	}
	at, err := h.SeekHole(ctx, off)
	if vfs.ErrnoOf(err) == vfs.ENXIO { // truncated meanwhile
		return l.size, nil
	}
	return min(at, l.size), err
}

// seek is SEEK (RFC 7862 §15.11).
func (c *compound) seek() nfs4.Status {
	sid := c.takeStateID()
	offset, what := c.args.Uint64(), c.args.Uint32()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if what > nfs4.ContentHole {
		return nfs4.ErrUnionNotsupp
	}
	f, st := c.fileFor(&c.cur, sid, lock.ShareRead)
	if st != nfs4.OK {
		return st
	}
	defer f.release()
	c.call.MayBlock()
	l, err := c.layoutOf(f.File)
	if err != nil {
		return statusOf(err)
	}
	if offset >= uint64(l.size) {
		return nfs4.ErrNxio
	}
	next := l.data
	if what == nfs4.ContentHole {
		next = l.hole
	}
	at, err := next(c.call.Ctx, int64(offset))
	if err != nil {
		return statusOf(err)
	}
	c.reply.Bool(at >= l.size)
	c.reply.Uint64(uint64(at))
	return nfs4.OK
}

// readPlus is READ_PLUS (RFC 7862 §15.10): READ that tells holes from data.
func (c *compound) readPlus() nfs4.Status {
	sid := c.takeStateID()
	offset, count := c.args.Uint64(), c.args.Uint32()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	f, st := c.fileFor(&c.cur, sid, lock.ShareRead)
	if st != nfs4.OK {
		return st
	}
	defer f.release()
	c.call.MayBlock()
	l, err := c.layoutOf(f.File)
	if err != nil {
		return statusOf(err)
	}
	off := int64(min(offset, math.MaxInt64))
	end := min(l.size, off+min(int64(count), int64(c.srv.maxIO), math.MaxInt64-off))
	eofAt, countAt := c.reply.Reserve(), c.reply.Reserve()
	begin := off
	off, n, err := c.readSegments(&l, off, end)
	switch {
	case err != nil:
		return statusOf(err)
	case n == 0 && begin < end:
		return c.tooBig() // an empty answer would have the client ask for ever
	}
	if off >= l.size {
		c.reply.Put(eofAt, 1)
	}
	c.reply.Put(countAt, uint32(n))
	return nfs4.OK
}

// maxSegments bounds the pieces of one READ_PLUS; the client reads on where
// they end.
const maxSegments = 32

// readSegments appends the contents from off to end as a row of holes and
// data. It returns where it came to and how many pieces there are.
func (c *compound) readSegments(l *layout, off, end int64) (_ int64, n int, err error) {
	for off < end && n < maxSegments && c.room() > segmentMin {
		data, err := l.data(c.call.Ctx, off)
		if err != nil {
			return off, n, err
		}
		if data > off {
			hole := min(data, end)
			c.reply.Uint32(nfs4.ContentHole)
			c.reply.Uint64(uint64(off))
			c.reply.Uint64(uint64(hole - off))
			off = hole
			n++
			continue
		}
		hole, err := l.hole(c.call.Ctx, off)
		if err != nil {
			return off, n, err
		}
		got, err := c.readSegment(l.File, off, min(hole, end)-off)
		if err != nil {
			return off, n, err
		}
		off += int64(got)
		n++
		if got == 0 { // truncated meanwhile
			break
		}
	}
	return off, n, nil
}

// segmentMin is the room without which no further piece is begun, in bytes: its
// header of 16, padding of 3, and data for which it is worth it.
const segmentMin = 512

// readSegment appends a piece of data.
func (c *compound) readSegment(f vfs.File, off, length int64) (int, error) {
	const header = 4 + 8 + 4 + 3
	buf := rpc.GetBuffer(int(min(length, int64(c.room()-header))))
	got, err := f.ReadAt(c.call.Ctx, buf.B, off)
	if err != nil {
		buf.Release()
		return 0, err
	}
	c.reply.Uint32(nfs4.ContentData)
	c.reply.Uint64(uint64(off))
	c.reply.OpaqueBuffer(buf, got)
	return got, nil
}
