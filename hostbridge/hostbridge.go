// Package hostbridge is the host's side of an appliance: a bridge that leads
// nowhere else, a tap on it for each guest, and what keeps each guest to itself.
//
// What there should be is a [site.Site]. [Plan] finds what of it is missing or
// wrong, [Up] sees to that, and [Down] removes what Up has made, whatever the
// file says meanwhile. All of it is in the kernel, and ends with the boot:
// nothing has to run for it. A [Service] does run: it sees to a site likewise,
// confines what others put on the bridge later, and tells guests that ask which
// addresses they have.
//
//	site       the operator's file, and what follows from it
//	link       the bridge and the taps
//	firewall   what may pass from tap to tap
//	dhcp       what tells guests their addresses
//	change     a step from what is there to what should be
//	qemu       machines on it, as processes
//	toolstack  what those are told who run machines themselves
//	virtio9p   the relay of a guest's 9P device, which needs none of these
package hostbridge

import (
	"errors"
	"fmt"
	"os"

	"github.com/fsva/fsva/hostbridge/change"
	"github.com/fsva/fsva/hostbridge/firewall"
	"github.com/fsva/fsva/hostbridge/link"
	"github.com/fsva/fsva/hostbridge/site"
)

// journalDir is where Up notes what it is about to make.
var journalDir = "/run/fsva/host"

// ErrNotRoot refuses everything that changes or lists the firewall.
var ErrNotRoot = errors.New("needs root (CAP_NET_ADMIN): run it with sudo")

// Plan finds what Up would do, in its order. Nothing is changed. It fails if
// something of others is in the way, with all of that.
func Plan(s *site.Site) ([]change.Change, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	return plan(s, link.ReadJournal(journalDir, s.Bridge))
}

// plan has the firewall come after the removal of ports and before anything new
// goes up, so that no frame passes that it has not seen.
func plan(s *site.Site, journal *link.Journal) ([]change.Change, error) {
	remove, rest, err := link.Plan(s, journal)
	if err != nil {
		return nil, err
	}
	rules, err := firewall.Plan(firewall.New(s))
	if err != nil {
		return nil, err
	}
	return append(append(remove, rules...), rest...), nil
}

// Up makes what is missing of the site and alters what is wrong, and tells done
// of each change after it. Where it fails, what was done stays: another Up goes
// on from there, and Down removes it.
func Up(s *site.Site, done func(change.Change)) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	journal, err := link.OpenJournal(journalDir, s.Bridge)
	if err != nil {
		return err
	}
	defer journal.Close()
	changes, err := plan(s, journal)
	if err != nil {
		return err
	}
	if len(changes) == 0 {
		return nil
	}
	names := []string{s.Bridge}
	for _, p := range s.Ports() {
		if !p.External {
			names = append(names, p.Device)
		}
	}
	if err := journal.Note(names...); err != nil {
		return err
	}
	return apply(changes, done)
}

func apply(changes []change.Change, done func(change.Change)) error {
	for i := range changes {
		if err := changes[i].Apply(); err != nil {
			return err
		}
		done(changes[i])
	}
	return nil
}

// Bridges lists the bridges of which there is something that Up has made.
func Bridges() ([]string, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNotRoot
	}
	return link.Bridges(journalDir)
}

// Down removes all that Up has made of a bridge: taps, the bridge, and last the
// firewall. It refuses where taps are in use or a Service runs, unless it is
// forced, and a bridge that Up has not made.
func Down(bridge string, force bool, done func(change.Change)) error {
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	if !force {
		hold, err := link.HoldService(journalDir, bridge)
		if err != nil {
			return fmt.Errorf("%w; stop that first (systemctl stop fsva-host), or take its bridge from it with --force", err)
		}
		defer hold.Close()
	}
	journal, err := link.OpenJournal(journalDir, bridge)
	if err != nil {
		return err
	}
	defer journal.Close()
	foreign, err := link.Foreign(bridge, journal)
	if err != nil {
		return err
	}
	changes, busy, err := link.Remove(bridge, journal)
	if err != nil {
		return err
	}
	if len(busy) > 0 && !force {
		return fmt.Errorf("in use by a running machine: %v; stop the machines, or take their network from them with --force", busy)
	}
	rules, err := firewall.Remove(bridge)
	if err != nil {
		return err
	}
	if foreign && len(changes)+len(rules) == 0 {
		return fmt.Errorf("interface %s is there and was not made by appliance host up; it stays", bridge)
	}
	if err := apply(append(changes, rules...), done); err != nil {
		return err
	}
	return journal.Clear()
}
