package vfs

import "slices"

// Cred is who makes a call, after squashing and id mapping. It is read-only
// once made and may be shared between calls.
type Cred struct {
	UID, GID uint32
	// Groups are the supplementary groups, at most MaxGroups.
	Groups []uint32
	// Client names the guest for logs and locks, such as "10.77.0.2:823".
	Client string
}

// MaxGroups is the number of supplementary groups a Cred can carry. AUTH_SYS
// brings 16 (RFC 5531 App. A).
const MaxGroups = 64

// Root is the superuser, for what the appliance does on its own behalf.
var Root = &Cred{Client: "appliance"}

// InGroup reports whether the caller is a member of gid.
func (c *Cred) InGroup(gid uint32) bool {
	return c.GID == gid || slices.Contains(c.Groups, gid)
}
