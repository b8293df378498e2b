package lock

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/fsva/fsva/vfs"
)

// ErrReleased ends the wait of an owner whose client gave back everything.
var ErrReleased = errors.New("the client was released while it waited for a lock")

// courtesyCheck is how often LockWait looks whether who is in the way has
// fallen silent meanwhile: nobody tells it.
const courtesyCheck = time.Second

// waiter is a call of LockWait under way.
type waiter struct {
	key   Key
	owner Owner
	r     Range
	typ   Type
	done  chan error // gets the end of the wait, with room for it
}

// LockWait is Lock that waits until nothing is in the way. Waiters are served
// in the order they came: an owner that holds no byte range also waits for who
// waits for the same bytes before it. (One that holds some does not, because
// those may wait for it.)
//
// It fails with EDEADLK if its end would depend on that of the owner itself,
// over any number of other owners and files; with the context's error when that
// ends first; with ErrReleased if the client was released; and as Lock does. An
// owner waits for one lock at a time: only for its latest wait circles are
// found.
func (t *Table) LockWait(ctx context.Context, k Key, owner Owner, r Range, typ Type) error {
	if owner == (Owner{}) {
		return vfs.EINVAL
	}
	switch shared, err := t.enterShared(ctx, k, true); {
	case err != nil:
		return err
	case shared != nil:
		t.leaveShared(k, shared)
		return t.waitShared(ctx, k, owner, r, typ)
	}
	if done, err := t.lockAtOnce(k, owner, r, typ); done {
		return err
	}
	w := &waiter{key: k, owner: owner, r: r, typ: typ, done: make(chan error, 1)}
	if err := t.join(w); err != nil {
		return err
	}
	defer t.part(w)
	check := time.NewTicker(courtesyCheck)
	defer check.Stop()
	for {
		if err := t.expireInTheWay(ctx, w); err != nil {
			t.leave(w, err)
		}
		select {
		case err := <-w.done:
			return err
		case <-ctx.Done():
			t.leave(w, ctx.Err())
			return <-w.done // granted meanwhile, or ctx.Err
		case <-check.C:
		}
	}
}

// lockAtOnce is LockWait where nothing and nobody is to be waited for.
func (t *Table) lockAtOnce(k Key, owner Owner, r Range, typ Type) (done bool, err error) {
	t.on(k, func(f *file) {
		if f.locks != nil && len(f.locks.waiters) > 0 || f.obstacle(owner, r, typ) != nil {
			return
		}
		done, err = true, f.lock(owner, r, typ)
	})
	return done, err
}

// lock gives owner a lock that nothing is in the way of.
func (f *file) lock(owner Owner, r Range, typ Type) error {
	freed, err := f.assign(owner, r, typ)
	if freed {
		f.wake(r)
	}
	return err
}

// join puts a waiter into the queue unless that closes a circle. Only a new
// waiter can close one: who is granted a lock does not wait.
func (t *Table) join(w *waiter) error {
	t.waiting.Lock()
	defer t.waiting.Unlock()
	if t.circle(w) {
		return vfs.EDEADLK
	}
	t.waits[w.owner] = w
	t.on(w.key, func(f *file) {
		l := f.withLocks()
		f.note(w.owner.Client, 1)
		l.waiters = append(l.waiters, w)
		f.wake(w.r) // the way may be free since lockAtOnce
	})
	return nil
}

// part forgets a waiter that does not wait any more.
func (t *Table) part(w *waiter) {
	t.waiting.Lock()
	defer t.waiting.Unlock()
	if t.waits[w.owner] == w {
		delete(t.waits, w.owner)
	}
}

// leave ends the wait with err, if it has not ended yet.
func (t *Table) leave(w *waiter, err error) {
	t.peek(w.key, func(f *file) {
		if f.locks != nil {
			f.dropWaiters(err, func(o *waiter) bool { return o == w })
			f.wake(w.r) // who stood behind it
		}
	})
}

// circle reports whether those w would wait for wait, over any number of
// others, for w's owner. t.waiting is held.
//
// Only locks count, not the order in the queue: what stands there behind others
// holds nothing, so nobody waits for it.
func (t *Table) circle(w *waiter) bool {
	seen := map[Owner]bool{}
	next := []*waiter{w}
	for len(next) > 0 {
		last := next[len(next)-1]
		next = next[:len(next)-1]
		for _, o := range t.inTheWay(last) {
			if o == w.owner {
				return true
			}
			if on := t.waits[o]; on != nil && !seen[o] {
				seen[o] = true
				next = append(next, on)
			}
		}
	}
	return false
}

// inTheWay returns whose locks w waits for; an owner may be there repeatedly.
func (t *Table) inTheWay(w *waiter) (owners []Owner) {
	t.peek(w.key, func(f *file) {
		if f.locks == nil {
			return
		}
		for s := range f.locks.excluding(w.owner, w.r, w.typ) {
			owners = append(owners, s.owner)
		}
	})
	return owners
}

// expireInTheWay ends the courtesy of clients that w waits for.
func (t *Table) expireInTheWay(ctx context.Context, w *waiter) error {
	return t.settle(ctx, func() (Owner, error) {
		for _, o := range t.inTheWay(w) {
			if o.Client != nil && o.Client.Courtesy() {
				return o, nil
			}
		}
		return Owner{}, nil
	})
}

// wake lets go on whom the bytes of r, which somebody gave back, were in the
// way of.
func (f *file) wake(r Range) {
	if f.admit() {
		r = whole // who got a lock may have given up others for it
	}
	f.dropNotices(func(n *notice) bool {
		if !n.r.overlaps(r) || f.obstacle(n.owner, n.r, n.typ) != nil {
			return false
		}
		f.later(n.call)
		return true
	})
}

// admit gives their lock to waiters that have nothing in the way any more,
// neither a lock nor an earlier waiter, and reports whether there was any.
func (f *file) admit() (any bool) {
	for again := true; again; {
		again = false
		var ahead spans // what those want that go on waiting
		f.dropWaitersIf(func(w *waiter) (bool, error) {
			if f.obstacle(w.owner, w.r, w.typ) != nil || f.behind(w, &ahead) {
				ahead.insert(&span{Range: w.r, owner: w.owner, typ: w.typ})
				return false, nil
			}
			freed, err := f.assign(w.owner, w.r, w.typ)
			any, again = true, again || freed
			return true, err
		})
	}
	return any
}

// behind reports whether w has to let those ahead go first.
func (f *file) behind(w *waiter, ahead *spans) bool {
	return ahead.first(w.owner, w.r, w.typ) != nil && !f.shard.index.holds(w.owner)
}

func (f *file) dropWaiters(err error, which func(*waiter) bool) {
	f.dropWaitersIf(func(w *waiter) (bool, error) { return which(w), err })
}

// dropWaitersIf asks for each waiter whether its wait ends, and how, in the
// order they came.
func (f *file) dropWaitersIf(ends func(*waiter) (bool, error)) {
	f.locks.waiters = slices.DeleteFunc(f.locks.waiters, func(w *waiter) bool {
		end, err := ends(w)
		if end {
			f.note(w.owner.Client, -1)
			w.done <- err
		}
		return end
	})
}
