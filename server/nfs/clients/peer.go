package clients

import (
	"net"
	"slices"

	"github.com/fsva/fsva/server/nfs/nfs4"
)

// Bounds on the records of one address. Anybody can make up client owners: what
// one guest does with that must not take the records of the others, nor those of
// the guests that share its address while they mount.
const (
	maxConfirmedOfPeer   = maxClients / 4
	maxUnconfirmedOfPeer = 1024
)

// peer is the records of one address. It is guarded by Registry.mu.
type peer struct {
	unconfirmed []*Client // oldest first
	confirmed   int
}

// peerOf returns the address of a connection's other end without its port.
func peerOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil { // no TCP
		return addr
	}
	return host
}

// makeRoom checks that there is room for another record from an address. If the
// address has too many that wait for their first session, its oldest is
// unlinked and returned. known says that the owner has a confirmed record, which
// the new one may replace. r.mu is held.
func (r *Registry) makeRoom(addr string, known bool) (evicted *Client, err error) {
	if p := r.peers[peerOf(addr)]; p != nil {
		if p.confirmed >= maxConfirmedOfPeer && !known {
			return nil, nfs4.ErrDelay
		}
		if len(p.unconfirmed) >= maxUnconfirmedOfPeer {
			evicted = p.unconfirmed[0]
			r.unlink(evicted)
		}
	}
	if len(r.byID) >= maxClients {
		return evicted, nfs4.ErrDelay
	}
	return evicted, nil
}

// enter counts a new record. r.mu is held.
func (r *Registry) enter(c *Client) {
	host := peerOf(c.Addr)
	p := r.peers[host]
	if p == nil {
		p = new(peer)
		r.peers[host] = p
	}
	p.unconfirmed = append(p.unconfirmed, c)
}

// promote counts a record that is being confirmed. r.mu is held.
func (r *Registry) promote(c *Client) {
	p := r.peers[peerOf(c.Addr)]
	p.dropUnconfirmed(c)
	p.confirmed++
}

// leave counts a record that is being unlinked. r.mu is held.
func (r *Registry) leave(c *Client) {
	host := peerOf(c.Addr)
	p := r.peers[host]
	if c.confirmed {
		p.confirmed--
	} else {
		p.dropUnconfirmed(c)
	}
	if p.confirmed == 0 && len(p.unconfirmed) == 0 {
		delete(r.peers, host)
	}
}

func (p *peer) dropUnconfirmed(c *Client) {
	if i := slices.Index(p.unconfirmed, c); i >= 0 {
		p.unconfirmed = slices.Delete(p.unconfirmed, i, i+1)
	}
}
