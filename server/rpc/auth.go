package rpc

import (
	"github.com/fsva/fsva/server/xdr"
)

// Auth flavors (RFC 5531 §8.2).
const (
	AuthNone uint32 = 0
	AuthSys  uint32 = 1
)

// Bounds of credentials (RFC 5531 §8.2, appendix A).
const (
	maxAuthBody = 400
	maxMachine  = 255
	maxGIDs     = 16
)

// Auth is who the caller says it is.
type Auth struct {
	Flavor   uint32
	Machine  string   // AUTH_SYS machine name
	UID, GID uint32   // AUTH_SYS
	GIDs     []uint32 // AUTH_SYS, at most 16
}

// authStat is why a credential is refused (RFC 5531 §9, auth_stat).
type authStat uint32

const (
	authOK      authStat = 0
	authBadCred authStat = 1
	authBadVerf authStat = 3
)

// decodeAuth takes credential and verifier of a call. A flavor that is not
// served and a credential that does not decode are both AUTH_BADCRED, as
// Linux's server answers.
func (c *Call) decodeAuth(d *xdr.Decoder) authStat {
	c.Auth = Auth{Flavor: d.Uint32(), Machine: c.Auth.Machine}
	body := d.Opaque(maxAuthBody)
	verifier := d.Uint32()
	verifierBody := d.Opaque(maxAuthBody)
	if d.Err() != nil {
		return authBadCred
	}
	switch c.Auth.Flavor {
	case AuthNone:
		c.Auth.Machine = ""
	case AuthSys:
		if !c.decodeAuthSys(body) {
			return authBadCred
		}
	default:
		return authBadCred
	}
	if verifier != AuthNone || len(verifierBody) != 0 {
		return authBadVerf
	}
	return authOK
}

// decodeAuthSys takes authsys_parms (RFC 5531 appendix A).
func (c *Call) decodeAuthSys(body []byte) bool {
	d := xdr.NewDecoder(body)
	d.Uint32() // stamp
	machine := d.Opaque(maxMachine)
	c.Auth.UID, c.Auth.GID = d.Uint32(), d.Uint32()
	n := d.Count(maxGIDs, 4)
	for i := range n {
		c.gids[i] = d.Uint32()
	}
	c.Auth.GIDs = c.gids[:n]
	if string(machine) != c.Auth.Machine { // it is the same from call to call
		c.Auth.Machine = string(machine)
	}
	return d.Err() == nil && d.Remaining() == 0
}

// encode appends the credential and an empty verifier.
func (a *Auth) encode(e *xdr.Encoder) {
	e.Uint32(a.Flavor)
	size := e.Reserve()
	start := e.Len()
	if a.Flavor == AuthSys {
		e.Uint32(0) // stamp
		e.String(a.Machine)
		e.Uint32(a.UID)
		e.Uint32(a.GID)
		e.Uint32(uint32(len(a.GIDs)))
		for _, g := range a.GIDs {
			e.Uint32(g)
		}
	}
	e.Put(size, uint32(e.Len()-start))
	e.Uint32(AuthNone)
	e.Uint32(0)
}
