// Package config is the configuration of the appliance: its settings with
// their defaults, how they are read from a YAML file, and what is wrong with
// them, by file and line.
//
// A [Config] comes from [Default], is filled in by [Config.ReadFile], then by
// the flags of the command line, and is judged as a whole by [Config.Check].
// Everything a file may say is a field of Config: the reader refuses other
// keys and [Schema] describes them from the same struct tags.
package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/fsva/fsva/internal/strictyaml"
)

// Defaults of the addresses. They are loopback: who wants to be reached from
// elsewhere says so.
const (
	DefaultNFS   = "127.0.0.1:2049"
	DefaultAdmin = "127.0.0.1:9049"
	// Off in the place of the admin address means no control address.
	Off = "off"
)

// Config is all settings. The doc tags are the text of the schema.
type Config struct {
	Exports  []Export `yaml:"exports" doc:"File systems to serve. Without any, one in memory named mem."`
	NFS      string   `yaml:"nfs" doc:"Address that serves NFS, as IP:PORT." default:"127.0.0.1:2049"`
	P9       []string `yaml:"p9" doc:"Addresses that serve 9P: tcp://IP:PORT, unix:///PATH, vsock://:PORT, virtio:///SOCKET?export=NAME&tag=TAG&guest=NAME or xen:. None without it."`
	Admin    string   `yaml:"admin" doc:"Address that serves health, metrics and the control API, as IP:PORT, or off." default:"127.0.0.1:9049"`
	Site     string   `yaml:"site" doc:"The site file of appliance host, for clients that are guests by name: @NAME, and guest=NAME of a virtio address."`
	State    string   `yaml:"state" doc:"Directory of what must survive a restart. Without it: none if all exports are in memory, else /var/lib/fsva for root and $XDG_STATE_HOME/fsva for others."`
	Lease    Duration `yaml:"lease" doc:"How long a silent client keeps its opens and locks for certain." default:"60s"`
	Grace    Duration `yaml:"grace" doc:"How long clients may reclaim after a restart. Without it: one and a half leases."`
	LogLevel string   `yaml:"log-level" doc:"What to log." enum:"debug,info,warn,error" default:"info"`

	from map[string]string // where a setting was read: "nfs" → "fsva.yaml:3"
}

// Default returns the settings of an appliance that was told nothing.
func Default() *Config {
	return &Config{NFS: DefaultNFS, Admin: DefaultAdmin, Lease: Duration(time.Minute), LogLevel: "info"}
}

// GracePeriod is Grace, or what stands for it when it was not given: long
// enough for a client that renewed just before the restart to notice it.
func (c *Config) GracePeriod() time.Duration {
	if c.Grace != 0 {
		return time.Duration(c.Grace)
	}
	return time.Duration(c.Lease) * 3 / 2
}

// Set notes that a setting came from a flag, for messages about it.
func (c *Config) Set(key, flag string) {
	if c.from == nil {
		c.from = make(map[string]string)
	}
	for k := range c.from {
		if k == key || strings.HasPrefix(k, key+"[") {
			delete(c.from, k)
		}
	}
	c.from[key] = flag
}

// where says where the setting key was given, such as "fsva.yaml:3: nfs" or
// "--nfs". A key "exports[1].squash" without a place of its own is found at
// "exports[1]", then at "exports".
func (c *Config) where(key string) string {
	for k := key; ; {
		if at, ok := c.from[k]; ok {
			if strings.HasPrefix(at, "--") {
				return at
			}
			return at + ": " + key
		}
		cut := strings.LastIndexAny(k, ".[")
		if cut < 0 {
			return key
		}
		k = k[:cut]
	}
}

// Given reports whether the setting was given in the file or by a flag.
func (c *Config) Given(key string) bool {
	_, ok := c.from[key]
	return ok
}

// Export returns where the export of that name is in Exports, -1 if there is
// none.
func (c *Config) Export(name string) int {
	return slices.IndexFunc(c.Exports, func(e Export) bool {
		spec, err := e.Spec()
		return err == nil && spec.Name == name
	})
}

// Check returns everything that is wrong with the settings, each error naming
// the file and line or the flag. It opens nothing but the site file, if an export
// is for guests by name.
func (c *Config) Check() (errs Errors) {
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", c.where(key), fmt.Sprintf(format, args...)))
	}
	if err := checkAddress(c.NFS); err != nil {
		bad("nfs", "%v", err)
	}
	if c.Admin != Off && c.Admin != "" {
		if err := checkAddress(c.Admin); err != nil {
			bad("admin", "%v", err)
		} else if c.Admin == c.NFS && !strings.HasSuffix(c.NFS, ":0") {
			bad("admin", "%s is the address of NFS already; choose another port or %s", c.Admin, Off)
		}
	}
	if c.Lease < Duration(time.Second) || c.Lease > Duration(time.Hour) {
		bad("lease", "%v is not between 1s and 1h", c.Lease)
	}
	if c.Grace != 0 && (c.Grace < Duration(time.Second) || c.Grace > Duration(time.Hour)) {
		bad("grace", "%v is not between 1s and 1h", c.Grace)
	}
	if !slices.Contains(logLevels, c.LogLevel) {
		bad("log-level", "%q is none of %s", c.LogLevel, strings.Join(logLevels, ", "))
	}
	names := make(map[string]bool)
	for i := range c.Exports {
		spec, err := c.Spec(i)
		switch {
		case err != nil:
			bad(fmt.Sprintf("exports[%d]", i), "%v", err)
		case names[spec.Name]:
			bad(fmt.Sprintf("exports[%d]", i), "two exports have the name %s; rename one", spec.Name)
		}
		names[spec.Name] = true
	}
	seen := make(map[string]bool)
	for i, text := range c.P9 {
		at, err := ParseP9(text)
		switch {
		case err != nil:
			bad(fmt.Sprintf("p9[%d]", i), "%v", err)
		case seen[at.Transport+at.Address]:
			bad(fmt.Sprintf("p9[%d]", i), "%s is there twice", text)
		case at.Export != "" && !names[at.Export]:
			bad(fmt.Sprintf("p9[%d]", i), "%s: there is no export %s", text, at.Export)
		case at.Guest != "":
			if _, err := c.GuestAddr(at.Guest); err != nil {
				bad(fmt.Sprintf("p9[%d]", i), "%s: %v", text, err)
			}
		}
		seen[at.Transport+at.Address] = true
	}
	return errs
}

var logLevels = []string{"debug", "info", "warn", "error"}

// checkAddress accepts IP:PORT. Host names are refused since one may mean
// several addresses, of which only one would be served.
func checkAddress(s string) error {
	if _, err := netip.ParseAddrPort(s); err != nil {
		return fmt.Errorf("%q is not an address IP:PORT such as %s", s, DefaultNFS)
	}
	return nil
}

// Errors are the errors of a configuration, one a line.
type Errors = strictyaml.Errors

// Duration is a time.Duration that is written as "60s" or "1m30s".
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// Set and Type make it the value of a flag.
func (d *Duration) Set(s string) error {
	v, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf("%q is not a duration such as 60s or 1m30s", s)
	}
	*d = Duration(v)
	return nil
}

func (*Duration) Type() string { return "duration" }
