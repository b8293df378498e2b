package p9

import (
	"sync"

	"github.com/fsva/fsva/server/rpc"
)

// loop reads messages and answers them, until a request hands reading over to
// another loop and this one ends with that request.
type loop struct {
	conn   *conn
	reader *reader
	req    request
	size   int // of the message under way, in bytes
	sent   int // bytes at the start of req.out that have been sent

	// mu guards what follows, and reader and size while a request is watched.
	// It comes before conn.mu and session.mu.
	mu      sync.Mutex
	watched bool // by watch
	handed  bool // another loop reads
	counted bool // among conn.requests

	// Guarded by watch.mu.
	place int
	since uint64 // tick
}

func newLoop(c *conn, rd *reader) *loop {
	l := &loop{conn: c, reader: rd}
	l.req = request{s: c.session, base: c.ctx, ctx: c.ctx, loop: l}
	return l
}

const (
	replyBuffer = 4 << 10  // bytes of memory a reply begins with
	coalesce    = 32 << 10 // bytes of replies that wait for each other at most
)

func (l *loop) run() {
	c := l.conn
	defer c.loops.Done()
	defer l.reader.drop()
	for !l.handed && c.mayRead() {
		msg, big, err := l.reader.next(c.session.messageLimit())
		if err != nil {
			l.flush()
			c.ended(err)
			return
		}
		l.size = len(msg)
		l.serve(msg)
		if big != nil {
			big.Release()
		}
	}
	l.flush()
}

// serve answers one message and sends the reply, with those before it, unless
// the next message is here already.
func (l *loop) serve(msg []byte) {
	r := &l.req
	if r.mem == nil {
		r.mem = rpc.GetBuffer(replyBuffer)
		r.out.buf = r.mem.B[:0]
	}
	r.parse(msg)
	r.answer(maxMsize)
	if r.part.file != nil {
		l.conn.sendFile(r.out.buf[l.sent:], &r.part)
		l.sent = len(r.out.buf)
		r.part = filePart{}
	}
	l.returned()
	if l.handed {
		l.flush()
		r.finish()
		if l.counted {
			l.conn.done(l.size)
		}
		return
	}
	// A request that flushes this one is answered behind it by this loop, or
	// by another one after this sent what it has.
	r.finish()
	if len(r.out.buf) >= coalesce || !l.reader.complete() {
		l.flush()
	}
}

// flush sends the replies that wait, if any, and gives their memory back.
func (l *loop) flush() {
	r := &l.req
	if r.mem == nil {
		return
	}
	if len(r.out.buf) > l.sent {
		l.conn.send(r.out.buf[l.sent:])
	}
	l.sent, r.out.buf = 0, nil
	r.mem.Release()
	r.mem = nil
}

// mayTakeLong lets another goroutine read on: at once if atOnce is set and
// there is something to read, else when the request turns out to take long.
// Replies that waited to be sent with the one under way are sent first.
func (l *loop) mayTakeLong(atOnce bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handed {
		return
	}
	if r := &l.req; r.start > l.sent {
		l.conn.send(r.out.buf[l.sent:r.start])
		l.sent = r.start
	}
	if atOnce && l.reader.ahead() {
		l.handOver()
	} else if !l.watched {
		l.watched = true
		l.conn.srv.watch.add(l)
	}
}

// overdue is called when a request has taken long.
func (l *loop) overdue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watched && !l.handed {
		l.handOver()
	}
}

// returned notes that the request is done: who reads now reads on. Until then
// another goroutine may use l.reader, and l may not.
func (l *loop) returned() {
	if l.watched { // which nobody else sets
		l.conn.srv.watch.remove(l)
		l.mu.Lock()
		l.watched = false
		l.mu.Unlock()
	}
}

// handOver lets another goroutine read on, and so find the request in the
// session. l.mu is held.
func (l *loop) handOver() {
	l.handed = true
	c := l.conn
	c.session.register(&l.req)
	if l.counted = !l.req.waiting; l.counted {
		c.handedOver(l.size)
	}
	c.loops.Add(1)
	go newLoop(c, l.reader.split()).run()
}
