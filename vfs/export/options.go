package export

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Squash says whose claimed identity is replaced by the anonymous one.
type Squash uint8

const (
	SquashNone Squash = iota // nobody's: root of a guest is root here
	SquashRoot               // root's, user and group
	SquashAll                // everybody's
)

var squashNames = []string{SquashNone: "none", SquashRoot: "root", SquashAll: "all"}

func (s Squash) String() string { return squashNames[s] }

// Cache says who keeps file data in memory.
type Cache uint8

const (
	CacheBoth      Cache = iota
	CacheGuest           // the appliance keeps none: guests have memory to spare
	CacheAppliance       // guests are asked to keep none
)

var cacheNames = []string{CacheBoth: "both", CacheGuest: "guest", CacheAppliance: "appliance"}

func (c Cache) String() string { return cacheNames[c] }

// Nobody is the user and group of who is anonymous unless an export says
// otherwise: the overflow id of Linux.
const Nobody = 65534

// Options are the rules of an export as its operator gives them. Begin with
// DefaultOptions: the zero Options trusts the root of every guest.
type Options struct {
	ReadOnly, Sync, Exclusive bool
	Squash                    Squash
	AnonUID, AnonGID          uint32
	Clients                   []netip.Prefix
	Guests                    []string // who may come besides Clients, by name; see Resolve
	Cache                     Cache

	given []string // keys that were set, in order
}

// DefaultOptions is what holds for an export of which nothing else is said.
func DefaultOptions() Options {
	return Options{Exclusive: true, Squash: SquashRoot, AnonUID: Nobody, AnonGID: Nobody}
}

// Spec is an export as its operator describes it: "NAME=URL,option,..." on a
// command line (see Parse), or in a YAML file
//
//	name: data
//	url: host:/srv/data
//	options: [ro, squash=all]
type Spec struct {
	Name string
	// URL is where the files are, "adapter:rest". This package does not
	// look into it.
	URL string
	Options
}

// Parse reads "NAME=URL,option,option". A URL with a comma in it can only be
// given in a file.
func Parse(arg string) (Spec, error) {
	name, rest, ok := strings.Cut(arg, "=")
	if !ok {
		return Spec{}, fmt.Errorf("export %q is not of the form NAME=URL or NAME=URL,option,option", arg)
	}
	url, list, hasOptions := strings.Cut(rest, ",")
	var options []string
	if hasOptions {
		options = strings.Split(list, ",")
	}
	return newSpec(name, url, options)
}

func newSpec(name, url string, options []string) (Spec, error) {
	if err := CheckName(name); err != nil {
		return Spec{}, err
	}
	if url == "" {
		return Spec{}, fmt.Errorf("export %q has no URL that says where its files are, such as host:/srv/%s", name, name)
	}
	o, err := ParseOptions(options)
	if err != nil {
		return Spec{}, fmt.Errorf("export %q: %w", name, err)
	}
	return Spec{Name: name, URL: url, Options: o}, nil
}

