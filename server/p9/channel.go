package p9

import (
	"context"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/vfs"
)

// ChannelOptions describe the client of a Channel.
type ChannelOptions struct {
	// Export is the one export that can be attached to; all, if empty.
	Export string
	// Addr is what an export's list of clients is compared with. The zero
	// Addr, where it is not known whose the channel is, is in no network.
	Addr netip.Addr
	// MaxMessage is how many bytes a message may have, if not 0: a client is
	// offered no more by Tversion, and no less than 4 KiB.
	MaxMessage uint32
}

// Channel is a client whose requests come singly, in memory that it shares
// with the server, rather than as a stream.
type Channel struct {
	srv     *Server
	session *session
	cancel  context.CancelFunc
	once    sync.Once
}

// channelLockWaits is how many requests wait for locks: a device answers only
// so many at the same time, and they must not keep others from being answered,
// such as those that would end the wait.
const channelLockWaits = 16

// NewChannel makes the channel of the client that peer names in credentials
// and logs.
func (s *Server) NewChannel(peer string, opt ChannelOptions) *Channel {
	ctx, cancel := context.WithCancel(s.ctx)
	c := &Channel{srv: s, session: newSession(s, peer, ctx), cancel: cancel}
	c.session.only, c.session.addr = opt.Export, opt.Addr
	if opt.MaxMessage != 0 {
		c.session.maxMsize = min(maxMsize, max(minMsize, opt.MaxMessage))
	}
	c.session.maxLockWaits = min(c.session.maxLockWaits, channelLockWaits)
	s.mu.Lock()
	s.sessions[c.session] = struct{}{}
	s.mu.Unlock()
	return c
}

// Close gives back everything the client has, once all calls of Do have
// returned.
func (c *Channel) Close() {
	c.once.Do(func() {
		c.cancel()
		c.session.close()
	})
}

var requests = sync.Pool{New: func() any { return new(request) }}

// Do answers the request in the slices in by writing to the slices out, and
// returns how many bytes it wrote. The client may change both at any time: the
// request is copied before it is looked at. When ctx ends, waits for locks end
// with an error for the client. Do fails where the client cannot be answered.
// Calls may run at the same time.
func (c *Channel) Do(ctx context.Context, in, out [][]byte) (n int, err error) {
	msg, err := c.gather(in)
	if err != nil {
		return 0, err
	}
	defer msg.Release()
	room := total(out)
	if room < rlerrorSize {
		return 0, errBroken
	}
	r := requests.Get().(*request)
	*r = request{s: c.session, base: ctx, ctx: ctx, guest: out, mem: rpc.GetBuffer(replyBuffer)}
	r.out.buf = r.mem.B[:0]
	r.parse(msg.B)
	c.session.register(r)
	// Also where memory goes away and touching it panics.
	defer func() {
		r.giveBack()
		r.finish()
		r.mem.Release()
		*r = request{}
		requests.Put(r)
	}()
	r.answer(room)
	scatter(out, r.out.buf)
	return len(r.out.buf) + r.direct, nil
}

// gather copies a message.
func (c *Channel) gather(in [][]byte) (*rpc.Buffer, error) {
	var size [4]byte
	if collect(size[:], in) < len(size) {
		return nil, errBroken
	}
	d := decoder{buf: size[:]}
	n := d.uint32()
	if n < headerSize || n > uint32(c.session.messageLimit()) || int(n) > total(in) {
		return nil, errBroken
	}
	msg := rpc.GetBuffer(int(n))
	collect(msg.B, in)
	copy(msg.B, size[:]) // which may have changed
	return msg, nil
}

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

// maxPieces is what preadv(2) takes at once (IOV_MAX).
const maxPieces = 1024

// part returns n bytes of pieces from off on, or less where they end or are
// too many.
func part(pieces [][]byte, off, n int) (sub [][]byte) {
	for _, p := range pieces {
		if n == 0 || len(sub) == maxPieces {
			break
		}
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

// readDirect reads up to n bytes of a file into the guest's memory, behind
// where the rest of the reply goes.
func (r *request) readDirect(d vfs.Descriptor, off int64, n int) error {
	fd, err := d.PinFD()
	if err != nil {
		return err
	}
	defer d.UnpinFD()
	got := 0
	for got < n {
		m, err := unix.Preadv(fd, part(r.guest, rreadSize+got, n-got), off+int64(got))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if m == 0 {
			break
		}
		got += m
	}
	r.out.uint32(uint32(got))
	r.direct = got
	return nil
}
