package p9

import (
	"context"
	"errors"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
)

// authSys is the flavor by which package export knows callers that name a user.
const authSys = 1

// request is one request while it is answered.
type request struct {
	s    *session
	base context.Context // of the client
	ctx  context.Context // of the request
	loop *loop           // that reads the connection; nil on a channel

	typ msgType
	tag uint16
	in  decoder // the message behind its header

	// out has the reply behind others that wait to be sent, in mem unless it
	// has outgrown that.
	out   encoder
	mem   *rpc.Buffer
	start int // of the reply in out
	room  int // bytes that the reply can have
	// The data of an Rread need not be in out: direct counts those bytes of it
	// that were put into guest's memory, or follow from the file of part.
	direct int
	guest  [][]byte // on a channel
	part   filePart // on a connection

	exp   *export.Export // of the first fid, as it is now
	held  [2]*fid
	nheld int
	used  [2]*export.Export // each in use
	nused int

	waiting bool // for a lock, which others may have to unlock first

	// Guarded by s.mu while the request is registered, which serial tells.
	serial  uint64
	earlier *request           // of the same tag
	cancel  context.CancelFunc // nil unless the request may block
	unhook  func() bool        // from the end of the export
	aborted bool
	done    chan struct{} // closed when the request has been answered
}

// errMalformed is for a message whose fields do not fit into it.
var errMalformed = vfs.EINVAL

// errBroken is for a message after which the client cannot be talked to.
var errBroken = errors.New("a message is shorter than its header, or its size is wrong")

// parse makes r the request of msg, one whole message.
func (r *request) parse(msg []byte) {
	h := decoder{buf: msg}
	h.uint32()
	r.typ, r.tag, r.in = msgType(h.uint8()), h.uint16(), h
}

// answer appends the reply to r, which was parsed, to r.out. The reply has at
// most room bytes, those included that r.direct counts.
func (r *request) answer(room int) {
	began := time.Now()
	r.exp, r.direct, r.waiting = nil, 0, false
	r.room = min(room, r.s.messageLimit())
	r.start = r.out.begin(r.typ+1, r.tag)
	err := r.dispatch()
	switch {
	case err == nil && len(r.out.buf)-r.start+r.direct > r.room:
		err = syscall.EMSGSIZE
	case err != nil && r.exp != nil && r.exp.Context().Err() != nil:
		err = vfs.ESTALE // whatever it was that ended with the export
	}
	var errno vfs.Errno
	if err != nil {
		errno = errnoOf(err)
		r.out.buf = r.out.buf[:r.start]
		r.direct = 0
		r.out.begin(rlerror, r.tag)
		r.out.uint32(uint32(errno))
	}
	r.out.end(r.start, r.direct)
	r.giveBack()
	r.s.srv.cfg.Stats.Observe(uint32(r.typ), uint32(errno), time.Since(began))
}

func (r *request) dispatch() error {
	if int(r.typ) >= len(operations) || operations[r.typ].serve == nil {
		return vfs.EOPNOTSUPP
	}
	if r.s.msize.Load() == 0 && r.typ != tversion {
		return vfs.EINVAL
	}
	return r.execute()
}

// execute runs the operation. One that panics, as a file system's code may, fails
// with EIO, and nothing else does. But memory of the guest that is gone is for the
// device to see to: see transport.Request.
func (r *request) execute() (err error) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		if _, fault := p.(interface{ Addr() uintptr }); fault && r.guest != nil {
			panic(p)
		}
		r.s.srv.cfg.Log.Error().Interface("panic", p).Bytes("stack", debug.Stack()).Str("client", r.s.peer).
			Uint8("message", uint8(r.typ)).Msg("a request failed by a mistake in this program")
		err = vfs.EIO
	}()
	return operations[r.typ].serve(r)
}

// fid returns the fid of that number for the time of the request. It fails
// with EBADF if there is none, with ESTALE if its export is no longer served, and
// with EACCES if it is no longer for this client.
func (r *request) fid(num uint32) (*fid, error) {
	if r.in.bad {
		return nil, errMalformed
	}
	f, err := r.s.get(num)
	if err != nil {
		return nil, err
	}
	r.held[r.nheld] = f
	r.nheld++
	exp := r.s.srv.cfg.Exports.ByID(f.exp.ID)
	switch {
	case exp == nil, exp.FS != f.exp.FS, !r.use(exp):
		return nil, vfs.ESTALE
	case !exp.Admits(r.s.addr):
		return nil, vfs.EACCES
	}
	if r.exp == nil {
		r.exp = exp
	}
	return f, nil
}

