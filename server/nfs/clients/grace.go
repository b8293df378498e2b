package clients

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsva/fsva/server/nfs/nfs4"
)

// grace is the time after a restart in which clients of before claim back
// what they held and nothing else is granted (RFC 8881 §8.4.2). It ends when
// all of them are done, at once when there are none.
type grace struct {
	active atomic.Bool

	mu      sync.Mutex // guards what follows; a leaf
	until   time.Time
	latest  time.Time       // no extension goes beyond
	pending map[string]bool // owners that may reclaim and are not done
}

func (g *grace) start(r *Registry) error {
	recorded, err := r.cfg.Store.Clients()
	if err != nil {
		return fmt.Errorf("read client records: %w", err)
	}
	if len(recorded) == 0 {
		return nil
	}
	g.pending = make(map[string]bool, len(recorded))
	for _, c := range recorded {
		g.pending[string(c.Owner)] = true
	}
	now := r.cfg.Clock()
	g.until = now.Add(r.cfg.Grace)
	g.latest = now.Add(graceLimit * r.cfg.Grace)
	g.active.Store(true)
	r.cfg.Log.Info().Int("clients", len(recorded)).Dur("grace", r.cfg.Grace).Msg("grace period: waiting for clients to reclaim their state")
	return nil
}

// sweep ends the period when its time is over. Who has not come loses the
// right to reclaim, durably, before anything is granted to others.
func (g *grace) sweep(r *Registry, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.active.Load() || now.Before(g.until) {
		return
	}
	g.end(r)
}

// end is called with g.mu held.
func (g *grace) end(r *Registry) {
	late := make([][]byte, 0, len(g.pending))
	for owner := range g.pending {
		late = append(late, []byte(owner))
	}
	if err := r.cfg.Store.DeleteClient(late...); err != nil {
		r.cfg.Log.Error().Err(err).Msg("grace period goes on: client records cannot be deleted")
		return
	}
	for _, owner := range late {
		r.cfg.Log.Warn().Bytes("owner", owner).Msg("client did not reclaim in time; what it held is free")
	}
	clear(g.pending)
	g.active.Store(false)
	r.cfg.Log.Info().Msg("grace period is over")
}

// settle notes that owner has nothing more to reclaim.
func (g *grace) settle(r *Registry, owner string) {
	if !g.active.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.pending, owner)
	if g.active.Load() && len(g.pending) == 0 {
		g.end(r)
	}
}

// graceLimit bounds, in grace periods, how long one can last while clients
// keep reclaiming.
const graceLimit = 3

// claim also keeps the period open for the next claim of a client that is at
// it: many clients, or much state, take their time.
func (g *grace) claim(r *Registry, owner string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.active.Load():
		return nfs4.ErrNoGrace
	case !g.pending[owner]:
		return nfs4.ErrReclaimBad
	}
	more := r.cfg.Clock().Add(r.cfg.Grace / 2)
	if more.After(g.latest) {
		more = g.latest
	}
	if more.After(g.until) {
		g.until = more
	}
	return nil
}

// InGrace reports whether only reclaims are granted now.
func (r *Registry) InGrace() bool { return r.grace.active.Load() }

// EndGrace ends the grace period by order of the operator; waiting lists the
// clients that lose their claims.
func (r *Registry) EndGrace() (waiting []string) {
	g := &r.grace
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.active.Load() {
		return nil
	}
	for owner := range g.pending {
		waiting = append(waiting, owner)
	}
	g.end(r)
	return waiting
}

// CheckReclaim says whether the client may reclaim state now.
func (c *Client) CheckReclaim() error {
	if c.reclaimed.Load() {
		return nfs4.ErrNoGrace
	}
	return c.reg.grace.claim(c.reg, c.Owner)
}
