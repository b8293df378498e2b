package nfs

import (
	"math"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/lock"
)

const (
	// copyResultMax bounds COPY's result: write_response4 and
	// copy_requirements4.
	copyResultMax = 4 + 8 + 4 + 8 + 4 + 4
	// copyOnce bounds what one COPY copies, so that it ends in a time the
	// client waits for. A client asks for the rest by another.
	copyOnce = 64 << 20
	// copyChunk is what is copied at a time where the file system leaves
	// the copying to the server.
	copyChunk = 1 << 20
)

// copyRange is what COPY and CLONE are about.
type copyRange struct {
	src, dst       fileRef
	srcOff, dstOff int64
	length         int64
}

func (r *copyRange) release() {
	r.src.release()
	r.dst.release()
}

// takeSourceStateID is takeStateID for the saved filehandle.
func (c *compound) takeSourceStateID() nfs4.StateID {
	sid := decodeStateID(c.args)
	switch {
	case sid != nfs4.Current:
		return sid
	case c.savedSID.valid:
		return c.savedSID.id
	}
	return nfs4.Invalid
}

// copy is COPY (RFC 7862 §15.2), always synchronous and within this server.
func (c *compound) copy() nfs4.Status {
	srcSID, dstSID := c.takeSourceStateID(), c.takeStateID()
	srcOff, dstOff, count := c.args.Uint64(), c.args.Uint64(), c.args.Uint64()
	c.args.Bool() // consecutive: it is
	c.args.Bool() // synchronous: it is whatever the client says
	servers := c.skipNetlocs()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if servers > 0 {
		return nfs4.ErrNotsupp // the source is on another server
	}
	r, st := c.rangeToCopy(srcSID, dstSID, srcOff, dstOff, count)
	if st != nfs4.OK {
		return st
	}
	defer r.release()
	r.length = min(r.length, copyOnce)
	verifier := c.cur.exp.FS.WriteVerifier()
	n, err := c.copyData(&r)
	if err != nil && n == 0 {
		return statusOf(err)
	}
	done := vfs.Unstable
	if c.cur.exp.Sync {
		done = vfs.FileSync
	}
	if err := c.makeDurable(r.dst.File); err != nil {
		return statusOf(err)
	}
	c.reply.Uint32(0) // no callback follows
	c.reply.Uint64(uint64(n))
	c.reply.Uint32(uint32(done))
	c.reply.Uint64(verifier)
	c.reply.Bool(true) // consecutive
	c.reply.Bool(true) // synchronous
	return nfs4.OK
}

// skipNetlocs takes the source servers of a COPY and returns their number.
func (c *compound) skipNetlocs() int {
	const name, url, addr = 1, 2, 3 // netloc_type4
	n := c.args.Count(c.args.Remaining(), 8)
	for range n {
		switch c.args.Uint32() {
		case addr:
			c.args.Opaque(nfs4.OpaqueLimit)
			c.args.Opaque(nfs4.OpaqueLimit)
		case name, url:
			c.args.Opaque(nfs4.OpaqueLimit)
		default:
			c.args.Fail()
		}
	}
	return n
}

// rangeToCopy checks what COPY and CLONE have in common and opens both files.
// A count of 0 means to the end of the source.
func (c *compound) rangeToCopy(srcSID, dstSID nfs4.StateID, srcOff, dstOff, count uint64) (r copyRange, st nfs4.Status) {
	if c.saved.exp == nil {
		return r, nfs4.ErrNofilehandle
	}
	c.call.MayBlock()
	if r.src, st = c.fileFor(&c.saved, srcSID, lock.ShareRead); st != nfs4.OK {
		return r, st
	}
	if r.dst, st = c.fileFor(&c.cur, dstSID, lock.ShareWrite); st != nfs4.OK {
		r.src.release()
		return r, st
	}
	if st = c.boundRange(&r, srcOff, dstOff, count); st != nfs4.OK {
		r.release()
	}
	return r, st
}

