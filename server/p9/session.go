package p9

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/fsva/fsva/vfs"
	"github.com/fsva/fsva/vfs/export"
	"github.com/fsva/fsva/vfs/lock"
)

// session is one client: what it has between its Tversion and its end.
type session struct {
	srv  *Server
	peer string     // for credentials and logs
	addr netip.Addr // zero if the client has none
	only string     // the one export it may attach to, if not empty
	ctx  context.Context
	conn *conn // nil on a channel

	maxLockWaits int
	maxMsize     uint32 // that is offered

	// msize is how long a message may be, 0 until there was a Tversion.
	msize atomic.Uint32

	// mu guards what follows and the fields of fid and request that say so;
	// a leaf.
	mu         sync.Mutex
	fids       map[uint32]*fid
	tags       map[uint16]*request // under way, that a Tflush may have to wait for: the latest of each tag
	serial     uint64              // of the latest of them
	opens      uint64              // files opened so far
	xattrBytes int                 // in fids
	lockWaits  int                 // requests that wait for locks
	draining   bool                // no request waits for others any more
}

func newSession(srv *Server, peer string, ctx context.Context) *session {
	return &session{
		srv: srv, peer: peer, ctx: ctx, maxLockWaits: srv.cfg.MaxLockWaits, maxMsize: maxMsize,
		fids: make(map[uint32]*fid), tags: make(map[uint16]*request),
	}
}

// String implements lock.Client, as do Courtesy and Expire.
func (s *session) String() string { return "9p " + s.peer }

// Courtesy reports whether the client's machine has not been heard of for so
// long that it may be gone, or only be paused. It keeps what it holds until
// somebody else wants that, and its connection with it.
func (s *session) Courtesy() bool { return s.conn != nil && s.conn.silent() }

// Expire ends the connection of a client that is only there by courtesy.
func (s *session) Expire(ctx context.Context) error { return s.conn.expire(ctx) }

var _ lock.Client = (*session)(nil)

// messageLimit is the longest message that the client may send.
func (s *session) messageLimit() int {
	if n := s.msize.Load(); n != 0 {
		return int(n)
	}
	return firstMsize
}

// close gives back everything. No request is under way.
func (s *session) close() {
	s.clunkAll()
	s.srv.cfg.Locks.ReleaseClient(s)
	s.srv.mu.Lock()
	delete(s.srv.sessions, s)
	s.srv.mu.Unlock()
}

// clunkAll takes away all fids.
func (s *session) clunkAll() {
	s.mu.Lock()
	all := s.fids
	s.fids = make(map[uint32]*fid)
	s.mu.Unlock()
	for _, f := range all {
		s.put(f)
	}
}

// revoke takes what is open away from the fids of a file system that is no
// longer served. What is done with them is answered ESTALE.
func (s *session) revoke(exp *export.Export) {
	var gone []*fid
	s.mu.Lock()
	for num, f := range s.fids {
		if f.exp.FS == exp.FS && !f.plain() {
			s.fids[num] = &fid{exp: f.exp, node: f.node, caller: f.caller, refs: 1}
			gone = append(gone, f)
		}
	}
	s.mu.Unlock()
	for _, f := range gone {
		s.put(f)
	}
}

// get returns the fid of that number, which the caller gives back with put.
func (s *session) get(num uint32) (*fid, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fids[num]
	if f == nil {
		return nil, syscall.EBADF
	}
	f.refs++
	return f, nil
}

// put gives back a reference; the last releases what the fid holds.
func (s *session) put(f *fid) {
	s.mu.Lock()
	f.refs--
	last := f.refs == 0
	s.mu.Unlock()
	if last {
		s.release(f)
	}
}

// add makes f the fid of a number that is free. It fails with EBADF for one
// that is not, and with EMFILE if there are too many.
func (s *session) add(num uint32, f *fid) error {
	f.refs = 1
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case num == noFID || s.fids[num] != nil:
		return syscall.EBADF
	case len(s.fids) >= s.srv.cfg.MaxFIDs:
		return syscall.EMFILE
	}
	s.fids[num] = f
	return nil
}

// replace puts f in the place of old. It fails with EBADF if old has been
// clunked or replaced meanwhile.
func (s *session) replace(num uint32, old, f *fid) error {
	f.refs = 1
	s.mu.Lock()
	if s.fids[num] != old {
		s.mu.Unlock()
		return syscall.EBADF
	}
	s.fids[num] = f
	s.mu.Unlock()
	s.put(old)
	return nil
}

// remove takes a fid out of the table. The caller, which has a reference of
// its own, now is the only one to know it but for requests under way. It
// reports false if that was done already.
func (s *session) remove(num uint32, f *fid) bool {
	s.mu.Lock()
	if s.fids[num] != f {
		s.mu.Unlock()
		return false
	}
	delete(s.fids, num)
	s.mu.Unlock()
	s.put(f)
	return true
}

// register notes that a request is under way, so that Tflush finds it. Others
// may have its tag: the client knows the reply to an earlier one before that is
// unregistered, or it makes a mistake.
func (s *session) register(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serial++
	r.serial, r.earlier = s.serial, s.tags[r.tag]
	s.tags[r.tag] = r
	if s.draining && r.waits() {
		r.abort()
	}
}

// unregister notes that a request has been answered.
func (s *session) unregister(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.serial == 0 {
		return
	}
	switch latest := s.tags[r.tag]; {
	case latest != r:
		for latest.earlier != r {
			latest = latest.earlier
		}
		latest.earlier = r.earlier
	case r.earlier != nil:
		s.tags[r.tag] = r.earlier
	default:
		delete(s.tags, r.tag)
	}
	r.serial, r.earlier = 0, nil
	if r.done != nil {
		close(r.done)
		r.done = nil
	}
}

// underWay yields the requests that are registered. s.mu is held.
func (s *session) underWay(yield func(*request) bool) {
	for _, latest := range s.tags {
		for r := latest; r != nil; r = r.earlier {
			if !yield(r) {
				return
			}
		}
	}
}

// abort cancels a registered request. The channel closes when it has been
// answered. s.mu is held.
func (r *request) abort() <-chan struct{} {
	if r.cancel != nil {
		r.cancel()
	}
	r.aborted = true
	if r.done == nil {
		r.done = make(chan struct{})
	}
	return r.done
}

// takeXattrBytes counts n bytes of extended attributes, which
// giveXattrBytes gives back.
func (s *session) takeXattrBytes(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n > s.srv.cfg.MaxXattrBytes-s.xattrBytes {
		return syscall.ENOBUFS
	}
	s.xattrBytes += n
	return nil
}

func (s *session) giveXattrBytes(n int) {
	s.mu.Lock()
	s.xattrBytes -= n
	s.mu.Unlock()
}

// beginLockWait counts a request that is going to wait for a lock, until
// endLockWait. It reports false if there are enough.
func (s *session) beginLockWait() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lockWaits >= s.maxLockWaits {
		return false
	}
	s.lockWaits++
	return true
}

func (s *session) endLockWait() {
	s.mu.Lock()
	s.lockWaits--
	s.mu.Unlock()
}

// lockKey is how package lock knows a node of an export.
func lockKey(exportID uint32, n vfs.Node) lock.Key {
	return lock.Key{Export: exportID, Handle: string(n.Handle())}
}
