package clients

import (
	"fmt"
	"hash/maphash"
	"sync"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/state"
)

// A client is on record, in package state, from before it is granted anything
// until it holds nothing any more: after a restart the server waits for the
// clients on record to reclaim, and for no others.

// ownerLocks has a lock for each client owner, shared with few others: clients
// that are recorded at the same time share an fsync.
type ownerLocks struct {
	seed maphash.Seed
	mu   [256]sync.Mutex
}

func (l *ownerLocks) of(owner string) *sync.Mutex {
	return &l.mu[maphash.String(l.seed, owner)%uint64(len(l.mu))]
}

// CheckGrant says whether the client may be granted new state now: not in the
// grace period, and not before it has said that it is done reclaiming (RFC
// 8881 §8.4.2.1, §18.51.3). If it may, it is on record.
func (c *Client) CheckGrant() error {
	switch {
	case c.reg.InGrace() || !c.reclaimed.Load():
		return nfs4.ErrGrace
	case c.recorded.Load():
		return nil
	}
	return c.record()
}

// ReclaimComplete is RECLAIM_COMPLETE (RFC 8881 §18.51). The client is on
// record before it is answered, so that what it is granted from now on can be
// reclaimed after a restart.
func (c *Client) ReclaimComplete() error {
	if c.reclaimed.Load() {
		return nfs4.ErrCompleteAlready
	}
	// First of all the end of the grace period must not take it for one
	// that is late: it would delete the new record. The old one stays.
	c.reg.grace.settle(c.reg, c.Owner)
	if err := c.record(); err != nil {
		return err
	}
	c.reclaimed.Store(true)
	return nil
}

// record puts the client on record durably.
func (c *Client) record() error {
	recording := c.reg.recording.of(c.Owner)
	recording.Lock()
	defer recording.Unlock()
	if !c.reg.knows(c) {
		return nfs4.ErrDeadsession // the owner's record is not its own any more
	}
	err := c.reg.cfg.Store.PutClient(state.Client{
		Owner:     []byte(c.Owner),
		Verifier:  [8]byte(c.Verifier),
		Principal: fmt.Sprintf("%d:%d", c.Principal.Flavor, c.Principal.UID),
		Addr:      c.Addr,
		Boot:      c.reg.cfg.Store.BootCount(),
	})
	if err != nil {
		return fmt.Errorf("client %v cannot be recorded: %w", c, err)
	}
	c.recorded.Store(true)
	return nil
}

// strike takes a silent client that holds nothing off the record, so that a
// restart need not wait for it. A request that begins meanwhile either is
// seen here, or sees that the client has to be put on record again.
func (c *Client) strike() {
	recording := c.reg.recording.of(c.Owner)
	recording.Lock()
	defer recording.Unlock()
	if !c.recorded.Swap(false) || c.busy.Load() > 0 || c.holdsState() || !c.reg.knows(c) {
		return
	}
	if err := c.reg.forget(c); err != nil {
		c.reg.cfg.Log.Error().Err(err).Msg("a restart will wait for a client that is gone")
	}
}

// retire takes away a silent client's right to reclaim and unlinks it; false if
// it is not silent any more. Whoever took its place has that right, and keeps it.
func (r *Registry) retire(c *Client) (bool, error) {
	recording := r.recording.of(c.Owner)
	recording.Lock()
	defer recording.Unlock()
	switch {
	case !c.Courtesy():
		return false, nil
	case !r.knows(c):
		return true, nil
	}
	if err := r.forget(c); err != nil {
		return false, err
	}
	r.mu.Lock()
	r.unlink(c)
	r.mu.Unlock()
	return true, nil
}

// forget takes away a client's right to reclaim. The owner's recording is held,
// and c was known under it: no other incarnation is on record.
func (r *Registry) forget(c *Client) error {
	if err := r.cfg.Store.DeleteClient([]byte(c.Owner)); err != nil {
		return fmt.Errorf("client %v: its reclaim record cannot be deleted: %w", c, err)
	}
	return nil
}
