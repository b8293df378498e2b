package objects

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/go-git/go-git/v5/plumbing"
)

// Content is the bytes of a large object. They are inflated once, in order and
// as far as somebody reads, into a temporary file without a name; so reading
// backwards or in many places costs no more than reading on. It may be used
// from many goroutines at once.
type Content struct {
	size int64
	file *os.File

	have atomic.Int64 // bytes in file, checked where it is all; grows under mu

	mu      sync.Mutex
	src     io.Reader // the bytes from have on
	id      plumbing.Hash
	sum     sum    // of what is in file; without a hash nobody checks it
	release func() // what src holds
	err     error  // why src gives no more
}

// Content returns the bytes of an object, up to a limit. The temporary file is
// made in dir, or in the system's place for them if that is empty. Of an object
// that is a delta there are two of that size for a while.
func (d *DB) Content(ctx context.Context, id plumbing.Hash, dir string, limit int64) (c *Content, err error) {
	err = d.locate(id, user{
		packed: func(at place) (err error) {
			c, err = packedContent(ctx, at, id, dir, limit)
			return err
		},
		loose: func(f *os.File) error {
			l, err := newLoose(f)
			if err != nil {
				return err
			}
			if l.size > limit {
				l.close()
				return ErrTooLarge
			}
			if c, err = newContent(dir, l.size, l.inflater, l.close); err == nil {
				c.name(id, l.typ)
			}
			return err
		},
	})
	return c, err
}

// packedContent makes an object that is a delta in steps, each of which reads
// the file of the step before, so that there are never more than two.
func packedContent(ctx context.Context, at place, id plumbing.Hash, dir string, limit int64) (*Content, error) {
	ch, err := chainOf(at, func(place) bool { return false })
	if err != nil {
		return nil, err
	}
	if ch.entry.size > limit {
		return nil, ErrTooLarge
	}
	z, err := at.pack.stored(&ch.entry)
	if err != nil {
		return nil, err
	}
	c, err := newContent(dir, ch.entry.size, z, z.close)
	for i := len(ch.deltas) - 1; err == nil && i >= 0; i-- {
		if err = c.fill(ctx, c.size); err == nil {
			c, err = patched(c, at.pack, &ch.deltas[i], dir, limit)
		}
	}
	if err != nil {
		if c != nil {
			c.Close()
		}
		return nil, err
	}
	c.name(id, ch.entry.typ)
	at.pack.hold() // we hold it already, so that it cannot fail
	before := c.release
	c.release = func() {
		before()
		at.pack.drop()
	}
	return c, nil
}

// patched is what a delta makes of base, which it takes over unless it fails.
func patched(base *Content, p *pack, delta *entry, dir string, limit int64) (*Content, error) {
	z, err := p.stored(delta)
	if err != nil {
		return base, err
	}
	r := &patcher{base: base.file, delta: bufio.NewReaderSize(z, 4<<10)}
	size, err := r.readSizes(base.size)
	if err == nil && size > limit {
		err = ErrTooLarge
	}
	if err != nil {
		z.close()
		return base, err
	}
	c, err := newContent(dir, size, r, func() {
		z.close()
		base.Close()
	})
	if err != nil { // base is closed
		return nil, err
	}
	return c, nil
}

// name has the content checked against the name of the object, when all of it
// is there. Nothing has been read yet.
func (c *Content) name(id plumbing.Hash, typ plumbing.ObjectType) {
	c.id, c.sum = id, newSum(typ, c.size)
}

// newContent takes over src with what release gives back, also when it fails.
func newContent(dir string, size int64, src io.Reader, release func()) (*Content, error) {
	f, err := os.CreateTemp(dir, "git-object-*")
	if err == nil {
		err = os.Remove(f.Name())
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		release()
		return nil, fmt.Errorf("no place to inflate a large object: %w", err)
	}
	return &Content{size: size, file: f, src: src, release: release}, nil
}

