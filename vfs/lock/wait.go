package lock

import (
	"context"
	"errors"
	"slices"

	"github.com/fsva/fsva/vfs"
)

// ErrReleased ends the wait of an owner whose client gave back everything.
var ErrReleased = errors.New("the client was released while it waited for a lock")

// waiter is a request for a byte-range lock that was in the way of others.
type waiter struct {
	owner Owner
	r     Range
	typ   Type
	key   Key
	// done gets the end of the wait of LockWait, with room for it; notify
	// is called once instead where the waiter will ask again.
	done   chan error
	notify func()
}

// leave ends the wait. The caller takes w out of f.waiters.
func (w *waiter) leave(f *file, err error) {
	f.table.count(w.owner.Client, f.key, -1)
	if w.notify != nil {
		if err == nil {
			f.later = append(f.later, w.notify)
		}
		return
	}
	w.done <- err
}

// wake grants or tells, in the order they came, who no longer has anything in
// the way: neither a lock nor an earlier waiter.
func (f *file) wake() {
	for i := 0; i < len(f.waiters); {
		w := f.waiters[i]
		if f.conflict(w.owner, w.r, w.typ) != nil || f.behind(w, f.waiters[:i]) {
			i++
			continue
		}
		f.waiters = slices.Delete(f.waiters, i, i+1)
		if w.notify == nil {
			f.set(w.owner, w.r, w.typ)
			i = 0 // set may have woken others
		}
		w.leave(f, nil)
	}
}

// behind reports whether one of the earlier waiters wants what w wants.
func (f *file) behind(w *waiter, earlier []*waiter) bool {
	for _, e := range earlier {
		if e.owner != w.owner && e.notify == nil && e.r.overlaps(w.r) && (e.typ == Write || w.typ == Write) {
			return true
		}
	}
	return false
}

// Notify has call called once when a lock that was in the way of this one is
// gone, so that Lock may succeed now, though another may come first. cancel
// forgets about it. A later Notify of the same owner and range takes its
// place.
func (t *Table) Notify(k Key, owner Owner, r Range, typ Type, call func()) (cancel func()) {
	w := &waiter{owner: owner, r: r, typ: typ, key: k, notify: call}
	t.on(k, func(f *file) {
		f.drop(func(o *waiter) bool { return o.notify != nil && o.owner == owner && o.r == r })
		f.enqueue(w)
		f.wake()
	})
	return func() {
		t.on(k, func(f *file) { f.drop(func(o *waiter) bool { return o == w }) })
	}
}

func (f *file) enqueue(w *waiter) {
	f.table.count(w.owner.Client, f.key, 1)
	f.waiters = append(f.waiters, w)
}

// drop takes out waiters of Notify.
func (f *file) drop(which func(*waiter) bool) {
	f.waiters = slices.DeleteFunc(f.waiters, func(w *waiter) bool {
		if !which(w) {
			return false
		}
		f.table.count(w.owner.Client, f.key, -1)
		return true
	})
}

// LockWait is Lock that waits until nothing is in the way, first come first
// served. It fails with EDEADLK if the wait could never end, with the context's
// error when that ends first, and with ErrReleased.
func (t *Table) LockWait(ctx context.Context, k Key, owner Owner, r Range, typ Type) error {
	holder, err := t.Lock(ctx, k, owner, r, typ)
	if err != nil || holder == nil {
		return err
	}
	w := &waiter{owner: owner, r: r, typ: typ, key: k, done: make(chan error, 1)}
	if err := t.join(w); err != nil {
		return err
	}
	defer t.part(w)
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
	}
	t.on(k, func(f *file) {
		if i := slices.Index(f.waiters, w); i >= 0 {
			f.waiters = slices.Delete(f.waiters, i, i+1)
			w.leave(f, ctx.Err())
			f.wake() // who stood behind it
		}
	})
	return <-w.done // granted meanwhile, or ctx.Err
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
		f.enqueue(w)
		f.wake()
	})
	return nil
}

func (t *Table) part(w *waiter) {
	t.waiting.Lock()
	if t.waits[w.owner] == w {
		delete(t.waits, w.owner)
	}
	t.waiting.Unlock()
}

// circle reports whether who w would wait for waits, over any number of
// others, for w's owner. t.waiting is held.
func (t *Table) circle(w *waiter) bool {
	seen := map[Owner]bool{}
	next := []*waiter{w}
	for len(next) > 0 {
		w1 := next[len(next)-1]
		next = next[:len(next)-1]
		for _, o := range t.blockers(w1) {
			if o == w.owner {
				return true
			}
			if !seen[o] {
				seen[o] = true
				if on := t.waits[o]; on != nil {
					next = append(next, on)
				}
			}
		}
	}
	return false
}

// blockers returns whose locks are in the way of w.
func (t *Table) blockers(w *waiter) (owners []Owner) {
	t.on(w.key, func(f *file) {
		for o, h := range f.held {
			if o == w.owner {
				continue
			}
			_, write := h.write.first(w.r)
			_, read := h.read.first(w.r)
			if write || read && w.typ == Write {
				owners = append(owners, o)
			}
		}
	})
	return owners
}
