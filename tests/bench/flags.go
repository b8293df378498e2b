package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"
)

// config is what the flags say.
type config struct {
	servers   []string
	appliance string
	dir       string
	fs        string // what to mount on it: ext4, tmpfs or nothing

	raw      bool
	match    *regexp.Regexp
	loads    []load
	rounds   int
	duration time.Duration

	guest bool

	machine bool
	files   int

	scale   bool
	clients int
	opens   int

	output string

	listen string // the address that servers listen on, set by enter
}

// A load is how hard the clients push: calls outstanding over connections.
type load struct {
	Depth int `json:"depth"`
	Conns int `json:"conns"`
}

func (l load) String() string { return fmt.Sprintf("%dx%d", l.Depth, l.Conns) }

func parseFlags(args []string) (config, error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprint(fs.Output(), "usage: go run ./tests/bench [flags]\n\nMeasures this server beside nfs-ganesha over the same directory.\n\n")
		fs.PrintDefaults()
	}
	var (
		cfg     config
		servers = fs.String("servers", "fsva,ganesha", "servers to measure, in this order in every round")
		loads   = fs.String("load", "1x1,16x4", "loads, as calls outstanding x connections; 16x1 shows one connection's worth")
		match   = fs.String("run", "", "only workloads, raw ones and guests', that match this regular expression")
	)
	fs.StringVar(&cfg.appliance, "appliance", "", "the appliance's binary (default: built from ./cmd/appliance)")
	fs.StringVar(&cfg.dir, "dir", os.TempDir(), "where to make the exported directory")
	fs.StringVar(&cfg.fs, "fs", "", "export a file system of this type, made in -dir: ext4, in a file, or tmpfs, to measure the servers without a disk (root)")
	fs.BoolVar(&cfg.raw, "raw", true, "measure raw NFSv4.2 operations")
	fs.BoolVar(&cfg.guest, "guest", true, "measure what programs in a Linux guest do on its mounts (root)")
	fs.BoolVar(&cfg.machine, "machine", false, "measure what programs do on virtio devices in a machine under QEMU (root, and make qemu)")
	fs.IntVar(&cfg.files, "files", 75_000, "files of the tree for -machine: Linux has 75,000 or so")
	fs.IntVar(&cfg.rounds, "rounds", 3, "rounds of each workload on each server")
	fs.DurationVar(&cfg.duration, "time", 400*time.Millisecond, "length of a round of raw operations")
	fs.BoolVar(&cfg.scale, "scale", true, "measure the memory of idle clients and open files")
	fs.IntVar(&cfg.clients, "clients", 10_000, "idle clients for -scale")
	fs.IntVar(&cfg.opens, "opens", 100_000, "open files for -scale")
	fs.StringVar(&cfg.output, "o", "table", "output: table, or json with every round")
	if err := fs.Parse(args); err != nil {
		return cfg, cmp.Or(flagError(err), err)
	}
	if fs.NArg() > 0 {
		return cfg, fmt.Errorf("unexpected argument %q; see -h", fs.Arg(0))
	}
	if cfg.rounds < 1 || cfg.duration <= 0 || cfg.clients < 1 || cfg.opens < 1 || cfg.files < 1 {
		return cfg, errors.New("-rounds, -time, -clients, -opens and -files must be more than 0")
	}
	if cfg.output != "table" && cfg.output != "json" {
		return cfg, fmt.Errorf("-o: %q is not table or json", cfg.output)
	}
	if cfg.fs != "" && cfg.fs != "ext4" && cfg.fs != "tmpfs" {
		return cfg, fmt.Errorf("-fs: %q is not ext4 or tmpfs", cfg.fs)
	}
	cfg.servers = strings.Split(*servers, ",")
	var err error
	if cfg.match, err = regexp.Compile(*match); err != nil {
		return cfg, fmt.Errorf("-run: %w", err)
	}
	cfg.loads, err = parseLoads(*loads)
	return cfg, err
}

// flagError drops an error that the flag package has printed with the usage.
func flagError(err error) error {
	if err == flag.ErrHelp {
		return err
	}
	return errors.New("see above")
}

func parseLoads(s string) ([]load, error) {
	var loads []load
	for f := range strings.SplitSeq(s, ",") {
		var l load
		if n, err := fmt.Sscanf(f, "%dx%d", &l.Depth, &l.Conns); n != 2 || err != nil || l.Depth < 1 || l.Conns < 1 || l.Conns > l.Depth || l.Depth > 64 {
			return nil, fmt.Errorf("-load: %q is not calls x connections, such as 16x4", f)
		}
		loads = append(loads, l)
	}
	return loads, nil
}
