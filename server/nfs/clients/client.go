package clients

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs/lock"
)

// Identity is what EXCHANGE_ID says of a client.
type Identity struct {
	Owner     string // co_ownerid
	Verifier  nfs4.Verifier
	Principal Principal
	Addr      string // of the connection it came over
	Minor     uint32
	Impl      string // implementation name, for listings
}

// Principal is who sent a request, as far as it matters for owning a client
// record.
type Principal struct {
	Flavor uint32
	UID    uint32
}

// Client is one record of a client: an incarnation of a guest's NFS client.
type Client struct {
	ID nfs4.ClientID
	Identity
	reg *Registry

	seen      atomic.Int64 // nanoseconds since 1970 of the last sign of life
	busy      atomic.Int32 // requests under way
	courtesy  atomic.Bool  // the lease ran out; see Courtesy
	reclaimed atomic.Bool  // RECLAIM_COMPLETE has been done
	recorded  atomic.Bool  // on record; set under Registry.recording
	hints     atomic.Int32 // callbacks of Hint under way
	kept      atomic.Int64 // bytes of replies that its sessions' slots may keep

	// Guarded by Registry.mu.
	confirmed bool
	sessions  []*Session
	create    createSlot

	// mu guards what follows.
	mu     sync.Mutex
	dead   bool // no state may be added
	serial uint32
	opens  map[openKey]*Open
	states map[uint32]State
}

// String names protocol and client, for listings and logs.
func (c *Client) String() string {
	return fmt.Sprintf("nfs4.%d %s (%q)", c.Minor, c.Addr, c.Owner)
}

// touch renews the lease.
func (c *Client) touch(now time.Time) { c.seen.Store(now.UnixNano()) }

func (c *Client) lastSeen() time.Time { return time.Unix(0, c.seen.Load()) }

// Begin notes that a request of the client is being served: its lease is
// renewed and cannot run out before End.
func (c *Client) Begin(now time.Time) {
	c.busy.Add(1)
	c.touch(now)
	if c.courtesy.Load() && c.courtesy.CompareAndSwap(true, false) {
		c.reg.cfg.Log.Info().Stringer("client", c).Msg("client is back; nothing it held was lost")
	}
}

// End notes that a request is done.
func (c *Client) End() { c.busy.Add(-1) }

// reserve takes bytes of what the client may have kept for replay, or gives back
// a negative number of them; false if that would be too much.
func (c *Client) reserve(bytes int64) bool {
	if c.kept.Add(bytes) <= maxReplyCache {
		return true
	}
	c.kept.Add(-bytes)
	return false
}

// Courtesy implements lock.Client: the lease has run out and nothing is under
// way.
func (c *Client) Courtesy() bool {
	return c.busy.Load() == 0 && c.reg.cfg.Clock().Sub(c.lastSeen()) > c.reg.cfg.Lease
}

// Expire implements lock.Client: it ends a courtesy. The right to reclaim goes
// first and durably, for what is given to another now must not be claimed back
// after a restart (RFC 8881 §8.4.3).
func (c *Client) Expire(context.Context) error {
	if !c.Courtesy() {
		return nil // it came back; the conflict is a real one
	}
	gone, err := c.reg.retire(c)
	if gone {
		c.reg.cfg.Log.Info().Stringer("client", c).Msg("state of a silent client given up to another")
		c.release()
	}
	return err
}

// release gives back everything the client holds. A request of it that is under
// way meanwhile finds the client dead when it adds state.
func (c *Client) release() {
	c.mu.Lock()
	c.dead = true
	opens := c.opens
	c.opens, c.states = nil, nil
	c.mu.Unlock()
	c.reg.cfg.Locks.ReleaseClient(c)
	for _, o := range opens {
		o.file.close()
	}
}

// endUnused sees to it that a client which holds nothing gets nothing from now
// on; false if it holds something.
func (c *Client) endUnused() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.states) > 0 {
		return false
	}
	c.dead = true
	return true
}

func (c *Client) holdsState() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.states) > 0
}

func (c *Client) stateCounts() (opens, locks int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.opens), len(c.states) - len(c.opens)
}

// opensIn returns the opens of files of an export.
func (c *Client) opensIn(exportID uint32) (opens []*Open) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, o := range c.opens {
		if key.file.Export == exportID {
			opens = append(opens, o)
		}
	}
	return opens
}

var _ lock.Client = (*Client)(nil)