// use has the file system of an export stay open until the request is answered.
// It reports false if it is no longer exported.
func (r *request) use(exp *export.Export) bool {
	if !exp.Acquire() {
		return false
	}
	r.used[r.nused] = exp
	r.nused++
	return true
}

// fidToChange is fid for a request that changes the file system.
func (r *request) fidToChange(num uint32) (*fid, error) {
	f, err := r.fid(num)
	if err == nil && r.exp.ReadOnly {
		return nil, vfs.EROFS
	}
	return f, err
}

// giveBack ends the use of fids and exports.
func (r *request) giveBack() {
	for i := range r.nheld {
		r.s.put(r.held[i])
		r.held[i] = nil
	}
	r.nheld = 0
	for i := range r.nused {
		r.used[i].Release()
		r.used[i] = nil
	}
	r.nused = 0
}

// cred is who the file system sees when the fid is used. The user's group is
// the one of the same number: 9P does not tell.
func (r *request) cred(f *fid) *vfs.Cred { return r.credInGroup(f, f.caller.uid) }

// credInGroup is cred with the group that the client names for a new file.
func (r *request) credInGroup(f *fid, gid uint32) *vfs.Cred {
	flavor := uint32(authSys)
	if f.caller.anonymous {
		flavor = 0
	}
	return r.exp.Cred(flavor, f.caller.uid, gid, nil, r.s.peer)
}

// mayTakeLong says that others need not wait for the request.
func (r *request) mayTakeLong(atOnce bool) {
	if r.loop != nil {
		r.loop.mayTakeLong(atOnce)
	}
}

// mayBlock is mayTakeLong for what may never end by itself: r.ctx ends when
// the request is flushed.
func (r *request) mayBlock() {
	if r.cancel != nil {
		return
	}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithCancel(r.base)
	r.s.mu.Lock()
	r.cancel = cancel
	if r.exp != nil {
		r.unhook = context.AfterFunc(r.exp.Context(), cancel)
	}
	if r.aborted {
		cancel()
	}
	r.s.mu.Unlock()
	r.mayTakeLong(true)
}

// mayBlockOnMetadata is mayBlock where even metadata takes a while to come.
func (r *request) mayBlockOnMetadata() {
	if !r.exp.FS.Caps().Local {
		r.mayBlock()
	}
}

// finish notes that the reply has been sent, or will be before that of any
// request that is not yet known. Who flushes the request is answered now.
func (r *request) finish() {
	r.s.unregister(r)
	if r.cancel != nil {
		r.cancel()
	}
	if r.unhook != nil {
		r.unhook()
		r.unhook = nil
	}
	r.cancel, r.aborted, r.ctx = nil, false, r.base
}

// space returns n bytes behind the reply, which become part of it when r.out is
// extended.
func (r *request) space(n int) []byte {
	have := len(r.out.buf)
	if cap(r.out.buf)-have < n {
		bigger := rpc.GetBuffer(have + n)
		copy(bigger.B, r.out.buf)
		r.mem.Release()
		r.mem, r.out.buf = bigger, bigger.B[:have]
	}
	return r.out.buf[have : have+n]
}

// qidOf makes the qid of a node from its attributes; qidAttrs are needed.
func qidOf(a *vfs.Attr) qid {
	q := qid{path: a.FileID, version: uint32(a.Change ^ a.Change>>32)}
	if q.version == 0 {
		q.version = 1 // 0 tells the Linux client to cache nothing
	}
	switch a.Type {
	case vfs.TypeDirectory:
		q.typ = qidDir
	case vfs.TypeSymlink:
		q.typ = qidSymlink
	}
	return q
}

const qidAttrs = vfs.AttrType | vfs.AttrFileID | vfs.AttrChange

// qid asks for the qid of a node.
func (r *request) qid(n vfs.Node) (qid, error) {
	a, err := n.GetAttr(r.ctx, qidAttrs)
	return qidOf(&a), err
}
