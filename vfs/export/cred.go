package export

import (
	"hash/maphash"
	"slices"
	"sync/atomic"

	"github.com/fsva/fsva/vfs"
)

// Flavors of authentication (RFC 5531 §8.2). 9P, which has no such numbers,
// passes authSys for a caller that names a user.
const (
	authNone = 0
	authSys  = 1
)

// noID is (uid_t)-1 and (gid_t)-1, the id that is none.
const noID = 1<<32 - 1

// Cred returns who the file system sees when a caller of this flavor claims
// uid, gid and the supplementary groups gids, from the guest client. AUTH_NONE
// claims nothing and is anonymous, as is every flavor that is not known here.
// So are the user and the groups 4294967295, whatever Squash says: that is
// (uid_t)-1, which setfsuid(2) and its like take for "change nothing".
// Groups beyond vfs.MaxGroups do not count. gids is not kept.
//
// The Cred is shared with other calls of the same caller. For a caller that
// was seen lately nothing is allocated.
func (e *Export) Cred(flavor uint32, uid, gid uint32, gids []uint32, client string) *vfs.Cred {
	q := claim{export: e, uid: e.squashUID(uid), gid: e.squashGID(gid), gids: gids, client: client}
	if flavor != authSys || e.Squash == SquashAll {
		q.uid, q.gid, q.gids = e.AnonUID, e.AnonGID, nil
	}
	q.gids = q.gids[:min(len(q.gids), vfs.MaxGroups)]
	return e.creds.get(&q)
}

func (e *Export) squashUID(uid uint32) uint32 {
	if uid == 0 && e.Squash != SquashNone || uid == noID {
		return e.AnonUID
	}
	return uid
}

func (e *Export) squashGID(gid uint32) uint32 {
	if gid == 0 && e.Squash != SquashNone || gid == noID {
		return e.AnonGID
	}
	return gid
}

// claim is a squashed identity before it is a Cred. gids are still as claimed,
// so that looking one up need not copy them.
type claim struct {
	export   *Export
	uid, gid uint32
	gids     []uint32
	client   string
}

func (q *claim) matches(c *vfs.Cred) bool {
	if c.UID != q.uid || c.GID != q.gid || c.Client != q.client || len(c.Groups) != len(q.gids) {
		return false
	}
	for i, g := range q.gids {
		if c.Groups[i] != q.export.squashGID(g) {
			return false
		}
	}
	return true
}

func (q *claim) cred() *vfs.Cred {
	groups := slices.Clone(q.gids)
	for i, g := range groups {
		groups[i] = q.export.squashGID(g)
	}
	return &vfs.Cred{UID: q.uid, GID: q.gid, Groups: groups, Client: q.client}
}

func (q *claim) hash() uint64 {
	h := maphash.String(credSeed, q.client)
	h = mix(h, uint64(q.uid)<<32|uint64(q.gid))
	for _, g := range q.gids {
		h = mix(h, uint64(q.export.squashGID(g)))
	}
	return h
}

var credSeed = maphash.MakeSeed()

// mix is a step of a multiplicative hash; the constant is 2^64 over the golden
// ratio.
func mix(h, v uint64) uint64 {
	h = (h ^ v) * 0x9e3779b97f4a7c15
	return h ^ h>>32
}

// credCache has room for one Cred in each place that a hash can point to. It
// needs no lock and cannot grow, however many identities guests make up: who
// comes to a taken place takes it over, and the other is made again.
type credCache [4096]atomic.Pointer[vfs.Cred]

func (t *credCache) get(q *claim) *vfs.Cred {
	place := &t[q.hash()%uint64(len(t))]
	if c := place.Load(); c != nil && q.matches(c) {
		return c
	}
	c := q.cred()
	place.Store(c)
	return c
}
