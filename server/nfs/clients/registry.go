// Package clients keeps what an NFSv4.1 server remembers of its clients
// (RFC 8881 §2.4, §2.10, §8): who they are, their sessions with the replies
// kept for replay, their opens and byte-range locks by stateid, their leases,
// and who may reclaim what after a restart.
//
// The parts, from the outside in: a [Registry] holds the [Client]s of a
// server; a Client holds [Session]s, whose slots give exactly-once replies,
// and state: [Open]s and the [Locks] taken under them. What conflicts with
// what is not decided here but in package lock, which sees all protocols;
// what must outlive a restart is in package state. Time comes from a clock
// that tests set.
//
// A client whose lease has run out keeps its state as a courtesy until
// somebody else wants what it holds: then package lock calls Client.Expire.
// One that holds nothing keeps its sessions for a while: a guest that was
// paused in the middle of a call still gets its reply, and no second effect.
package clients

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"hash/maphash"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/state"
	"github.com/fsva/fsva/vfs/lock"
)

// Config is what a Registry needs.
type Config struct {
	Store *state.Store
	Locks *lock.Table
	Lease time.Duration // how long a silent client keeps its state for certain
	Grace time.Duration // how long after a restart only reclaims are granted
	Clock func() time.Time
	Log   zerolog.Logger
}

// Bounds on what clients can make the server remember; those on what comes from
// one address are in peer.go.
const (
	maxClients         = 65536
	maxSessions        = 64      // of one client
	maxStatesPerClient = 1 << 20 // opens and lock states
	courtesyLimit      = 24 * time.Hour
	idleLimit          = time.Hour // for a silent client that holds nothing
	idleClients        = 8192      // beyond so many clients, that is its lease
)

// Registry is the clients of one server.
type Registry struct {
	cfg   Config
	grace grace

	// mu guards the maps and the fields of Client that say so. Lock order:
	// the owner's of recording, then Registry.mu, then Client.mu, then
	// Session.mu. None of them is held while calling package lock or a file
	// system; Open.mu is, and comes before them all.
	mu       sync.RWMutex
	byID     map[nfs4.ClientID]*Client
	byOwner  map[string]*records
	peers    map[string]*peer // by address
	sessions map[nfs4.SessionID]*Session

	// recording is held while the record of a client owner changes in the
	// store: what is known of the owner, and what is written because of
	// that, is then one step for all its incarnations.
	recording ownerLocks
}

// records are the two a client owner can have at a time: one that has a
// session, and one that waits for its first (RFC 8881 §18.35.4).
type records struct{ confirmed, unconfirmed *Client }

// NewRegistry reads who may reclaim from the store and starts the grace
// period if there is anybody.
func NewRegistry(cfg Config) (*Registry, error) {
	r := &Registry{
		cfg:      cfg,
		byID:     make(map[nfs4.ClientID]*Client),
		byOwner:  make(map[string]*records),
		peers:    make(map[string]*peer),
		sessions: make(map[nfs4.SessionID]*Session),

		recording: ownerLocks{seed: maphash.MakeSeed()},
	}
	if err := r.grace.start(r); err != nil {
		return nil, err
	}
	return r, nil
}

// Run sweeps until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	every := min(max(r.cfg.Lease/8, 100*time.Millisecond), 5*time.Second)
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.Sweep(ctx)
		}
	}
}

// Sweep does what the passing of time asks for: it ends the grace period, and
// after that forgets clients that never got a session, or hold nothing and are
// not coming back, and gives up courtesy that has lasted for a day.
func (r *Registry) Sweep(ctx context.Context) {
	now := r.cfg.Clock()
	r.grace.sweep(r, now)
	if r.InGrace() {
		return // who waits for the others to reclaim has a reason to be silent
	}
	var gone, idle, spent []*Client
	r.mu.RLock()
	keepIdle := idleLimit
	if len(r.byID) > idleClients {
		keepIdle = r.cfg.Lease
	}
	for _, c := range r.byID {
		silent := now.Sub(c.lastSeen())
		switch {
		case c.busy.Load() > 0 || silent <= r.cfg.Lease:
		case !c.confirmed:
			gone = append(gone, c)
		case !c.holdsState():
			if silent > keepIdle {
				gone = append(gone, c)
			}
			if c.recorded.Load() {
				idle = append(idle, c)
			}
		case silent > courtesyLimit:
			spent = append(spent, c)
		case c.courtesy.CompareAndSwap(false, true):
			r.cfg.Log.Info().Stringer("client", c).Dur("silent", silent).Msg("lease ran out; state is kept until somebody needs it")
		}
	}
	r.mu.RUnlock()
	for _, c := range idle {
		c.strike()
	}
	for _, c := range gone {
		r.dropUnused(c, now)
	}
	for _, c := range spent {
		if err := c.Expire(ctx); err != nil {
			r.cfg.Log.Error().Err(err).Stringer("client", c).Msg("cannot expire client")
		}
	}
}

