package dhcp

import (
	"net"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/fsva/fsva/hostbridge/site"
)

// Times of what is granted. Who has an address keeps it for a day without us,
// and asks again each hour, which is when it learns that the file has changed.
const (
	lifetime = 24 * time.Hour
	renewal  = time.Hour
	rebind   = 21 * time.Hour
)

// table is who gets what. It does not change.
type table struct {
	*site.Site
	clients map[[6]byte]*client
}

// client is somebody on the bridge.
type client struct {
	site.Identity
	asks4, asks6 allowance   // each belongs to the reader of its family
	told         atomic.Bool // that it has its address
}

func newTable(s *site.Site) *table {
	t := &table{s, make(map[[6]byte]*client)}
	for _, p := range s.Ports() {
		t.clients[[6]byte(p.MAC)] = &client{Identity: p.Identity}
	}
	return t
}

// allowance bounds how often somebody is answered. Its zero value is full.
type allowance struct {
	used float64
	at   time.Time
}

// A machine that boots asks a few times in a second, and then once an hour.
const (
	askBurst  = 20.0
	askSecond = 5.0
)

func (a *allowance) take(now time.Time) bool {
	a.used = max(0, a.used-askSecond*now.Sub(a.at).Seconds())
	a.at = now
	if a.used+1 > askBurst {
		return false
	}
	a.used++
	return true
}

// answer is what is to be sent for a frame, nil if nothing is, and who sent it.
// Who it is from is its MAC alone, to which the firewall has held it.
func (t *table) answer(f []byte, now time.Time) (*datagram, *client) {
	if len(f) < etherHeader {
		return nil, nil
	}
	c := t.clients[[6]byte(f[6:12])]
	if c == nil {
		return nil, nil
	}
	asks := &c.asks4
	if f[12] != unix.ETH_P_IP>>8 {
		asks = &c.asks6
	}
	if !asks.take(now) { // before anything is done for it
		return nil, c
	}
	return t.reply(c, f), c
}

// reply answers somebody.
func (t *table) reply(c *client, f []byte) *datagram {
	d, ok := parse(f)
	switch {
	case !ok:
	case d.source.Is4():
		if d.sourcePort == clientPort && d.targetPort == serverPort {
			return t.reply4(c, d.payload)
		}
	case !t.IPv6():
	case d.protocol == unix.IPPROTO_ICMPV6:
		if t.solicits(c, &d) {
			return t.advertisement(c)
		}
	case d.sourcePort == clientPort6 && d.targetPort == serverPort6 && d.source == c.LinkLocal:
		return t.reply6(c, d.payload)
	}
	return nil
}

// to is a datagram from the host to one machine alone, whatever its target says:
// a multicast too may be carried in a frame for one (RFC 6085), and so may the
// broadcast of IPv4.
func (t *table) to(mac net.HardwareAddr) *datagram {
	return &datagram{from: t.Host.MAC, to: mac}
}
