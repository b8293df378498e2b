// Package export puts a file system before guests: an [Export] is a vfs.FS
// with a name, a number that stays the same over restarts, and the rules for
// who may use it and as whom.
//
// The parts:
//
//   - [Options], with [Parse] and [ParseOptions], is what an operator writes
//     about an export on a command line or in a file.
//   - [Export] applies it: [Export.Admits] decides by address who may come,
//     [Export.Cred] turns the identity a caller claims into the one the file
//     system sees (squashing).
//   - [Table] is the set of exports of the moment, which every server reads
//     with each request and a reload replaces.
//   - [Sealer] makes node handles into the filehandles guests hold: with the
//     number of the export, and a MAC so that no guest can make one up.
//
// The package knows no protocol. What servers share about an export is here,
// what only one of them does is with that server.
package export

import (
	"fmt"
	"net/netip"

	"github.com/fsva/fsva/vfs"
)

// Export is a file system as guests get it. Its fields do not change once it
// is in a Table; a reload makes a new Export over the same FS.
type Export struct {
	// ID is in every filehandle and never given to another name. 0 is the
	// directory in which the exports stand.
	ID   uint32
	Name string
	FS   vfs.FS

	ReadOnly bool
	// Sync makes every change durable before it is answered, whatever the
	// client asked for: those of data and size by File.Sync. The file system
	// was opened to make those of names and attributes so.
	Sync bool
	// Exclusive says that nothing but the appliance changes the tree, so
	// that promises about it can be made to clients.
	Exclusive bool
	Cache     Cache

	Squash           Squash
	AnonUID, AnonGID uint32
	// Clients are the networks guests may come from. Without any it is
	// everywhere, unless Guests names some: then it is nowhere, for their
	// addresses are not known.
	Clients []netip.Prefix
	Guests  []string

	creds credCache
	life  *life
}

// New makes an export of fs by the rules of spec.
func New(id uint32, spec Spec, fs vfs.FS) *Export { return build(id, spec, fs, newLife()) }

// With makes an export of the same file system by the rules of spec.
func (e *Export) With(spec Spec) *Export { return build(e.ID, spec, e.FS, e.life) }

func build(id uint32, spec Spec, fs vfs.FS, l *life) *Export {
	o := &spec.Options
	return &Export{
		ID: id, Name: spec.Name, FS: fs, life: l,
		ReadOnly: o.ReadOnly, Sync: o.Sync, Exclusive: o.Exclusive, Cache: o.Cache,
		Squash: o.Squash, AnonUID: o.AnonUID, AnonGID: o.AnonGID, Clients: o.Clients, Guests: o.Guests,
	}
}

// Admits reports whether a guest at addr may use the export. An IPv4 address
// mapped into IPv6, as a socket that listens to both reports it, is the IPv4
// address; the zero Addr is in no network.
func (e *Export) Admits(addr netip.Addr) bool {
	if len(e.Clients) == 0 {
		return len(e.Guests) == 0
	}
	addr = addr.Unmap().WithZone("")
	for _, p := range e.Clients {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// maxName is the longest name of an export, in bytes. It is a directory entry
// to NFS clients and part of a mount tag to others.
const maxName = 64

// CheckName says what is wrong with the name of an export, if anything: it has
// 1 to 64 letters, digits, dots, underscores and hyphens, and is not "." or
// "..".
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("an export needs a name")
	case len(name) > maxName:
		return fmt.Errorf("export name %.20q... is longer than %d bytes", name, maxName)
	case name == "." || name == "..":
		return fmt.Errorf("an export cannot be named %q", name)
	}
	for _, r := range name {
		if !nameRune(r) {
			return fmt.Errorf("export name %q has %q in it; letters, digits and any of \"._-\" are allowed", name, r)
		}
	}
	return nil
}

func nameRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	return r == '.' || r == '_' || r == '-'
}
