package lock

import "math/rand/v2"

// span is a byte-range lock that an owner holds or waits for, and a node of the
// tree that it is in.
type span struct {
	Range // this, owner and typ never change: may be read without the lock
	owner Owner
	typ   Type

	prio        uint32 // a parent's is not less than its children's
	id          uint64 // tells spans with one Start apart
	left, right *span
	last        uint64 // the greatest End below and including this
}

func (s *span) holder() *Holder { return &Holder{s.owner, s.Range, s.typ} }

// tree is spans in the order of their Start, to be searched for those that
// overlap a range. It is a treap: the priorities are random, so that no order
// of requests that a guest can think of makes it deep.
type tree struct {
	root *span
	ids  uint64
}

func (t *tree) insert(s *span) {
	t.ids++
	s.id, s.prio, s.left, s.right = t.ids, rand.Uint32(), nil, nil
	s.update()
	before, after := split(t.root, s)
	t.root = join(join(before, s), after)
}

// remove takes out s, which is in the tree.
func (t *tree) remove(s *span) { t.root = without(t.root, s) }

// visit calls yield for what overlaps r, in the order of Start, until that
// returns false.
func (t *tree) visit(r Range, yield func(*span) bool) bool { return t.root.visit(r, yield) }

func (s *span) visit(r Range, yield func(*span) bool) bool {
	if s == nil || s.last < r.Start {
		return true
	}
	if !s.left.visit(r, yield) {
		return false
	}
	if s.Start > r.End {
		return true
	}
	if s.End >= r.Start && !yield(s) {
		return false
	}
	return s.right.visit(r, yield)
}

func (s *span) before(o *span) bool {
	return s.Start < o.Start || s.Start == o.Start && s.id < o.id
}

// update makes last right after a change of the children.
func (s *span) update() {
	s.last = s.End
	if s.left != nil {
		s.last = max(s.last, s.left.last)
	}
	if s.right != nil {
		s.last = max(s.last, s.right.last)
	}
}

// split takes the tree below n apart into what is before and after at.
func split(n, at *span) (before, after *span) {
	if n == nil {
		return nil, nil
	}
	if n.before(at) {
		n.right, after = split(n.right, at)
		n.update()
		return n, after
	}
	before, n.left = split(n.left, at)
	n.update()
	return before, n
}

// join makes one tree of two, all of a being before all of b.
func join(a, b *span) *span {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.prio >= b.prio:
		a.right = join(a.right, b)
		a.update()
		return a
	}
	b.left = join(a, b.left)
	b.update()
	return b
}

func without(n, s *span) *span {
	if n == s {
		return join(n.left, n.right)
	}
	if s.before(n) {
		n.left = without(n.left, s)
	} else {
		n.right = without(n.right, s)
	}
	n.update()
	return n
}

// spans is a set of byte-range locks of any owners. Shared and exclusive ones
// are kept apart, because who asks for a shared lock need not look at the many
// that are shared too.
type spans struct{ reads, writes tree }

func (s *spans) of(typ Type) *tree {
	if typ == Write {
		return &s.writes
	}
	return &s.reads
}

func (s *spans) insert(sp *span) { s.of(sp.typ).insert(sp) }
func (s *spans) remove(sp *span) { s.of(sp.typ).remove(sp) }

// excluding yields the locks of other owners that exclude one of typ on r.
func (s *spans) excluding(owner Owner, r Range, typ Type) func(yield func(*span) bool) {
	return func(yield func(*span) bool) {
		others := func(sp *span) bool { return sp.owner == owner || yield(sp) }
		if s.writes.visit(r, others) && typ == Write {
			s.reads.visit(r, others)
		}
	}
}

// first returns one lock that exclude yields, nil if there is none.
func (s *spans) first(owner Owner, r Range, typ Type) *span {
	for sp := range s.excluding(owner, r, typ) {
		return sp
	}
	return nil
}
