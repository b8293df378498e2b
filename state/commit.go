package state

import (
	"slices"

	bolt "go.etcd.io/bbolt"
)

// group is changes that are committed together. The one who began it commits
// it; the others wait for done.
type group struct {
	changes []*change
	done    chan struct{}
}

type change struct {
	apply func(*bolt.Tx) error
	err   error // of this change, once the group is done
}

// update makes a change durable. Changes that come while another group is
// being written gather into the next and share its fsync; one that comes alone
// waits for nobody. (DB.Batch of bbolt would let it wait for company.)
//
// apply may run more than once, each time on a fresh transaction; what counts
// is the last. When it fails it changes nothing, and the others of its group
// are done without it.
func (s *Store) update(apply func(*bolt.Tx) error) error {
	c := &change{apply: apply}
	s.mu.Lock()
	g := s.next
	first := g == nil
	if first {
		g = &group{done: make(chan struct{})}
		s.next = g
	}
	g.changes = append(g.changes, c)
	s.mu.Unlock()

	if first {
		s.writing.Lock()
		s.mu.Lock()
		s.next = nil // from here on the group is this goroutine's
		s.mu.Unlock()
		s.commit(g.changes)
		s.writing.Unlock()
		close(g.done)
	} else {
		<-g.done
	}
	if c.err != nil {
		return s.explain(c.err)
	}
	return nil
}

// commit writes changes in one transaction, leaving out those that fail.
func (s *Store) commit(changes []*change) {
	for len(changes) > 0 {
		failed := -1
		err := guard(func() error {
			return s.db.Update(func(tx *bolt.Tx) error {
				for i, c := range changes {
					failed = i
					if err := c.apply(tx); err != nil {
						return err
					}
				}
				failed = -1
				return nil
			})
		})
		if failed < 0 { // the transaction as a whole went this way
			for _, c := range changes {
				c.err = err
			}
			return
		}
		changes[failed].err = err
		changes = slices.Delete(changes, failed, failed+1)
	}
}

// view reads.
func (s *Store) view(read func(*bolt.Tx) error) error {
	if err := guard(func() error { return s.db.View(read) }); err != nil {
		return s.explain(err)
	}
	return nil
}