// Size returns the size in bytes.
func (c *Content) Size() int64 { return c.size }

// ReadAt reads up to len(p) bytes at off, fewer only where the object ends. It
// inflates all that lies before, unless ctx ends.
func (c *Content) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, nil
	}
	p = p[:min(int64(len(p)), c.size-off)]
	if err := c.fill(ctx, off+int64(len(p))); err != nil {
		return 0, err
	}
	return c.file.ReadAt(p, off)
}

// fillStep is how much is inflated between two looks at the context.
const fillStep = 256 << 10

// fill inflates up to an offset. An error is for good.
func (c *Content) fill(ctx context.Context, to int64) error {
	if c.have.Load() >= to {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	have := c.have.Load()
	var w io.Writer = io.NewOffsetWriter(c.file, have)
	if c.sum.Hash != nil {
		w = io.MultiWriter(w, c.sum)
	}
	for have < to && c.err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := io.CopyN(w, c.src, min(fillStep, c.size-have))
		if err == io.EOF {
			err = fmt.Errorf("%w: an object is shorter than it says", ErrCorrupt)
		}
		if have += n; have == c.size {
			err = c.checkEnd()
		}
		if c.err = err; err == nil {
			c.have.Store(have)
		}
	}
	return c.err
}

// checkEnd makes sure that there is no more, which also checks the sum behind
// the deflated data.
func (c *Content) checkEnd() error {
	defer c.releaseSource()
	n, err := io.ReadFull(c.src, make([]byte, 1))
	if n != 0 {
		return fmt.Errorf("%w: an object is longer than it says", ErrCorrupt)
	}
	switch {
	case err != io.EOF:
		return err
	case c.sum.Hash != nil:
		return c.sum.check(c.id)
	}
	return nil
}

func (c *Content) releaseSource() {
	if c.release != nil {
		c.release()
		c.src, c.release = nil, nil
	}
}

// Close gives the space back. No read is under way and none follows.
func (c *Content) Close() error {
	c.releaseSource()
	return c.file.Close()
}

// patcher reads what a delta makes of base.
type patcher struct {
	base  io.ReaderAt
	delta *bufio.Reader
	size  int64     // of base
	piece io.Reader // the rest of the instruction at hand
}

// readSizes reads what the delta begins with, and returns the size of what it
// makes.
func (r *patcher) readSizes(base int64) (int64, error) {
	head, err := r.delta.Peek(16)
	if err != nil && err != io.EOF {
		return 0, err
	}
	c := cursor{rest: head}
	from, size := c.varint(), c.varint()
	if c.bad || from != base {
		return 0, errDelta
	}
	r.size = base
	_, err = r.delta.Discard(len(head) - len(c.rest))
	return size, err
}

func (r *patcher) Read(p []byte) (int, error) {
	for {
		if r.piece != nil {
			n, err := r.piece.Read(p)
			if n > 0 || err != io.EOF {
				return n, err
			}
			if text, ok := r.piece.(*io.LimitedReader); ok && text.N > 0 {
				return 0, errDelta // the delta ends before what it inserts
			}
			r.piece = nil
		}
		if err := r.next(); err != nil {
			return 0, err
		}
	}
}

// next goes to the next instruction.
func (r *patcher) next() error {
	op, err := r.delta.Peek(1)
	if err != nil {
		return err // io.EOF is the end
	}
	text, err := r.delta.Peek(instructionLen(op[0]))
	if err != nil {
		return errDelta
	}
	c := cursor{rest: text}
	i := c.instruction()
	if c.bad || i.copies && i.off+i.n > r.size {
		return errDelta
	}
	if _, err := r.delta.Discard(len(text)); err != nil {
		return err
	}
	if i.copies {
		r.piece = io.NewSectionReader(r.base, i.off, i.n)
	} else {
		r.piece = io.LimitReader(r.delta, i.n)
	}
	return nil
}
