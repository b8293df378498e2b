package rpc_test

import (
	"bytes"
	"reflect"
	"strings"
	"testing"

	"github.com/fsva/fsva/server/rpc"
	"github.com/fsva/fsva/server/xdr"
)

// authSys is the body of an AUTH_SYS credential.
func authSys(machine string, uid, gid uint32, gids ...uint32) []byte {
	var e xdr.Encoder
	e.Uint32(0x5354414d) // stamp
	e.String(machine)
	e.Uint32(uid)
	e.Uint32(gid)
	e.Uint32(uint32(len(gids)))
	for _, g := range gids {
		e.Uint32(g)
	}
	return e.Buf
}

// withAuth is the record of a call with a credential and a verifier.
func withAuth(xid, flavor uint32, body []byte, verifier uint32, verifierBody []byte) []byte {
	e := xdr.Encoder{Buf: words(xid, 0, 2, program, version, 0, flavor)}
	e.Opaque(body)
	e.Uint32(verifier)
	e.Opaque(verifierBody)
	return record(e.Buf)
}

func TestCredentialsThatAreServed(t *testing.T) {
	auths := make(chan rpc.Auth, 1)
	s := serve(t, rpc.Options{}, func(c *rpc.Call) rpc.AcceptStat {
		a := c.Auth
		a.GIDs = append([]uint32(nil), a.GIDs...)
		auths <- a
		return rpc.Success
	})
	c := s.dial(t) // one for all: nothing of a credential may stay for the next
	sixteen := []uint32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 0xffffffff}
	long := strings.Repeat("m", 255)
	for _, tc := range []struct {
		name string
		rec  []byte
		want rpc.Auth
	}{
		{"AUTH_SYS", withAuth(1, 1, authSys("guest", 1000, 100, 4, 24), 0, nil),
			rpc.Auth{Flavor: rpc.AuthSys, Machine: "guest", UID: 1000, GID: 100, GIDs: []uint32{4, 24}}},
		{"AUTH_NONE after it", withAuth(2, 0, nil, 0, nil), rpc.Auth{}},
		{"16 gids", withAuth(3, 1, authSys("guest", 0, 0, sixteen...), 0, nil),
			rpc.Auth{Flavor: rpc.AuthSys, Machine: "guest", GIDs: sixteen}},
		{"no gids after it", withAuth(4, 1, authSys("guest", 7, 8), 0, nil),
			rpc.Auth{Flavor: rpc.AuthSys, Machine: "guest", UID: 7, GID: 8}},
		{"name of 255 bytes", withAuth(5, 1, authSys(long, 1, 2), 0, nil),
			rpc.Auth{Flavor: rpc.AuthSys, Machine: long, UID: 1, GID: 2}},
		{"no name after it", withAuth(6, 1, authSys("", 1, 2), 0, nil),
			rpc.Auth{Flavor: rpc.AuthSys, UID: 1, GID: 2}},
		{"AUTH_NONE with a body of 400 bytes", withAuth(7, 0, make([]byte, 400), 0, nil), rpc.Auth{}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c.send(tc.rec)
			c.receive()
			if got := wait(t, auths, "the call"); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("the handler sees %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestCredentialsThatAreRefused(t *testing.T) {
	const (
		badCred = 1
		badVerf = 3
		gss     = 6
	)
	good := authSys("guest", 1000, 100, 4, 24)
	seventeen := make([]uint32, 17)
	for name, tc := range map[string]struct {
		rec  []byte
		stat uint32
	}{
		"unknown flavor":        {withAuth(9, 390000, nil, 0, nil), badCred},
		"AUTH_SHORT":            {withAuth(9, 2, nil, 0, nil), badCred},
		"RPCSEC_GSS":            {withAuth(9, gss, words(1, 1, 0, 1, 0), 0, nil), badCred},
		"17 gids":               {withAuth(9, 1, authSys("guest", 0, 0, seventeen...), 0, nil), badCred},
		"name of 256 bytes":     {withAuth(9, 1, authSys(strings.Repeat("m", 256), 0, 0), 0, nil), badCred},
		"trailing bytes":        {withAuth(9, 1, append(good[:len(good):len(good)], 0, 0, 0, 0), 0, nil), badCred},
		"ends early":            {withAuth(9, 1, good[:len(good)-4], 0, nil), badCred},
		"empty AUTH_SYS":        {withAuth(9, 1, nil, 0, nil), badCred},
		"gids of 2^32-1":        {withAuth(9, 1, words(0, 0, 0, 0, 0xffffffff), 0, nil), badCred},
		"body of 401 bytes":     {withAuth(9, 0, make([]byte, 401), 0, nil), badCred},
		"body of 2^32-1 bytes":  {record(words(9, 0, 2, program, version, 0, 0, 0xffffffff)), badCred},
		"padding is not zero":   {record(append(words(9, 0, 2, program, version, 0, 0, 1), 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0)), badCred},
		"verifier has a flavor": {withAuth(9, 1, good, 1, nil), badVerf},
		"verifier has a body":   {withAuth(9, 0, nil, 0, words(0)), badVerf},
		"bad in both":           {withAuth(9, 390000, nil, 1, nil), badCred},
	} {
		t.Run(name, func(t *testing.T) {
			called := false
			c := serve(t, rpc.Options{}, func(*rpc.Call) rpc.AcceptStat { called = true; return rpc.Success }).dial(t)
			c.send(tc.rec)
			want := words(9, 1, 1, 1, tc.stat)
			if got := c.receive(); !bytes.Equal(got, want) {
				t.Errorf("received %x, want %x", got, want)
			}
			if called {
				t.Error("the handler was called")
			}
		})
	}
}
