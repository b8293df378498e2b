package lock

import (
	"slices"
	"sort"
)

// file is what is held of one file. Its shard's lock guards it. Most files that
// are open have one share and nothing else, and there may be very many, so
// locks is made only when there is one.
type file struct {
	shard  *shard
	key    Key // never changes: may be read without the lock
	shares shares
	locks  *locks
}

// locks is what few files have.
type locks struct {
	spans                     // of all owners
	owners  map[Owner][]*span // the same by owner; disjoint and in order
	waiters []*waiter         // in the order they came
	notices []*notice         // in the order they came
	leases  []*Lease
}

func (l *locks) empty() bool {
	return len(l.owners) == 0 && len(l.waiters) == 0 && len(l.notices) == 0 && len(l.leases) == 0
}

// withLocks returns f.locks, made if there was none.
func (f *file) withLocks() *locks {
	if f.locks == nil {
		f.locks = &locks{owners: make(map[Owner][]*span, 1)}
	}
	return f.locks
}

// trim frees what is not needed any more and reports whether that is all.
func (f *file) trim() bool {
	if f.locks != nil && f.locks.empty() {
		f.locks = nil
	}
	return f.locks == nil && len(f.shares.list) == 0
}

// later has call called once the shard is unlocked.
func (f *file) later(call func()) { f.shard.later = append(f.shard.later, call) }

func (f *file) note(c Client, by int32) { f.shard.index.note(c, f, by) }

// obstacle returns a lock of another owner that excludes one of typ on r, nil
// if there is none.
func (f *file) obstacle(owner Owner, r Range, typ Type) *span {
	if f.locks == nil {
		return nil
	}
	return f.locks.first(owner, r, typ)
}

// blocker is obstacle, as a Holder.
func (f *file) blocker(owner Owner, r Range, typ Type) *Holder {
	if s := f.obstacle(owner, r, typ); s != nil {
		return s.holder()
	}
	return nil
}

// none is the Type of bytes that are not locked.
const none Type = 0xff

// assign makes typ what owner holds of all bytes of r. The caller has seen to
// it that nothing is in the way. freed says that others may get what they did
// not before. ENOLCK if the client would hold too many ranges.
func (f *file) assign(owner Owner, r Range, typ Type) (freed bool, err error) {
	l := f.withLocks()
	held := l.owners[owner]
	near := r.widened()
	i := sort.Search(len(held), func(i int) bool { return held[i].End >= near.Start })
	j, merged := i, r
	var before, after *span // what sticks out of r, of another type
	for ; j < len(held) && held[j].Start <= near.End; j++ {
		s := held[j]
		if s.overlaps(r) && (typ == none || s.typ == Write && typ == Read) {
			freed = true
		}
		if s.typ == typ {
			merged = merged.union(s.Range)
			continue
		}
		if s.Start < r.Start {
			before = &span{Range: Range{s.Start, min(s.End, r.Start-1)}, owner: owner, typ: s.typ}
		}
		if s.End > r.End {
			after = &span{Range: Range{max(s.Start, r.End+1), s.End}, owner: owner, typ: s.typ}
		}
	}
	put := make([]*span, 0, 3)
	if before != nil {
		put = append(put, before)
	}
	if typ != none {
		put = append(put, &span{Range: merged, owner: owner, typ: typ})
	}
	if after != nil {
		put = append(put, after)
	}
	if err := f.replace(owner, i, j, put); err != nil {
		return false, err
	}
	return freed, nil
}

// replace puts these spans where owner has those with numbers i to j.
func (f *file) replace(owner Owner, i, j int, put []*span) error {
	l := f.locks
	held := l.owners[owner]
	if len(held) == 0 && len(put) == 0 {
		return nil
	}
	if len(held) == 0 {
		f.note(owner.Client, 1)
	}
	if grow := len(put) - (j - i); grow != 0 {
		if err := f.shard.index.ranges(owner, int32(grow)); err != nil {
			if len(held) == 0 {
				f.note(owner.Client, -1)
			}
			return err
		}
	}
	for _, s := range held[i:j] {
		l.remove(s)
	}
	for _, s := range put {
		l.insert(s)
	}
	if held = slices.Replace(held, i, j, put...); len(held) > 0 {
		l.owners[owner] = held
		return nil
	}
	delete(l.owners, owner)
	f.note(owner.Client, -1)
	return nil
}

// unlock takes the bytes of r from owner.
func (f *file) unlock(owner Owner, r Range) error {
	if f.locks == nil {
		return nil
	}
	freed, err := f.assign(owner, r, none)
	if freed {
		f.wake(r)
	}
	return err
}

// releaseClient gives back what a client has of the file.
func (f *file) releaseClient(c Client) {
	for i := len(f.shares.list) - 1; i >= 0; i-- { // remove moves the last to i
		if f.shares.list[i].owner.Client == c {
			f.shares.remove(i)
			f.note(c, -1)
		}
	}
	if f.locks == nil {
		return
	}
	for o := range f.locks.owners {
		if o.Client == c {
			f.assign(o, whole, none) // needs no more ranges: cannot fail
		}
	}
	f.dropWaiters(ErrReleased, func(w *waiter) bool { return w.owner.Client == c })
	f.dropNotices(func(n *notice) bool { return n.owner.Client == c })
	f.dropLeases(func(l *Lease) bool { return l.owner.Client == c })
	f.wake(whole)
}
