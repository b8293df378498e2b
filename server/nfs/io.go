package nfs

import (
	"math"
	"sync/atomic"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

// Sizes in bytes that decide how data moves.
const (
	// parallelIO is where a read or write is worth letting another
	// goroutine read on from the connection.
	parallelIO = 64 << 10
	// sendfileMin is where a read goes from the page cache to the socket
	// without passing through this process.
	sendfileMin = 64 << 10
)

// read is READ (RFC 8881 §18.22).
func (c *compound) read() nfs4.Status {
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
	const overhead = 8 + 3 // eof, length, padding
	n := int(min(count, c.srv.maxIO, uint32(max(0, c.room()-overhead))))
	if offset > math.MaxInt64 {
		offset, n = math.MaxInt64, 0 // past the end of every file
	}
	if n >= parallelIO {
		c.call.MayBlock()
	} else {
		c.mayBlockOn(&c.cur)
	}
	return statusOf(c.readInto(f.File, int64(offset), n))
}

// readInto appends eof and up to n bytes of f, the current file, at off.
func (c *compound) readInto(f vfs.File, off int64, n int) error {
	if d, ok := f.(vfs.Descriptor); ok && n >= sendfileMin {
		unreadable := c.srv.unreadable.Mark(c.cur.key())
		if !unreadable.Load() {
			return c.readByDescriptor(f, d, off, n, unreadable)
		}
	}
	buf := rpc.GetBuffer(n)
	got, err := f.ReadAt(c.call.Ctx, buf.B[:n], off)
	if err != nil {
		buf.Release()
		return err
	}
	eof := got < n
	if !eof { // read to the byte: is it the last?
		size, err := c.sizeOf(f)
		if err != nil {
			buf.Release()
			return err
		}
		eof = uint64(off)+uint64(got) >= size
	}
	c.reply.Bool(eof)
	c.reply.OpaqueBuffer(buf, got)
	return nil
}

// readByDescriptor has the kernel send the data when the reply is written, which
// is too late for an error: it ends the connection, and unreadable is set.
func (c *compound) readByDescriptor(f vfs.File, d vfs.Descriptor, off int64, n int, unreadable *atomic.Bool) error {
	size, err := c.sizeOf(f)
	if err != nil {
		return err
	}
	if uint64(off) >= size {
		n = 0
	} else {
		n = int(min(uint64(n), size-uint64(off)))
	}
	c.reply.Bool(uint64(off)+uint64(n) >= size)
	return c.reply.OpaqueFile(d, off, n, unreadable)
}

func (c *compound) sizeOf(f vfs.File) (uint64, error) {
	a, err := f.Node().GetAttr(c.call.Ctx, vfs.AttrSize)
	return a.Size, err
}

// write is WRITE (RFC 8881 §18.32).
func (c *compound) write() nfs4.Status {
	sid := c.takeStateID()
	offset, stable := c.args.Uint64(), c.args.Uint32()
	data := c.args.Opaque(c.args.Remaining())
	if c.badXDR() || stable > uint32(vfs.FileSync) {
		return nfs4.ErrBadxdr
	}
	f, st := c.fileFor(&c.cur, sid, lock.ShareWrite)
	if st != nfs4.OK {
		return st
	}
	defer f.release()
	if offset > math.MaxInt64 || uint64(len(data)) > math.MaxInt64-offset {
		return nfs4.ErrFbig
	}
	want := vfs.Stability(stable)
	if c.cur.exp.Sync {
		want = vfs.FileSync
	}
	if want != vfs.Unstable || len(data) >= parallelIO {
		c.call.MayBlock()
	} else {
		c.mayBlockOn(&c.cur)
	}
	verifier := c.cur.exp.FS.WriteVerifier() // before: a failure from here on may be of this data
	n, done, err := f.WriteAt(c.call.Ctx, data, int64(offset), want)
	if n == 0 && err != nil {
		return statusOf(err)
	}
	c.reply.Uint32(uint32(n)) // a short write: the client comes again for the rest
	c.reply.Uint32(uint32(done))
	c.reply.Uint64(verifier)
	return nfs4.OK
}

// commit is COMMIT (RFC 8881 §18.3). It makes the whole file durable whatever
// the range: less cannot be asked of a file system. The caller needs no
// permission, since it writes nothing of its own.
func (c *compound) commit() nfs4.Status {
	offset, count := c.args.Uint64(), c.args.Uint32()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if uint64(count) > math.MaxUint64-offset {
		return nfs4.ErrInval
	}
	if st := c.checkRegular(&c.cur); st != nfs4.OK {
		return st
	}
	c.call.MayBlock()
	f, err := c.cur.node.Open(c.call.Ctx, vfs.Root, vfs.OpenWrite|vfs.OpenReclaim)
	if err != nil {
		return statusOf(err)
	}
	defer f.Close()
	if err := f.Sync(c.call.Ctx, true); err != nil {
		return statusOf(err)
	}
	// After: a failure that another call was told of until now must show.
	c.reply.Uint64(c.cur.exp.FS.WriteVerifier())
	return nfs4.OK
}
