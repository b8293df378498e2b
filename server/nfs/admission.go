package nfs

import (
	"net"
	"net/netip"

	"github.com/fsva/fsva/server/nfs/nfs4"
	"github.com/fsva/fsva/vfs/export"
)

// enter checks that the client may use an export at all: its address, not
// what its users may do.
func (c *compound) enter(exp *export.Export) nfs4.Status {
	if exp == c.entered || exp.Admits(peerAddr(c.call.Conn.RemoteAddr())) {
		c.entered = exp
		return nfs4.OK
	}
	return nfs4.ErrAccess
}

// peerAddr returns the IP address of a connection's other end. The zero Addr,
// which other transports than IP have, is in no network.
func peerAddr(a net.Addr) netip.Addr {
	if t, ok := a.(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}
