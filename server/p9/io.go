package p9

import (
	"hash/maphash"
	"math"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/vfs"
)

// parallelIO is the number of bytes from which a read or write is worth
// letting another goroutine read on from the connection.
const parallelIO = 64 << 10

// directIO is the number of bytes from which a read goes into the memory of a
// guest without passing through this process.
const directIO = 4 << 10

// read answers Tread: fid[4] offset[8] count[4].
func (r *request) read() error {
	num, offset, count := r.in.uint32(), r.in.uint64(), r.in.uint32()
	f, err := r.fid(num)
	if err != nil {
		return err
	}
	if offset > math.MaxInt64 {
		return vfs.EINVAL
	}
	n := int(min(count, uint32(r.room-rreadSize)))
	switch {
	case f.xattr != nil:
		return r.readXattr(f.xattr, offset, n)
	case f.dirOn:
		return vfs.EISDIR
	case f.open == nil:
		return vfs.EINVAL
	case f.open.how&vfs.OpenRead == 0:
		return syscall.EBADF
	}
	d, _ := f.open.File.(vfs.Descriptor)
	if d != nil && r.guest != nil && n >= directIO {
		return r.readDirect(d, int64(offset), n)
	}
	if d != nil && r.loop != nil && r.loop.conn.raw != nil && n >= sendfileMin {
		if part, ok := partOf(d, int64(offset), n, r.s.srv.unreadable.Mark(f.open.key)); ok {
			r.out.uint32(uint32(n))
			r.part, r.direct = part, n
			return nil
		}
	}
	at := len(r.out.buf)
	p := r.space(4 + n)[4:]
	got := 0
	if d != nil {
		got = readCached(d, p, int64(offset))
	}
	if got < n { // or the file ends there
		r.mayBlockOnData(n)
		more, err := f.open.ReadAt(r.ctx, p[got:], int64(offset)+int64(got))
		if err != nil {
			if r.ctx.Err() == nil {
				r.s.srv.unreadable.Mark(f.open.key).Store(true)
			}
			return err
		}
		got += more
	}
	r.out.uint32(uint32(got))
	r.out.buf = r.out.buf[:at+4+got]
	return nil
}

// readCached reads what the kernel has in memory and returns how much, at most
// len(p). That takes no time worth reading on from the connection meanwhile.
func readCached(d vfs.Descriptor, p []byte, off int64) int {
	fd, err := d.PinFD()
	if err != nil {
		return 0
	}
	defer d.UnpinFD()
	n, err := unix.Preadv2(fd, [][]byte{p}, off, unix.RWF_NOWAIT)
	if err != nil {
		return 0 // not a byte is there, or the file system cannot tell
	}
	return n
}

// mayBlockOnData says that n bytes may take a while to be read or written.
func (r *request) mayBlockOnData(n int) {
	if r.exp.FS.Caps().Local {
		r.mayTakeLong(n >= parallelIO)
	} else {
		r.mayBlock()
	}
}

// write answers Twrite: fid[4] offset[8] count[4] data[count].
func (r *request) write() error {
	num, offset, data := r.in.uint32(), r.in.uint64(), r.in.data()
	f, err := r.fidToChange(num)
	if err != nil {
		return err
	}
	if f.xattr != nil {
		return r.writeXattr(f.xattr, offset, data)
	}
	o := f.open
	switch {
	case o == nil:
		return vfs.EINVAL
	case o.how&vfs.OpenWrite == 0:
		return syscall.EBADF
	case offset > math.MaxInt64:
		return vfs.EINVAL
	case uint64(len(data)) > math.MaxInt64-offset:
		return vfs.EFBIG
	}
	want := o.stable
	if r.exp.Sync {
		want = vfs.FileSync
	}
	if want != vfs.Unstable {
		r.mayBlock()
	} else {
		r.mayBlockOnData(len(data))
	}
	var n int
	if o.append {
		n, err = r.writeAppending(o, data, want)
	} else {
		n, _, err = o.WriteAt(r.ctx, data, int64(offset), want)
	}
	if n == 0 && err != nil {
		return err
	}
	r.out.uint32(uint32(n)) // if short, the client comes again for the rest
	return nil
}

// writeAppending writes where the file ends (O_APPEND), wherever the client
// thinks that is. Others that append to the file by 9P wait meanwhile.
func (r *request) writeAppending(o *openFile, data []byte, want vfs.Stability) (int, error) {
	srv := r.s.srv
	mu := &srv.appends[maphash.Comparable(srv.seed, o.key)%uint64(len(srv.appends))]
	mu.Lock()
	defer mu.Unlock()
	a, err := o.Node().GetAttr(r.ctx, vfs.AttrSize)
	if err != nil {
		return 0, err
	}
	if a.Size > math.MaxInt64-uint64(len(data)) {
		return 0, vfs.EFBIG
	}
	n, _, err := o.WriteAt(r.ctx, data, int64(a.Size), want)
	return n, err
}

// fsync answers Tfsync: fid[4] datasync[4]. Old clients leave datasync out.
// What was made in a directory is as durable as the export has it be: a
// directory cannot be asked for more.
func (r *request) fsync() error {
	num := r.in.uint32()
	dataOnly := len(r.in.buf) >= 4 && r.in.uint32() != 0
	f, err := r.fid(num)
	if err != nil {
		return err
	}
	switch {
	case f.dirOn:
		return nil
	case f.open == nil:
		return vfs.EINVAL
	}
	r.mayBlock()
	return f.open.Sync(r.ctx, dataOnly)
}
