package lock

import (
	"math"
	"slices"
	"sort"
)

// whole is every byte of a file.
var whole = Range{0, math.MaxUint64}

// file is what is held of one file. Its shard's lock guards it. Most files
// that are open have one share and nothing else, so the rest is made when it
// is needed.
type file struct {
	table *Table
	key   Key

	shares shares

	held   map[Owner]*held
	writes []writeLock // all exclusive locks, which are disjoint, in order

	waiters []*waiter // in the order they came
	leases  []*Lease

	later []func() // to call once the shard is unlocked
}

// held is the byte-range locks of an owner; a byte is in at most one of them.
type held struct{ read, write ranges }

type writeLock struct {
	Range
	owner Owner
}

func (f *file) empty() bool {
	return len(f.shares.list) == 0 && len(f.held) == 0 && len(f.waiters) == 0 && len(f.leases) == 0
}

// conflict returns a lock of another owner that excludes one of typ on r.
func (f *file) conflict(owner Owner, r Range, typ Type) *Holder {
	i := sort.Search(len(f.writes), func(i int) bool { return f.writes[i].End >= r.Start })
	for ; i < len(f.writes) && f.writes[i].Start <= r.End; i++ {
		if w := f.writes[i]; w.owner != owner || owner == (Owner{}) {
			return &Holder{w.owner, w.Range, Write}
		}
	}
	if typ == Read {
		return nil
	}
	for o, h := range f.held {
		if o == owner {
			continue
		}
		if in, ok := h.read.first(r); ok {
			return &Holder{o, in, Read}
		}
	}
	return nil
}

// set gives owner a lock that nothing excludes.
func (f *file) set(owner Owner, r Range, typ Type) {
	h := f.held[owner]
	if h == nil {
		if f.held == nil {
			f.held = make(map[Owner]*held, 1)
		}
		h = new(held)
		f.held[owner] = h
		f.table.count(owner.Client, f.key, 1)
	}
	weaker := len(h.write) > 0 && typ == Read
	h.read, h.write = h.read.remove(r), h.write.remove(r)
	if typ == Write {
		h.write = h.write.add(r)
	} else {
		h.read = h.read.add(r)
	}
	f.reindex(owner, r, typ == Write)
	if weaker {
		f.wake()
	}
}

// clear takes the bytes of r from owner.
func (f *file) clear(owner Owner, r Range) {
	h := f.held[owner]
	if h == nil {
		return
	}
	h.read, h.write = h.read.remove(r), h.write.remove(r)
	f.reindex(owner, r, false)
	if len(h.read) == 0 && len(h.write) == 0 {
		delete(f.held, owner)
		f.table.count(owner.Client, f.key, -1)
	}
	f.wake()
}

// reindex makes writes right for the bytes of r, which owner has exclusively
// (write) or not any more.
func (f *file) reindex(owner Owner, r Range, write bool) {
	i := sort.Search(len(f.writes), func(i int) bool { return f.writes[i].End >= r.Start })
	var put []writeLock
	j := i
	for ; j < len(f.writes) && f.writes[j].Start <= r.End; j++ {
		w := f.writes[j]
		if w.Start < r.Start {
			put = append(put, writeLock{Range{w.Start, r.Start - 1}, owner})
		}
		if w.End > r.End {
			put = append(put, writeLock{Range{r.End + 1, w.End}, owner})
		}
	}
	if write {
		at := 0
		if len(put) > 0 && put[0].End < r.Start {
			at = 1
		}
		put = slices.Insert(put, at, writeLock{r, owner})
	}
	f.writes = slices.Replace(f.writes, i, j, put...)
}

// releaseClient gives back what a client has of the file.
func (f *file) releaseClient(c Client) {
	for o := range f.held {
		if o.Client == c {
			f.clear(o, whole)
		}
	}
	for _, s := range slices.Clone(f.shares.list) {
		if s.owner.Client == c {
			f.setShare(s.owner, 0, 0)
		}
	}
	f.waiters = slices.DeleteFunc(f.waiters, func(w *waiter) bool {
		if w.owner.Client != c {
			return false
		}
		w.leave(f, ErrReleased)
		return true
	})
	for _, l := range slices.Clone(f.leases) {
		if l.owner.Client == c {
			f.dropLease(l)
		}
	}
	f.wake()
}