// Session returns the session of that id, nil if there is none.
func (r *Registry) Session(id nfs4.SessionID) *Session {
	r.mu.RLock()
	s := r.sessions[id]
	r.mu.RUnlock()
	return s
}

// Client returns the client of that id, nil if there is none.
func (r *Registry) Client(id nfs4.ClientID) *Client {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byID[id]
}

// Counts returns how many clients, sessions and states there are.
func (r *Registry) Counts() (clients, sessions, opens, locks int) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, c := range r.byID {
		o, l := c.stateCounts()
		opens, locks = opens+o, locks+l
	}
	return len(r.byID), len(r.sessions), opens, locks
}

// Each calls f for every confirmed client until it returns false.
func (r *Registry) Each(f func(*Client) bool) {
	r.mu.RLock()
	list := make([]*Client, 0, len(r.byID))
	for _, c := range r.byID {
		if c.confirmed {
			list = append(list, c)
		}
	}
	r.mu.RUnlock()
	for _, c := range list {
		if !f(c) {
			return
		}
	}
}

// Revoke takes away what clients have open and locked in an export that is no
// longer served. What their requests then meet is NFS4ERR_STALE.
func (r *Registry) Revoke(ctx context.Context, exportID uint32) {
	r.Each(func(c *Client) bool {
		for _, o := range c.opensIn(exportID) {
			_ = o.Close(ctx) // or the client was faster
		}
		return true
	})
}

// newClient makes an unconfirmed record. r.mu is held.
func (r *Registry) newClient(id Identity) *Client {
	c := &Client{
		reg:      r,
		ID:       r.newClientID(),
		Identity: id,
		opens:    make(map[openKey]*Open),
		states:   make(map[uint32]State),
	}
	c.touch(r.cfg.Clock())
	r.byID[c.ID] = c
	r.enter(c)
	return c
}

// knows reports whether c has not been unlinked.
func (r *Registry) knows(c *Client) bool { return r.Client(c.ID) == c }

// unlink takes a client and its sessions out of the maps, if it is there. r.mu
// is held.
func (r *Registry) unlink(c *Client) {
	if r.byID[c.ID] != c {
		return
	}
	delete(r.byID, c.ID)
	r.leave(c)
	if rec := r.byOwner[c.Owner]; rec != nil {
		if rec.confirmed == c {
			rec.confirmed = nil
		}
		if rec.unconfirmed == c {
			rec.unconfirmed = nil
		}
		if rec.confirmed == nil && rec.unconfirmed == nil {
			delete(r.byOwner, c.Owner)
		}
	}
	for _, s := range c.sessions {
		delete(r.sessions, s.ID)
		s.kill()
	}
	c.sessions = nil
}

// dropUnused forgets a client that was silent and held nothing at the time of
// found, unless it has come back since. A request that comes just now finds the
// session gone, or the client dead when it adds state.
func (r *Registry) dropUnused(c *Client, found time.Time) {
	r.mu.Lock()
	drop := c.busy.Load() == 0 && found.Sub(c.lastSeen()) > r.cfg.Lease && c.endUnused()
	if drop {
		r.unlink(c)
	}
	r.mu.Unlock()
	if drop {
		c.release()
	}
}

// newClientID returns an id that cannot be guessed: CREATE_SESSION gives whoever
// has it a session of the client, or the id of the one it made last. Zero is
// left for no client. That no client of an earlier start has it, which must
// meet NFS4ERR_STALE_CLIENTID (RFC 8881 §2.4.2), is as certain as that nobody
// guesses it. r.mu is held.
func (r *Registry) newClientID() nfs4.ClientID {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails
		id := nfs4.ClientID(binary.BigEndian.Uint64(b[:]))
		if id != 0 && r.byID[id] == nil {
			return id
		}
	}
}

// newSessionID returns an id that cannot be guessed: over AUTH_SYS it is what
// stands between a guest and another guest's session.
func newSessionID() (id nfs4.SessionID) {
	rand.Read(id[:]) // never fails
	return id
}

// other makes the part of a stateid that does not change.
func (c *Client) other(serial uint32) (o [nfs4.OtherLen]byte) {
	binary.BigEndian.PutUint64(o[:8], uint64(c.ID))
	binary.BigEndian.PutUint32(o[8:], serial)
	return o
}
