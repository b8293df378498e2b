package lock

import "slices"

// share is what one owner has a file open for and denies to others.
type share struct {
	owner        Owner
	access, deny Share
}

// breaksRead reports whether the share is more than a Read lease bears.
func (s share) breaksRead() bool { return s.access&ShareWrite != 0 || s.deny&ShareRead != 0 }

// shares are the opens of a file. The counts tell in most cases that nothing
// conflicts without a look at the list.
type shares struct {
	list   []share
	places map[Owner]int // in list, once it is long
	access [2]uint32     // how many read, how many write
	deny   [2]uint32     // how many deny reading, writing
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

// tally counts sh in or, with by = -1, out.
func (s *shares) tally(sh share, by int) {
	for bit := range 2 {
		if sh.access&(1<<bit) != 0 {
			s.access[bit] += uint32(by)
		}
		if sh.deny&(1<<bit) != 0 {
			s.deny[bit] += uint32(by)
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

func (s *shares) replace(i int, sh share) {
	s.tally(s.list[i], -1)
	s.tally(sh, 1)
	s.list[i] = sh
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

// others reports whether more than own have one of the bits want.
func others(count [2]uint32, own, want Share) bool {
	for bit := range 2 {
		if want>>bit&1 != 0 && count[bit] > uint32(own>>bit&1) {
			return true
		}
	}
	return false
}

// conflict returns an owner whose share excludes sh, a zero Owner if there is
// none.
func (s *shares) conflict(sh share) Owner {
	var own share
	if i := s.find(sh.owner); i >= 0 {
		own = s.list[i]
	}
	if !others(s.deny, own.deny, sh.access) && !others(s.access, own.access, sh.deny) {
		return Owner{}
	}
	for _, o := range s.list {
		if o.owner != sh.owner && (o.deny&sh.access != 0 || o.access&sh.deny != 0) {
			return o.owner
		}
	}
	return Owner{}
}

// setShare puts sh in the place of what its owner has. It returns who is in the
// way.
func (f *file) setShare(sh share) (Owner, error) {
	if by := f.shares.conflict(sh); by != (Owner{}) {
		return by, ErrShareConflict
	}
	if by := f.breakLeases(sh.owner, sh.breaksRead()); by != (Owner{}) {
		return by, ErrLeaseBreaking
	}
	if i := f.shares.find(sh.owner); i >= 0 {
		f.shares.replace(i, sh)
		return Owner{}, nil
	}
	f.shares.put(sh)
	f.note(sh.owner.Client, 1)
	return Owner{}, nil
}

// dropShare takes away what owner has.
func (f *file) dropShare(owner Owner) {
	if i := f.shares.find(owner); i >= 0 {
		f.shares.remove(i)
		f.note(owner.Client, -1)
	}
}
