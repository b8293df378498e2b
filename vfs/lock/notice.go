package lock

import "slices"

// notice is a call of Notify that is pending.
type notice struct {
	owner Owner
	r     Range
	typ   Type
	call  func()
}

// Notify has call called once when nothing is in the way of the lock any more,
// so that Lock may succeed now, though another may come first; at once if
// nothing is. Notices are called in the order of Notify. cancel forgets about
// it. A later Notify of the same owner and range takes its place, and the
// release of the client takes it away.
//
// It is a hint: a client can have 1024 pending, and beyond that call is never
// called. Who gets it goes on asking now and then.
func (t *Table) Notify(k Key, owner Owner, r Range, typ Type, call func()) (cancel func()) {
	n := &notice{owner, r, typ, call}
	t.on(k, func(f *file) {
		if f.locks != nil {
			f.dropNotices(func(o *notice) bool { return o.owner == owner && o.r == r })
		}
		if f.obstacle(owner, r, typ) == nil {
			f.later(call)
			return
		}
		f.note(owner.Client, 1)
		if !f.shard.index.notices(owner.Client, 1) {
			f.note(owner.Client, -1)
			return
		}
		f.locks.notices = append(f.locks.notices, n)
	})
	return func() {
		t.peek(k, func(f *file) {
			if f.locks != nil {
				f.dropNotices(func(o *notice) bool { return o == n })
			}
		})
	}
}

func (f *file) dropNotices(which func(*notice) bool) {
	f.locks.notices = slices.DeleteFunc(f.locks.notices, func(n *notice) bool {
		if !which(n) {
			return false
		}
		f.shard.index.notices(n.owner.Client, -1)
		f.note(n.owner.Client, -1)
		return true
	})
}
