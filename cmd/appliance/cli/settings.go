package cli

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/fsva/fsva/adapters"
	"github.com/fsva/fsva/cmd/appliance/config"
)

// settings are the flags of serve. They are kept after the start, since a
// reload reads the file anew and lets the flags win again.
type settings struct {
	file    string
	exports []string
	p9      []string
	flags   config.Config
	cmd     *cobra.Command
}

func (s *settings) addFlags(cmd *cobra.Command) {
	s.cmd, s.flags = cmd, *config.Default()
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration `file`; flags override what it says")
	f.StringArrayVar(&s.exports, "export", nil, "file system to serve, `NAME=URL,OPTION,...`; may be repeated (default mem=mem:)")
	f.StringVar(&s.flags.NFS, "nfs", s.flags.NFS, "`address` to serve NFS on, IP:PORT")
	f.StringVar(&s.flags.Admin, "admin", s.flags.Admin, "`address` for health, metrics and control, IP:PORT or off")
	f.StringVar(&s.flags.Site, "site", "", "site `file` of appliance host, for clients=@NAME")
	f.StringVar(&s.flags.State, "state", "", "`directory` of what must survive a restart")
	f.Var(&s.flags.Lease, "lease", "how long a silent client keeps its state for certain")
	f.Var(&s.flags.Grace, "grace", "how long clients may reclaim after a restart")
	f.Lookup("grace").DefValue = "1.5 leases"
	f.StringVar(&s.flags.LogLevel, "log-level", s.flags.LogLevel, "what to log: debug, info, warn or error")
	f.StringArrayVar(&s.p9, "p9", nil, "`address` to serve 9P on: tcp://IP:PORT, unix:///PATH, vsock://:PORT, virtio:///SOCKET?export=NAME&tag=TAG&guest=NAME or xen:; may be repeated")
}

// load reads the file, if any, lets the flags override it, and checks the
// whole.
func (s *settings) load() (*config.Config, error) {
	cfg := config.Default()
	if s.file != "" {
		if err := cfg.ReadFile(s.file); err != nil {
			return nil, err
		}
	}
	s.override(cfg)
	if len(cfg.Exports) == 0 {
		cfg.Exports = []config.Export{config.DefaultExport}
	}
	if errs := cfg.Check(); len(errs) > 0 {
		if s.file == "" { // then only the command line can be wrong
			return nil, usageError{errs}
		}
		return nil, errs
	}
	return cfg, nil
}

// override puts the flags that were given into cfg.
func (s *settings) override(cfg *config.Config) {
	set := func(flag string, apply func()) {
		if s.cmd.Flags().Changed(flag) {
			apply()
			cfg.Set(flag, "--"+flag)
		}
	}
	set("nfs", func() { cfg.NFS = s.flags.NFS })
	set("p9", func() { cfg.P9 = s.p9 })
	set("admin", func() { cfg.Admin = s.flags.Admin })
	set("site", func() { cfg.Site = s.flags.Site })
	set("state", func() { cfg.State = s.flags.State })
	set("lease", func() { cfg.Lease = s.flags.Lease })
	set("grace", func() { cfg.Grace = s.flags.Grace })
	set("log-level", func() { cfg.LogLevel = s.flags.LogLevel })
	if s.cmd.Flags().Changed("export") {
		cfg.Exports = nil
		for _, text := range s.exports {
			cfg.Exports = append(cfg.Exports, config.ExportFlag(text))
		}
		cfg.Set("exports", "--export")
	}
}

// stateDir is where state is kept, empty if nothing needs to survive: a guest
// of a file system in memory has nothing to come back to. cfg has been checked.
func stateDir(cfg *config.Config) (string, error) {
	if cfg.State != "" {
		return cfg.State, nil
	}
	durable := false
	for _, e := range cfg.Exports {
		spec, err := e.Spec()
		if err != nil {
			return "", err
		}
		durable = durable || !adapters.Volatile(spec.URL)
	}
	switch {
	case !durable:
		return "", nil
	case os.Geteuid() == 0:
		return "/var/lib/fsva", nil
	}
	base := os.Getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(base) { // a relative one is to be ignored, says the XDG specification
		home, err := os.UserHomeDir()
		if err != nil {
			return "", errors.New("no directory for state: neither $XDG_STATE_HOME nor $HOME is set; name one with --state")
		}
		base = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(base, "fsva"), nil
}
