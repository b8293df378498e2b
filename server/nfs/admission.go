package nfs

import (
	"net"
	"net/netip"
	"slices"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs/export"
)

// enter checks that the client may use an export at all: its address, not
// what its users may do. The export's file system stays open until the
// COMPOUND has been answered.
func (c *compound) enter(exp *export.Export) nfs4.Status {
	switch {
	case slices.Contains(c.entered, exp):
		return nfs4.OK
	case !exp.Admits(peerAddr(c.call.Conn.RemoteAddr())):
		return nfs4.ErrAccess
	case !exp.Acquire():
		return nfs4.ErrStale
	}
	c.entered = append(c.entered, exp)
	return nfs4.OK
}

// leave gives back the exports that were entered.
func (c *compound) leave() {
	for _, exp := range c.entered {
		exp.Release()
	}
	clear(c.entered)
	c.entered = c.entered[:0]
}

// peerAddr returns the IP address of a connection's other end. The zero Addr,
// which other transports than IP have, is in no network.
func peerAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