func (c *compound) boundRange(r *copyRange, srcOff, dstOff, count uint64) nfs4.Status {
	size, err := c.sizeOf(r.src.File)
	if err != nil {
		return statusOf(err)
	}
	if srcOff > size || count > size-srcOff { // RFC 7862 §15.2.3
		return nfs4.ErrInval
	}
	if count == 0 {
		count = size - srcOff
	}
	if dstOff > math.MaxInt64 || count > math.MaxInt64-dstOff {
		return nfs4.ErrFbig
	}
	sameFile := c.cur.is(c.saved.key())
	if sameFile && srcOff < dstOff+count && dstOff < srcOff+count {
		return nfs4.ErrInval
	}
	r.srcOff, r.dstOff, r.length = int64(srcOff), int64(dstOff), int64(count)
	return nfs4.OK
}

// copyData copies by the file system where it can, else through memory. n
// counts what was copied also when err says why it was not all.
func (c *compound) copyData(r *copyRange) (n int64, err error) {
	if rc, ok := r.src.File.(vfs.RangeCopier); ok && c.saved.exp == c.cur.exp {
		for n < r.length {
			done, err := rc.CopyRange(c.call.Ctx, r.srcOff+n, r.dst.File, r.dstOff+n, r.length-n)
			if n == 0 && done == 0 && cannotCopy(err) {
				return c.copyThrough(r)
			}
			n += done
			if err != nil || done == 0 {
				return n, err
			}
		}
		return n, nil
	}
	return c.copyThrough(r)
}

// cannotCopy reports whether the file system refuses to copy between these
// files, so that the server does.
func cannotCopy(err error) bool {
	switch vfs.ErrnoOf(err) {
	case vfs.EXDEV, vfs.EOPNOTSUPP, vfs.EINVAL:
		return true
	}
	return false
}

func (c *compound) copyThrough(r *copyRange) (n int64, err error) {
	buf := rpc.GetBuffer(int(min(r.length, copyChunk)))
	defer buf.Release()
	for n < r.length {
		if err := c.call.Ctx.Err(); err != nil {
			return n, err
		}
		part := buf.B[:min(r.length-n, int64(len(buf.B)))]
		got, err := r.src.ReadAt(c.call.Ctx, part, r.srcOff+n)
		if err != nil || got == 0 {
			return n, err
		}
		put, _, err := r.dst.WriteAt(c.call.Ctx, part[:got], r.dstOff+n, vfs.Unstable)
		n += int64(put)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// clone is CLONE (RFC 7862 §15.13): all of it or nothing.
func (c *compound) clone() nfs4.Status {
	srcSID, dstSID := c.takeSourceStateID(), c.takeStateID()
	srcOff, dstOff, count := c.args.Uint64(), c.args.Uint64(), c.args.Uint64()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	if st := c.sameExport(); st != nfs4.OK {
		return st
	}
	if !c.cur.exp.FS.Caps().Clone {
		return nfs4.ErrNotsupp
	}
	r, st := c.rangeToCopy(srcSID, dstSID, srcOff, dstOff, count)
	if st != nfs4.OK {
		return st
	}
	defer r.release()
	cl, ok := r.src.File.(vfs.Cloner)
	if !ok {
		return nfs4.ErrNotsupp
	}
	// The length as asked: to the end may mean to the end of its block.
	err := cl.CloneRange(c.call.Ctx, r.srcOff, r.dst.File, r.dstOff, int64(count))
	if err == nil {
		err = c.makeDurable(r.dst.File)
	}
	return statusOf(err)
}

// offloadCancel is OFFLOAD_CANCEL (RFC 7862 §15.8), offloadStatus
// OFFLOAD_STATUS (§15.9): no copy goes on after its reply.
func (c *compound) offloadCancel() nfs4.Status { return c.offload() }
func (c *compound) offloadStatus() nfs4.Status { return c.offload() }

func (c *compound) offload() nfs4.Status {
	c.takeStateID()
	if c.badXDR() {
		return nfs4.ErrBadxdr
	}
	return nfs4.ErrBadStateid
}
