package lock

import "slices"

// share is what one owner has a file open for and denies to others.
type share struct {
	owner        Owner
	access, deny Share
}

// shares are the opens of a file. The counts tell in most cases that nothing
// conflicts without a look at the list.
type shares struct {
	list   []share
	places map[Owner]int // in list, once it is long
	access [2]int        // opens that read, that write
	deny   [2]int        // opens that deny reading, writing
}

// manyShares is where finding an owner in the list gets slower than in a map.
const manyShares = 16

func (s *shares) find(owner Owner) int {
	if s.places != nil {
		if i, ok := s.places[owner]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(s.list, func(sh share) bool { return sh.owner == owner })
}

func (s *shares) tally(sh share, by int) {
	for bit := range 2 {
		if sh.access&(1<<bit) != 0 {
			s.access[bit] += by
		}
		if sh.deny&(1<<bit) != 0 {
			s.deny[bit] += by
		}
	}
}

func (s *shares) put(sh share) {
	s.tally(sh, 1)
	s.list = append(s.list, sh)
	if s.places != nil {
		s.places[sh.owner] = len(s.list) - 1
	} else if len(s.list) > manyShares {
		s.places = make(map[Owner]int, 2*manyShares)
		for i, sh := range s.list {
			s.places[sh.owner] = i
		}
	}
}

func (s *shares) remove(i int) {
	s.tally(s.list[i], -1)
	last := len(s.list) - 1
	if s.places != nil {
		delete(s.places, s.list[i].owner)
		if i != last {
			s.places[s.list[last].owner] = i
		}
	}
	s.list[i] = s.list[last]
	s.list[last] = share{}
	s.list = s.list[:last]
}

// others counts the shares of others than own that have one of these bits.
func excess(count [2]int, own, want Share) bool {
	for bit := range 2 {
		mine := int(own >> bit & 1)
		if want&(1<<bit) != 0 && count[bit] > mine {
			return true
		}
	}
	return false
}

// shareConflict returns an owner whose share excludes these, a zero Owner if
// there is none.
func (f *file) shareConflict(owner Owner, access, deny Share) Owner {
	s := &f.shares
	var own share
	if i := s.find(owner); i >= 0 && owner != (Owner{}) {
		own = s.list[i]
	}
	if !excess(s.deny, own.deny, access) && !excess(s.access, own.access, deny) {
		return Owner{}
	}
	for _, sh := range s.list {
		if sh.owner != owner && (sh.deny&access != 0 || sh.access&deny != 0) {
			return sh.owner
		}
	}
	return Owner{}
}

// setShare is Table.SetShare. It returns who was in the way.
func (f *file) setShare(owner Owner, access, deny Share) (Owner, error) {
	if access|deny != 0 {
		if by := f.shareConflict(owner, access, deny); by != (Owner{}) {
			return by, ErrShareConflict
		}
		if by := f.breakLeases(owner, access&ShareWrite != 0 || deny&ShareRead != 0); by != (Owner{}) {
			return by, ErrLeaseBreaking
		}
	}
	if i := f.shares.find(owner); i >= 0 {
		f.shares.remove(i)
		f.table.count(owner.Client, f.key, -1)
	}
	if access|deny != 0 {
		f.shares.put(share{owner, access, deny})
		f.table.count(owner.Client, f.key, 1)
	}
	return Owner{}, nil
}