// ParseOptions applies options, each "key" or "key=value", to DefaultOptions.
func ParseOptions(options []string) (Options, error) {
	o := DefaultOptions()
	for _, text := range options {
		key, value, hasValue := strings.Cut(text, "=")
		if err := o.set(key, value, hasValue); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

// Given reports whether the operator set an option, be it to its default, so
// that an adapter's own default does not override it.
func (o *Options) Given(key string) bool { return slices.Contains(o.given, key) }

// option is a key that an operator can give.
type option struct {
	value arity
	set   func(o *Options, value string) error
}

// arity is whether an option has a value.
type arity uint8

const (
	noValue arity = iota
	needsValue
	mayHaveValue
)

// options are those that are served.
var options = map[string]option{
	"ro":          {noValue, func(o *Options, _ string) error { o.ReadOnly = true; return nil }},
	"sync":        {noValue, func(o *Options, _ string) error { o.Sync = true; return nil }},
	"noexclusive": {noValue, func(o *Options, _ string) error { return o.setExclusive("off") }},
	"exclusive":   {mayHaveValue, (*Options).setExclusive},
	"squash":      {needsValue, func(o *Options, v string) error { return oneOf(&o.Squash, v, squashNames) }},
	"anonuid":     {needsValue, func(o *Options, v string) error { return parseID(&o.AnonUID, v) }},
	"anongid":     {needsValue, func(o *Options, v string) error { return parseID(&o.AnonGID, v) }},
	"clients":     {needsValue, (*Options).setClients},
	"sec":         {needsValue, (*Options).setSec},
	"cache":       {needsValue, func(o *Options, v string) error { return oneOf(&o.Cache, v, cacheNames) }},
}

// notServed are options that this version knows of but does not honour. To
// ignore one would leave the operator with less than was asked for.
var notServed = map[string]string{
	"qos": "limits on rate and bandwidth are not served yet",
}

func (o *Options) set(key, value string, hasValue bool) error {
	if why := notServed[key]; why != "" {
		return fmt.Errorf("option %q: %s", key, why)
	}
	opt, known := options[key]
	switch {
	case !known:
		return fmt.Errorf("unknown option %q; known are %s", key, strings.Join(slices.Sorted(maps.Keys(options)), ", "))
	case o.Given(key):
		return fmt.Errorf("option %q is given twice", key)
	case opt.value == noValue && hasValue:
		return fmt.Errorf("option %q takes no value", key)
	case opt.value == needsValue && !hasValue, hasValue && value == "":
		return fmt.Errorf("option %q needs a value", key)
	}
	if err := opt.set(o, value); err != nil {
		return fmt.Errorf("option %q: %w", key, err)
	}
	o.given = append(o.given, key)
	return nil
}

func (o *Options) setExclusive(value string) error {
	if o.Given("exclusive") || o.Given("noexclusive") {
		return fmt.Errorf("whether the tree is exclusive is said twice")
	}
	switch value {
	case "", "on":
		o.Exclusive = true
	case "off":
		o.Exclusive = false
	default:
		return fmt.Errorf("%q is neither on nor off", value)
	}
	return nil
}

func (o *Options) setSec(value string) error {
	if value != "sys" {
		return fmt.Errorf("%q is not served yet; sys is, the only one", value)
	}
	return nil
}

// setClients takes networks, single addresses and @NAME for guests, joined by
// '+'.
func (o *Options) setClients(value string) error {
	for _, s := range strings.Split(value, "+") {
		if name, ok := strings.CutPrefix(s, "@"); ok {
			if name == "" {
				return fmt.Errorf("@ needs the name of a guest after it")
			}
			o.Guests = append(o.Guests, name)
			continue
		}
		p, err := network(s)
		if err != nil {
			return err
		}
		o.Clients = append(o.Clients, p)
	}
	return nil
}

// Resolve adds the addresses of Guests to Clients. addresses returns those of
// one guest, at least one. Until it has succeeded, no guest that is only named
// is admitted.
func (o *Options) Resolve(addresses func(guest string) ([]netip.Addr, error)) error {
	for _, name := range o.Guests {
		list, err := addresses(name)
		if err != nil {
			return fmt.Errorf("option %q: @%s: %w", "clients", name, err)
		}
		for _, a := range list {
			o.Clients = append(o.Clients, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return nil
}

func network(s string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return p, fmt.Errorf("%q is neither an address nor a network such as 10.77.0.0/16", s)
	case p.Addr().Is4In6():
		return p, fmt.Errorf("%q is an IPv4 network in IPv6 clothes; write it as IPv4", s)
	case p != p.Masked():
		return p, fmt.Errorf("%q has bits set beyond its length; the network is %v", s, p.Masked())
	}
	return p, nil
}

func parseID(to *uint32, value string) error {
	n, err := strconv.ParseUint(value, 10, 32)
	if err != nil || n == noID {
		return fmt.Errorf("%q is not a user or group id, a number up to 4294967294", value)
	}
	*to = uint32(n)
	return nil
}

func oneOf[T ~uint8](to *T, value string, names []string) error {
	i := slices.Index(names, value)
	if i < 0 {
		return fmt.Errorf("%q is none of %s", value, strings.Join(names, ", "))
	}
	*to = T(i)
	return nil
}
