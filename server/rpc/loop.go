package rpc

import (
	"errors"
	"sync"
	"time"
)

// loop reads records and answers them, until a call hands reading over to
// another loop and this one ends with that call.
type loop struct {
	conn   *Conn
	reader *reader
	call   Call
	out    *Buffer // what call.Reply is encoded into, nil while there is none
	size   int     // of the record under way, in bytes

	// mu guards what follows, and reader and size while a call is watched. It
	// comes before Conn.mu.
	mu      sync.Mutex
	watched bool        // a call is under way that is to hand reading over
	since   time.Time   // when that call began to be watched
	timer   *time.Timer // nil until a call may block
	armed   bool        // timer runs, if need be for a later call
	handed  bool        // another loop reads
}

func (l *loop) run() {
	c := l.conn
	defer c.loops.Done()
	l.call.Conn, l.call.Ctx, l.call.loop = c, c.ctx, l
	for !l.handed && c.mayRead() {
		record, big, err := l.reader.next()
		if err != nil {
			l.flush()
			c.ended(err)
			break
		}
		l.size = len(record)
		l.serve(record)
		if big != nil {
			big.Release()
		}
	}
	l.flush() // no record came after all
	l.reader.drop()
}

// serve answers one record and sends the reply, with those before it, unless
// the next record is here already.
func (l *loop) serve(record []byte) {
	c, r := l.conn, &l.call.Reply
	if isReply(record) {
		c.deliver(record)
		if !l.reader.complete() {
			l.flush()
		}
		return
	}
	if l.out == nil {
		l.out = GetBuffer(replyBuffer)
		r.Buf = l.out.B[:0]
	}
	if !c.server.answer(&l.call, record) {
		l.flush()
		c.fail(errors.New("a record is no RPC message"))
		return
	}
	if len(r.parts) == 0 && len(r.Buf) < coalesce {
		l.returned()
		if !l.handed && l.reader.complete() {
			return
		}
	}
	l.flush() // which can take long, too
	l.returned()
	if l.handed {
		c.done(l.size)
	}
}

const (
	replyBuffer = 4 << 10  // bytes of memory a reply begins with
	coalesce    = 32 << 10 // bytes of replies that wait for each other at most
)

// flush sends the replies that wait, if any, and gives their memory back.
func (l *loop) flush() {
	if l.out == nil {
		return
	}
	if len(l.call.Reply.Buf) > 0 {
		l.conn.send(&l.call.Reply)
	}
	l.call.Reply.Buf = nil
	l.out.Release()
	l.out = nil
}

// patience is how long a call that may block keeps others on its connection
// waiting. Most such calls are done by then, and another thread need not wake
// up to read on: that costs as much as a small call.
const patience = time.Millisecond

// mayBlock lets another goroutine read on: at once where there is something
// to read, else when the call turns out to take long. Replies that waited to
// be sent with the one under way are sent first.
func (l *loop) mayBlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handed || l.watched {
		return
	}
	if r := &l.call.Reply; r.base > r.sent {
		l.conn.sendEarly(r.Buf[r.sent:r.base])
		r.sent = r.base
	}
	if l.reader.ahead() {
		l.handOver()
		return
	}
	l.watched, l.since = true, time.Now()
	if !l.armed {
		l.arm(patience)
	}
}

// arm sets the timer. It is not stopped when a call returns, but left for the
// next: to set it for each would wake a thread each time, to wait for it, which
// costs as much as a small call. l.mu is held.
func (l *loop) arm(d time.Duration) {
	l.armed = true
	if l.timer == nil {
		l.timer = time.AfterFunc(d, l.overdue)
	} else {
		l.timer.Reset(d)
	}
}

// overdue hands reading over if the call under way has taken longer than
// patience, and else waits for the rest of that.
func (l *loop) overdue() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.armed = false
	if !l.watched {
		return
	}
	if rest := patience - time.Since(l.since); rest > 0 {
		l.arm(rest)
		return
	}
	l.watched = false
	l.handOver()
}

// returned notes that the call is done: who reads now reads on. Until then
// another goroutine may use l.reader, and l may not.
func (l *loop) returned() {
	l.mu.Lock()
	l.watched = false
	l.mu.Unlock()
}

// handOver lets another goroutine read on. l.mu is held.
func (l *loop) handOver() {
	l.handed = true
	c := l.conn
	c.mu.Lock()
	c.calls++
	c.bytes += l.size
	c.mu.Unlock()
	c.loops.Add(1)
	next := &loop{conn: c, reader: l.reader.split()}
	go next.run()
}
