package p9

import (
	"context"
	"encoding/binary"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/server/p9/transport"
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
// with the server, rather than as a stream. It is a transport.Channel.
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

// Close gives back everything the client has, once all requests are done.
func (c *Channel) Close() {
	c.once.Do(func() {
		c.cancel()
		c.session.close()
	})
}

// accepted is a request of a channel.
type accepted struct {
	request
	pieces [][]byte
	header [headerSize]byte // a copy: what is in pieces may have changed
}

var requests = sync.Pool{New: func() any { return new(accepted) }}

// Accept notes the request in the slices in, so that a Tflush finds it. The
// client may change them at any time: the request is copied before it is looked
// at.
func (c *Channel) Accept(in [][]byte) (transport.Request, error) {
	a := requests.Get().(*accepted)
	n := collect(a.header[:], in)
	h := decoder{buf: a.header[:n]}
	size := h.uint32()
	typ, tag := msgType(h.uint8()), h.uint16()
	if h.bad || size < headerSize || size > uint32(c.session.messageLimit()) || int(size) > total(in) {
		return nil, errBroken
	}
	a.request, a.pieces = request{s: c.session, typ: typ, tag: tag}, in
	c.session.register(&a.request)
	return a, nil
}

// Answer answers the request by writing to the slices out, and returns how many
// bytes it wrote. When ctx ends, waits for locks end with an error for the
// client. Answer fails where the client cannot be answered.
func (a *accepted) Answer(ctx context.Context, out [][]byte) (n int, err error) {
	room := total(out)
	if room < rlerrorSize {
		return 0, errBroken
	}
	msg := a.gather()
	defer msg.Release()
	r := &a.request
	r.base, r.ctx, r.guest, r.mem = ctx, ctx, out, rpc.GetBuffer(replyBuffer)
	r.in, r.out.buf = decoder{buf: msg.B[headerSize:]}, r.mem.B[:0]
	defer r.giveBack() // also where memory goes away and touching it panics
	r.answer(room)
	scatter(out, r.out.buf)
	return len(r.out.buf) + r.direct, nil
}

// Done ends the wait of who flushes the request.
func (a *accepted) Done() {
	a.finish()
	if a.mem != nil {
		a.mem.Release()
	}
	*a = accepted{}
	requests.Put(a)
}

// gather copies the message.
func (a *accepted) gather() *rpc.Buffer {
	msg := rpc.GetBuffer(int(binary.LittleEndian.Uint32(a.header[:])))
	collect(msg.B, a.pieces)
	copy(msg.B, a.header[:])
	return msg
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
