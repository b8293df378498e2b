package config

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/fsva/fsva/hostbridge/site"
	"github.com/fsva/fsva/vfs/export"
)

// Spec is the Spec of an export, by its place in Exports, with the addresses of
// the guests that are its clients by name. The site file is read for that, so
// that a reload sees what it says now.
//
// With an error that is about those, the spec is there and admits none of them.
func (c *Config) Spec(i int) (export.Spec, error) {
	spec, err := c.Exports[i].Spec()
	if err != nil || len(spec.Guests) == 0 {
		return spec, err
	}
	if err := c.resolve(&spec); err != nil {
		return spec, fmt.Errorf("export %q: %w", spec.Name, err)
	}
	return spec, nil
}

func (c *Config) resolve(spec *export.Spec) error {
	guests, err := c.guests()
	if err != nil {
		return fmt.Errorf("option \"clients\": @%s %w", spec.Guests[0], err)
	}
	return spec.Resolve(func(name string) ([]netip.Addr, error) {
		g, err := c.find(guests, name)
		if err != nil {
			return nil, err
		}
		return addresses(g), nil
	})
}

// GuestAddr is the IPv4 address that a guest of the site has, as the site file
// says now.
func (c *Config) GuestAddr(name string) (netip.Addr, error) {
	guests, err := c.guests()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("guest %s %w", name, err)
	}
	g, err := c.find(guests, name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("guest %s: %w", name, err)
	}
	return g.IP4, nil
}

// guests reads the site file. Its errors go on from the name of a guest.
func (c *Config) guests() ([]site.Identity, error) {
	if c.Site == "" {
		return nil, errors.New("is a guest of a site, and no site is given; name its file with --site or the key site")
	}
	guests, err := site.ReadGuests(c.Site)
	if err != nil {
		return nil, fmt.Errorf("is a guest of a site: %w", err)
	}
	return guests, nil
}

func (c *Config) find(guests []site.Identity, name string) (*site.Identity, error) {
	i := slices.IndexFunc(guests, func(g site.Identity) bool { return g.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the site file %s has no guest of that name", c.Site)
	}
	return &guests[i], nil
}

// addresses are those that nobody but the guest can come from. The link-local
// one is not among them: on another link it may be anybody's.
func addresses(guest *site.Identity) []netip.Addr {
	if !guest.IP6.IsValid() {
		return []netip.Addr{guest.IP4}
	}
	return []netip.Addr{guest.IP4, guest.IP6}
}
