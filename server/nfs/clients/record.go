package clients

import (
	"fmt"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/state"
)

// A client is on record, in package state, from before it is granted anything
// until it holds nothing any more: after a restart the server waits for the
// clients on record to reclaim, and for no others.

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
	if err := c.record(); err != nil {
		return err
	}
	c.reclaimed.Store(true)
	c.reg.grace.settle(c.reg, c.Owner)
	return nil
}

// record puts the client on record durably.
func (c *Client) record() error {
	c.recording.Lock()
	defer c.recording.Unlock()
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
	c.recording.Lock()
	defer c.recording.Unlock()
	if !c.recorded.Swap(false) || c.busy.Load() > 0 || c.holdsState() {
		return
	}
	if err := c.reg.forget(c); err != nil {
		c.reg.cfg.Log.Error().Err(err).Msg("a restart will wait for a client that is gone")
	}
}

// forget takes away a client's right to reclaim.
func (r *Registry) forget(c *Client) error {
	if err := r.cfg.Store.DeleteClient([]byte(c.Owner)); err != nil {
		return fmt.Errorf("client %v: its reclaim record cannot be deleted: %w", c, err)
	}
	return nil
}
