package boot

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

// params is what the kernel's command line asks for. Parameters of this
// package begin with "fsva."; the kernel leaves those with a dot alone.
type params struct {
	addresses []netip.Prefix // of the interface, beside those from DHCP
	gateways  []netip.Addr   // at most one of each family
	dns       []netip.Addr
	network   bool   // addresses are given, or how to get them
	dhcp      bool   // ask for an IPv4 address
	device    string // the interface; empty for the first one
	hostname  string
	format    string   // disk that may become the data disk if it is blank
	yaml      []byte   // a whole configuration
	serve     []string // flags of appliance serve, which win over the configuration
}

// serveFlags may be given as fsva.FLAG=VALUE.
var serveFlags = []string{"export", "nfs", "p9", "admin", "state", "lease", "grace", "log-level"}

// readParams reads the command line. With errors, what it could be understood
// of is returned, too.
func readParams() (*params, []error) {
	b, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		return &params{dhcp: true, hostname: "fsva"}, []error{err}
	}
	return parseParams(string(b))
}

func parseParams(line string) (*params, []error) {
	p := &params{hostname: "fsva"}
	var errs []error
	for _, word := range split(line) {
		key, value, _ := strings.Cut(word, "=")
		var err error
		switch {
		case key == "ip":
			p.network = true
			err = p.kernelIP(value)
		case key == "fsva.ip":
			p.network = true
			err = p.ip(value)
		case strings.HasPrefix(key, "fsva."):
			err = p.set(strings.TrimPrefix(key, "fsva."), value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("kernel command line: %s: %w", word, err))
		}
	}
	if !p.network {
		p.dhcp = true
	}
	return p, errs
}

// split cuts a command line into its words, as the kernel does: double quotes
// keep spaces together and go away (Linux, lib/cmdline.c, next_arg).
func split(line string) (words []string) {
	var word strings.Builder
	quoted, begun := false, false
	for _, c := range strings.TrimSpace(line) + " " {
		switch {
		case c == '"':
			quoted, begun = !quoted, true
		case (c == ' ' || c == '\n' || c == '\t') && !quoted:
			if begun {
				words = append(words, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(c)
			begun = true
		}
	}
	return words
}

// set is for everything but addresses.
func (p *params) set(key, value string) (err error) {
	if value == "" {
		return errors.New("needs a value")
	}
	switch key {
	case "gw":
		p.gateways, err = addresses(value)
	case "dns":
		p.dns, err = addresses(value)
	case "dev":
		p.device = value
	case "hostname":
		p.hostname = value
	case "format":
		p.format = strings.TrimPrefix(value, "/dev/")
		if strings.Contains(p.format, "/") {
			err = errors.New("is not a disk such as vda")
		}
	case "yaml":
		if p.yaml, err = base64.StdEncoding.DecodeString(value); err != nil {
			err = errors.New("is not a configuration in base64")
		}
	default:
		if !slices.Contains(serveFlags, key) {
			return errors.New("unknown; known are fsva.ip, gw, dns, dev, hostname, format, yaml and " + strings.Join(serveFlags, ", "))
		}
		p.serve = append(p.serve, "--"+key+"="+value)
	}
	return err
}

// gives reports whether the flag of serve was given.
func (p *params) gives(flag string) bool { return p.value(flag) != "" }

// value is what the flag of serve was given last, empty if it was not.
func (p *params) value(flag string) (value string) {
	for _, s := range p.serve {
		if v, ok := strings.CutPrefix(s, "--"+flag+"="); ok {
			value = v
		}
	}
	return value
}

// ip reads fsva.ip=ADDRESS/LENGTH,…, dhcp or off.
func (p *params) ip(value string) error {
	for _, s := range strings.Split(value, ",") {
		switch s {
		case "off":
		case "dhcp":
			p.dhcp = true
		default:
			a, err := netip.ParsePrefix(s)
			if err != nil {
				return fmt.Errorf("%q is not an address with its network's length, such as 10.77.0.2/24, nor dhcp or off", s)
			}
			p.addresses = append(p.addresses, a)
		}
	}
	return nil
}

// kernelIP reads ip= in the form that kernels have which set up the network by
// themselves (Linux, Documentation/admin-guide/nfs/nfsroot.rst):
// CLIENT:SERVER:GATEWAY:NETMASK:HOSTNAME:DEVICE:AUTOCONF:DNS:DNS:NTP.
func (p *params) kernelIP(value string) error {
	f := strings.Split(value, ":")
	if len(f) == 1 {
		f = []string{"", "", "", "", "", "", f[0]}
	}
	f = append(f, make([]string, 10)...)
	switch f[6] {
	case "", "off", "none", "static":
	case "dhcp", "on", "any":
		p.dhcp = f[0] == ""
	default:
		return fmt.Errorf("%q is neither dhcp nor off", f[6])
	}
	if f[0] != "" {
		a, err := prefix(f[0], f[3])
		if err != nil {
			return err
		}
		p.addresses = append(p.addresses, a)
	}
	if f[4] != "" {
		p.hostname = f[4]
	}
	p.device = f[5]
	for _, part := range []struct {
		text string
		to   *[]netip.Addr
	}{{f[2], &p.gateways}, {f[7], &p.dns}, {f[8], &p.dns}} {
		if part.text == "" {
			continue
		}
		a, err := addresses(part.text)
		if err != nil {
			return err
		}
		*part.to = append(*part.to, a...)
	}
	return nil
}

// prefix is an IPv4 address with its network's mask, which may be its length.
func prefix(addr, mask string) (netip.Prefix, error) {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is no address", addr)
	}
	bits, err := strconv.Atoi(mask)
	if m, maskErr := netip.ParseAddr(mask); maskErr == nil && m.Is4() {
		bits, err = maskLength(m)
	}
	if err != nil || bits < 0 || bits > a.BitLen() {
		return netip.Prefix{}, fmt.Errorf("%q is no network mask", mask)
	}
	return netip.PrefixFrom(a, bits), nil
}

func maskLength(mask netip.Addr) (int, error) {
	b := mask.As4()
	bits := strings.TrimRight(fmt.Sprintf("%08b%08b%08b%08b", b[0], b[1], b[2], b[3]), "0")
	if strings.Contains(bits, "0") {
		return 0, errors.New("has holes")
	}
	return len(bits), nil
}

func addresses(list string) (all []netip.Addr, err error) {
	for _, s := range strings.Split(list, ",") {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return nil, fmt.Errorf("%q is no address", s)
		}
		all = append(all, a)
	}
	return all, nil
}
